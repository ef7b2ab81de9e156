"""The settings that distinguish the runs of a sweep, and the names made from them."""

import pytest

from echo_exp.configuration import short, swept, varied, words

SIZES = [
    {"model": "Seq2Seq", "model.units": units, "seed": seed, "epochs": 5}
    for units in (10, 20)
    for seed in (1, 2)
]
NETWORKS = [
    {"model": "Seq2Seq", "model.units": 20, "seed": 1},
    {"model": "EncoderDecoder", "model.units": 150, "seed": 1},
]


def test_runs_are_distinguished_by_the_settings_that_differ_with_the_seed_last() -> None:
    assert swept(SIZES) == ("model.units", "seed")
    assert swept(SIZES[:2]) == ("seed",)
    assert swept(SIZES[:1]) == swept([]) == ()


def test_settings_that_follow_from_varied_ones_are_left_out() -> None:
    assert swept(NETWORKS, {"model"}) == ("model",)
    assert swept(NETWORKS) == ("model", "model.units")


def test_settings_changed_by_a_group_stay_if_its_class_does_not_distinguish() -> None:
    runs = [{"model": "Seq2Seq", "model.stateful": state} for state in (True, False)]
    assert swept(runs, {"model"}) == ("model.stateful",)
    more = [{"batch_size": size, **run} for size, run in zip((1, 7), runs, strict=True)]
    assert swept(more, {"model"}) == ("model.stateful",)  # and not what follows from it


def test_a_setting_that_some_runs_lack_counts_as_different() -> None:
    assert swept([{"model.units": 20}, {}]) == ("model.units",)


def test_all_settings_of_a_search_count_although_no_two_trials_are_alike() -> None:
    trials = [{"model.units": n, "optimizer.learning_rate": n / 100} for n in (1, 2, 3)]
    named = {"model.units", "optimizer.learning_rate"}
    assert swept(trials, named) == ("model.units", "optimizer.learning_rate")


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (
            {"model.units": 40, "optimizer.learning_rate": 0.003, "seed": 1},
            "units 40, lr 0.003, seed 1",
        ),
        ({"model": "Seq2Seq", "model.stateful": False}, "Seq2Seq, stateful false"),
        ({"optimizer.learning_rate": 1e-05}, "lr 1e-05"),
        ({"optimizer.learning_rate": 0.001000001}, "lr 0.001000001"),
        ({"model.units": 1, "head.units": 2}, "model.units 1, head.units 2"),
    ],
)
def test_a_run_is_named_by_the_last_parts_of_its_settings(
    run: dict[str, object], expected: str
) -> None:
    assert words(run, list(run)) == expected


def test_a_name_leaves_out_settings_that_the_run_lacks() -> None:
    assert words({"seed": 1}, ["model.units", "seed"]) == "seed 1"
    assert short("model.units", ["model.units", "seed"]) == "units"


def test_overrides_differ_in_what_not_all_runs_have() -> None:
    jobs = [["model=seq2seq", "seed=1", "+a.b=2"], ["model=seq2seq", "seed=2", "+a.b=3"]]
    assert varied(jobs) == {"seed": ["1", "2"], "a.b": ["2", "3"]}
