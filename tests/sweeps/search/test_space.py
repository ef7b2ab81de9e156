"""The space that a search may vary, and its grammar."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from echo_exp.settings import SettingError
from echo_exp.sweeps.search import space

SPACES = {
    "model=choice(seq2seq, stateless)": CategoricalDistribution(("seq2seq", "stateless")),
    "model=seq2seq,stateless": CategoricalDistribution(("seq2seq", "stateless")),
    "model.stateful=choice(true, false)": CategoricalDistribution(("True", "False")),
    "batch_size=choice(7, 21)": CategoricalDistribution(("7", "21")),
    "x=choice('a b', [1,2])": CategoricalDistribution((r"a\ b", "[1,2]")),
    "x=range(5, 80)": IntDistribution(5, 79),
    "x=range(3)": IntDistribution(0, 2),
    "x=range(5, 80, step=10)": IntDistribution(5, 75, step=10),
    "x=range(10, 0, -3)": IntDistribution(1, 10, step=3),
    "x=range(0.0, 1.0, step=0.1)": FloatDistribution(0.0, 0.9, step=0.1),
    "x=shuffle(range(1, 4))": IntDistribution(1, 3),
    "x=tag(log, range(1, 100))": IntDistribution(1, 99, log=True),
    "x=interval(0, 1)": FloatDistribution(0.0, 1.0),
    "x=tag(log, interval(1e-4, 1e-1))": FloatDistribution(1e-4, 1e-1, log=True),
    "x=int(interval(1, 9))": IntDistribution(1, 9),
    "x=tag(log, int(interval(1, 900)))": IntDistribution(1, 900, log=True),
}


@pytest.mark.parametrize("override", SPACES)
def test_a_space_follows_hydras_grammar(override: str) -> None:
    found = space.read([override])
    ((name, distribution),) = found.distributions.items()
    assert distribution == SPACES[override]
    assert override.startswith(f"{name}=")


WRONG = {
    "x=range(5, 5)": "the range is empty",
    "x=range(8, 5)": "the range is empty",
    "x=range(1, 5, 0)": "the range is empty",
    "x=interval(2, 1)": "low not above high",
    "x=tag(log, interval(0, 1))": "begin above 0",
    "x=tag(log, interval(-1, 1))": "begin above 0",
    "x=tag(log, range(0, 5))": "begin above 0",
    "x=tag(log, range(1, 9, 2))": "a step of 1",
    "x=5": "a setting to vary",
}


@pytest.mark.parametrize("override", WRONG)
def test_an_impossible_space_is_refused(override: str) -> None:
    with pytest.raises(SettingError, match=WRONG[override]):
        space.read([override])


def test_if_a_setting_is_given_twice_the_last_counts() -> None:
    found = space.read(["a=range(9)", "b=range(9)", "+c=1", "b=interval(0, 1)", "a=3", "c=2"])
    assert dict(found.distributions) == {"b": FloatDistribution(0, 1)}
    assert found.fixed == ["a=3", "c=2"]


def test_values_from_the_storage_must_belong_to_the_space() -> None:
    found = space.read(["seed=1", "model=choice(seq2seq, stateless)", "model.units=range(5, 9)"])
    good = {"model": "stateless", "model.units": 8}
    assert found.overrides(good) == ["seed=1", "model=stateless", "model.units=8"]
    for bad in (
        {"model": "${oc.env:HOME}"},
        {"model.units": 9},
        {"model.units": "8"},
        {"model.units": True},
        {"model.units": None},
    ):
        with pytest.raises(ValueError, match="does not allow"):
            found.overrides({**good, **bad})


def test_numbers_are_ranges_intervals_and_choices_among_numbers_only() -> None:
    found = space.read(
        [
            "model.units=range(5, 80)",
            "optimizer.learning_rate=interval(0, 1)",
            "batch_size=choice(1, 3)",
            "model=choice(seq2seq, gru)",
        ]
    )
    assert found.numbers == ["model.units", "optimizer.learning_rate", "batch_size"]
