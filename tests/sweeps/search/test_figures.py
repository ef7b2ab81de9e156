"""The figures of a search."""

from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from echo_exp.sweeps.job import JobResult, Status
from echo_exp.sweeps.search import figures, results
from echo_exp.sweeps.search.goals import Constraint
from echo_exp.sweeps.search.run_search import best_of
from echo_exp.sweeps.search.settings import SearchSettings

from .searches import MEDIAN, settings_for


def _study(found: SearchSettings) -> optuna.Study:
    directions: list[Any] = [objective.direction for objective in found.objectives]
    sampler = optuna.samplers.RandomSampler(seed=0)
    return optuna.create_study(sampler=sampler, directions=directions)


def _drawn(count: int, values: Any, **changes: Any) -> set[str]:
    found = settings_for(**changes)
    study = _study(found)
    spaces = {"units": IntDistribution(1, 50), "model": CategoricalDistribution(("a" * 40, "b"))}
    for number in range(count):
        trial = study.ask(dict(spaces))
        if len(found.objectives) == 1:
            trial.report(number, 5)
        for constraint in found.constraints:
            trial.set_constraint(str(constraint), constraint.violation(number))
        study.tell(trial, values(number))
    important = figures.importances(study, found)
    return set(figures.draw(study, found, results.best(study)[:1], important))


def test_only_figures_for_which_there_are_enough_trials_are_drawn() -> None:
    assert _drawn(0, lambda n: n) == set()
    assert _drawn(1, lambda n: n) == {"history"}
    assert _drawn(3, lambda _: 1) >= {"history", "slices"}
    several = {"history", "slices", "importances", "map"}
    assert _drawn(8, lambda n: n) == several
    assert _drawn(8, lambda n: n, pruner=MEDIAN) == several | {"validations"}
    two = ["maximize val/accuracy", "minimize fit_seconds"]
    assert _drawn(8, lambda n: (n, n + 1), objectives=two) == several | {"pareto_front"}
    assert _drawn(8, lambda n: n, constraints=["val/loss at most 5"]) == several


@pytest.mark.parametrize(
    ("objective", "sign"), [("maximize val/accuracy", 1), ("minimize val/loss", -1)]
)
def test_what_makes_the_best_trials_good_is_important(objective: str, sign: int) -> None:
    found = settings_for(objectives=[objective], constraints=[])
    study = _study(found)
    for _ in range(200):
        trial = study.ask({"good": FloatDistribution(0, 1), "bad": FloatDistribution(0, 1)})
        value = trial.params["good"] if trial.params["bad"] > 0.2 else -1.0
        study.tell(trial, sign * value)
    (shares,) = figures.importances(study, found).values()
    assert shares["good"] > 0.9


def test_a_constraint_is_drawn_as_the_metric_that_it_bounds() -> None:
    for most in (True, False):
        constraint = Constraint("val/loss", most, 5)
        assert constraint.value(constraint.violation(3)) == 3


@pytest.mark.parametrize("bound", [5.0, 0.99, 1234567.0, 1e-9])
def test_the_text_of_a_constraint_has_all_digits_of_its_bound(bound: float) -> None:
    constraint = Constraint("parameters", True, bound)
    assert Constraint.read(str(constraint)) == constraint


def test_the_best_so_far_meets_the_constraints() -> None:
    read = settings_for(objectives=["minimize val/loss"], constraints=["val/accuracy at least 0.5"])
    found = {
        0: JobResult(Status.FINISHED, metrics={"val/loss": 0.3, "val/accuracy": 0.6}),
        1: JobResult(Status.FINISHED, metrics={"val/loss": 0.2, "val/accuracy": 0.7}),
        2: JobResult(Status.FINISHED, metrics={"val/loss": 0.1, "val/accuracy": 0.4}),
        3: JobResult(Status.FAILED, "it broke"),
    }
    assert best_of(read, found) == "trial 1 (val/loss 0.2000)"
    assert best_of(read, {2: found[2], 3: found[3]}) == ""
