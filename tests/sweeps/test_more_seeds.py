"""A study keeps the seeds of finished runs and trains only the others."""

import dataclasses
from itertools import pairwise
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st

from echo_exp import configuration
from echo_exp.sweeps import more_seeds
from echo_exp.sweeps.more_seeds import Found, chosen, divided, grouped, parts
from echo_exp.sweeps.plan import Sweep, SweepSettings, make_jobs

SETTINGS = SweepSettings(again="unfinished", attempts=1, fused=True, report=True, dry_run=False)

ranges = st.builds(
    lambda first, count: range(first, first + count), st.integers(0, 20), st.integers(1, 8)
)


@pytest.mark.parametrize(
    ("found", "divided"),
    [
        ([], ["1-12"]),
        (["1-8"], ["1-8", "9-12"]),
        (["1-8", "9-12"], ["1-8", "9-12"]),
        (["3-5"], ["1-2", "3-5", "6-12"]),
        (["1-8", "1-12"], ["1-12"]),
        (["1-8", "5-12"], ["1-8", "9-12"]),
        (["1-6", "7-12", "3-10"], ["1-6", "7-12"]),  # not the longest, but all seeds
        (["5-12", "1-6", "7-9"], ["1-6", "7-9", "10-12"]),
        (["1-16"], ["1-12"]),
        (["1-11"], ["1-12"]),  # a seed by itself would fail if it diverged
        (["2-12"], ["1-12"]),
    ],
)
def test_a_cell_is_divided_into_finished_and_other_seeds(
    found: list[str], divided: list[str]
) -> None:
    assert parts(_seeds("1-12"), map(_seeds, found)) == [*map(_seeds, divided)]


def _seeds(written: str) -> range:
    first, last = map(int, written.split("-"))
    return range(first, last + 1)


@given(ranges, st.lists(ranges))
def test_the_parts_of_a_cell_are_its_seeds(wanted: range, found: list[range]) -> None:
    assert [seed for part in parts(wanted, found) for seed in part] == [*wanted]


@given(ranges, st.lists(ranges))
def test_no_two_chosen_runs_share_a_seed(wanted: range, found: list[range]) -> None:
    seeds = [seed for part in chosen(wanted, found) for seed in part]
    assert len(seeds) == len({*seeds})
    assert {*seeds} <= {*wanted}


@given(ranges, st.lists(st.booleans()), st.lists(ranges))
def test_runs_that_complete_a_cell_are_chosen(
    wanted: range, cuts: list[bool], found: list[range]
) -> None:
    edges = [seed for seed, cut in zip(wanted[1:], cuts, strict=False) if cut]
    whole = [range(*pair) for pair in pairwise([wanted.start, *edges, wanted.stop])]
    assert sum(map(len, chosen(wanted, [*found, *whole]))) == len(wanted)


@given(ranges, st.lists(ranges), st.data())
def test_a_cell_that_is_continued_has_the_same_parts(
    wanted: range, found: list[range], data: st.DataObject
) -> None:
    """However many of its parts had finished when it was interrupted."""
    before = parts(wanted, found)
    finished = [part for part in before if data.draw(st.booleans())]
    assert parts(wanted, [*found, *finished]) == before


def _sweep(*overrides: str) -> Sweep:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        jobs = make_jobs(line.split() for line in overrides)
    return Sweep("mine", [], jobs, SETTINGS, Path(), tags={"study": "mine"})


def _found(sweep: Sweep, *seeds: str) -> Found[str]:
    """Finished runs of the sweep's first job with other seeds."""
    tags = {"fingerprint.seeds": sweep.jobs[0].repeats, "code": sweep.jobs[0].code}
    return grouped((tags, _seeds(written), written) for written in seeds)


def _divided(sweep: Sweep, found: Found[str]) -> Sweep:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        return divided(sweep, found)


def test_only_the_cells_with_finished_seeds_are_divided() -> None:
    sweep = _sweep("model.units=7 replicas=12", "model.units=8 replicas=12")
    made = _divided(sweep, _found(sweep, "1-8"))
    assert [" ".join(job.overrides) for job in made.jobs] == [
        "model.units=7 seed=1 replicas=8",
        "model.units=7 seed=9 replicas=4",
        "model.units=8 replicas=12",
    ]
    assert [job.number for job in made.jobs] == [0, 1, 2]
    assert made.axes == ("model.units", "seed", "replicas")
    assert (made.jobs[0].repeats, made.jobs[0].seeds) == (sweep.jobs[0].repeats, _seeds("1-8"))
    assert made.jobs[2] == dataclasses.replace(sweep.jobs[1], number=2)


def test_a_study_without_finished_seeds_stays_as_it_is() -> None:
    sweep = _sweep("model.units=7 replicas=12")
    assert _divided(sweep, {}) is sweep
    assert _divided(sweep, _found(sweep, "1-12", "20-30")) is sweep


def test_the_parts_leave_their_results_in_a_folder_of_their_own() -> None:
    sweep = _sweep("model.units=7 replicas=12")
    assert _divided(sweep, _found(sweep, "1-8")).folder != sweep.folder


def test_a_sweep_with_a_wrong_job_is_not_divided() -> None:
    sweep = _sweep("epochs=2", "epochs=0")
    assert _divided(sweep, {}) is sweep
    assert more_seeds.finished(sweep, {}) == {}


def test_of_runs_with_the_same_seeds_the_newest_counts() -> None:
    tags = {"fingerprint.seeds": "same", "code": "same"}
    found = grouped((tags, range(3), run) for run in ("newest", "older"))
    assert found == {("same", "same"): {range(3): "newest"}}


@pytest.mark.parametrize("setting", ["replicas=8", "seed=5", "seed=5 replicas=2"])
def test_runs_repeat_each_other_with_other_seeds(setting: str) -> None:
    assert len({job.repeats for job in _sweep("epochs=9", f"epochs=9 {setting}").jobs}) == 1


@pytest.mark.parametrize("setting", ["epochs=8", "model.units=5", "optimizer.learning_rate=1"])
def test_runs_that_differ_otherwise_do_not_repeat_each_other(setting: str) -> None:
    assert len({job.repeats for job in _sweep("replicas=2", f"replicas=2 {setting}").jobs}) == 2


def test_only_a_study_takes_over_seeds_and_not_if_all_is_run_again() -> None:
    sweep = _sweep("replicas=2")
    assert more_seeds.continues(sweep)
    assert not more_seeds.continues(dataclasses.replace(sweep, tags={}))
    again = dataclasses.replace(sweep.settings, again="all")
    assert not more_seeds.continues(dataclasses.replace(sweep, settings=again))
