"""How many threads a training takes: one for small networks, all free cores for large stacks."""

import dataclasses

import joblib
import pytest

from echo_exp.settings import SettingError
from echo_exp.training import threads
from echo_exp.training.settings import TrainerSettings
from echo_exp.training.threads import LIMIT, SHARE, cores, count_threads, work

from ..trainers import BATCH, make_module
from .stacks import SETTINGS

AUTO = dataclasses.replace(SETTINGS, threads="auto")


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cores, and nobody who limits the threads."""
    monkeypatch.setattr(joblib, "cpu_count", lambda **_: 8)
    monkeypatch.delenv(LIMIT, raising=False)


def _threads(
    monkeypatch: pytest.MonkeyPatch, of_work: int, settings: TrainerSettings = AUTO
) -> int:
    monkeypatch.setattr(threads, "work", lambda _: of_work)
    return count_threads(settings, make_module())


def test_work_is_the_weights_of_all_replicas_times_the_windows_of_a_batch() -> None:
    weights = sum(parameter.numel() for parameter in make_module().parameters())
    assert work(make_module()) == weights * BATCH
    assert work(make_module((1, 2, 3))) == 3 * weights * BATCH


@pytest.mark.parametrize(
    ("of_work", "expected"),
    [(0, 1), (2 * SHARE - 1, 1), (2 * SHARE, 2), (5 * SHARE, 5), (99 * SHARE, 8)],
)
def test_there_is_a_thread_for_each_share_of_work_and_at_most_one_for_each_core(
    monkeypatch: pytest.MonkeyPatch, of_work: int, expected: int
) -> None:
    assert _threads(monkeypatch, of_work) == expected


def test_a_number_of_threads_is_taken_as_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _threads(monkeypatch, 0, dataclasses.replace(AUTO, threads=3)) == 3


def test_on_a_gpu_one_thread_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpu = dataclasses.replace(AUTO, accelerator="gpu")
    assert _threads(monkeypatch, 99 * SHARE, on_gpu) == 1


@pytest.mark.parametrize(
    ("limit", "expected"), [("3", 3), ("4,2", 4), ("99", 8), ("0", 8), ("", 8), ("many", 8)]
)
def test_a_launcher_or_the_user_limits_the_cores(
    monkeypatch: pytest.MonkeyPatch, limit: str, expected: int
) -> None:
    monkeypatch.setenv(LIMIT, limit)
    assert cores() == expected


@pytest.mark.parametrize("value", [0, 1.5, "all", None, True])
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(SettingError, match=r"threads=.*from 1 to 1,024, or auto"):
        dataclasses.replace(SETTINGS, threads=value)  # type: ignore[arg-type]
