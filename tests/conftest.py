"""Fixtures for all tests."""

import contextlib
import functools
import gc
import os
from collections.abc import Callable, Iterator

import hypothesis
import pytest
import torch
from hydra.core.hydra_config import HydraConfig

from .system import writers
from .system.nursery import Nursery

# A test's arithmetic is small; two threads would fight for the cores with the processes it starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples in each session, and none of them judged by its time.
hypothesis.settings.register_profile(
    "echo_exp",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("echo_exp")


def pytest_collection_finish() -> None:
    """Exempts imported objects from garbage collection, which would take a second each time."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Gives each test the same random numbers, whichever tests ran before it."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_command() -> Iterator[None]:
    """Resets Hydra after a test that runs a command in its own process."""
    yield
    HydraConfig.instance().cfg = None


@pytest.fixture(scope="session")
def lazy_nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Nursery]]:
    """The nursery, which forks processes with imported libraries; the first call starts it."""
    with contextlib.ExitStack() as at_end:

        @functools.cache
        def nursery() -> Nursery:
            made = Nursery(tmp_path_factory.mktemp("programs"))
            at_end.callback(made.close)
            return made

        yield nursery


@pytest.fixture(scope="session")
def nursery(lazy_nursery: Callable[[], Nursery]) -> Nursery:
    return lazy_nursery()


@pytest.fixture(scope="session", autouse=True)
def _forked_writers(lazy_nursery: Callable[[], Nursery]) -> Iterator[None]:
    """Has the nursery fork the writer of each store that a test opens in its own process."""
    with pytest.MonkeyPatch.context() as patch:
        stand_in = writers.forking(lambda: lazy_nursery().address)
        patch.setattr("echo_exp.tracking.store.subprocess", stand_in)
        yield


pytest_plugins = ["tests.places", "tests.quick"]
