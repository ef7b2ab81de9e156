"""A database and a server give the same data frames of runs and curves."""

import uuid

import pandas as pd
import pytest

import echo_exp

from ..reports import stored
from .servers import Postgres, Server

SETTINGS = [{"seed": seed, "model.stateful": seed > 1} for seed in (1, 2, 3)]
LONG = 2600
"""Points of a curve, of which MLflow's server would leave some out."""


@pytest.fixture
def sweep(postgres: Postgres, server: Server) -> str:
    return stored.sweep(postgres.uri, SETTINGS, LONG, name=f"frames/{uuid.uuid4().hex}")


def test_a_server_returns_the_same_runs_as_a_file(
    postgres: Postgres, server: Server, sweep: str
) -> None:
    frame = echo_exp.runs(sweep=sweep, tracking_uri=server.uri)
    assert frame["model.stateful"].tolist() == [False, True, True]
    direct = echo_exp.runs(sweep=sweep, tracking_uri=postgres.uri)
    pd.testing.assert_frame_equal(frame, direct)
    assert frame.attrs == direct.attrs
    part = echo_exp.runs(sweep=sweep, filter="params.seed = '3'", tracking_uri=server.uri)
    assert part["run_id"].tolist() == frame["run_id"].tolist()[2:]


def test_a_server_returns_every_point_of_a_curve(
    postgres: Postgres, server: Server, sweep: str
) -> None:
    frame = echo_exp.runs(sweep=sweep, tracking_uri=server.uri)
    long = echo_exp.curves(frame, tracking_uri=server.uri)
    assert len(long) == LONG * len(SETTINGS)
    pd.testing.assert_frame_equal(long, echo_exp.curves(frame, tracking_uri=postgres.uri))


def test_a_server_refuses_a_filter_in_one_line(server: Server, sweep: str) -> None:
    with pytest.raises(echo_exp.SettingError, match="filter=seed is not allowed: Invalid clause"):
        echo_exp.runs(sweep=sweep, filter="seed", tracking_uri=server.uri)
    with pytest.raises(echo_exp.SettingError, match=r"sweep=123 .* id of a sweep of http"):
        echo_exp.runs(sweep="123", tracking_uri=server.uri)
