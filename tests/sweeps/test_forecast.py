"""The time of a sweep, estimated from the times of earlier runs of the same networks."""

import pytest
from hydra import initialize_config_dir

from echo_exp import configuration
from echo_exp.sweeps.forecast import Pace, time_of
from echo_exp.sweeps.plan import Job, make_jobs


@pytest.fixture
def stack() -> list[Job]:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        return make_jobs([[f"seed={seed}", "epochs=100"] for seed in range(4)])


def _pace(stack: list[Job], networks: int, **other: str) -> Pace:
    """A second for ten epochs."""
    assert stack[0].stack is not None
    told = {
        key: str(value) for key, value in configuration.parameters(stack[0].stack.config).items()
    }
    return Pace({**told, "seed": "77", **other}, networks, 0.1)


def test_a_stack_of_the_same_size_takes_as_long_per_epoch(stack: list[Job]) -> None:
    told = time_of([stack], [_pace(stack, 4)], 1)
    assert told.startswith("Time: 10 s of training, about 2 s of recording\n")


def test_for_another_stack_size_the_time_lies_between_equal_and_proportional(
    stack: list[Job],
) -> None:
    told = time_of([stack], [_pace(stack, 1)], 1)
    assert told.startswith("Time: 10 s to 40 s of training")
    assert "another size" in told
    assert time_of([stack], [_pace(stack, 8)], 1).startswith("Time: 5 s to 10 s of training")


def test_the_nearest_size_counts(stack: list[Job]) -> None:
    told = time_of([stack], [_pace(stack, 64), _pace(stack, 4), _pace(stack, 1)], 1)
    assert told.startswith("Time: 10 s of training")


def test_processes_share_the_stacks(stack: list[Job]) -> None:
    paces = [_pace(stack, 4)]
    assert time_of([stack] * 3, paces, 1).startswith("Time: 30 s of training")
    assert time_of([stack] * 3, paces, 2).startswith("Time: 15 s of training")
    assert time_of([stack] * 3, paces, 9).startswith("Time: 10 s of training")


def test_runs_of_other_networks_give_no_estimate(stack: list[Job]) -> None:
    assert time_of([stack], [], 1).startswith("Time: unknown")
    other = _pace(stack, 4, **{"model.units": "3"})
    assert time_of([stack], [other], 1).startswith("Time: unknown")


def test_the_forecast_says_for_how_many_stacks_the_time_is_unknown(stack: list[Job]) -> None:
    with_callbacks = Job(9, ["callbacks=mine"])
    told = time_of([stack, [with_callbacks]], [_pace(stack, 4)], 1)
    assert "without 1 of the stacks" in told
