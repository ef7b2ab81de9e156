"""The best trials of a search, and its answer in one sentence."""

import re
from pathlib import Path

from echo_exp.sweeps.job import JobResult, Status
from echo_exp.sweeps.search import figures, results
from echo_exp.sweeps.search.trials import Trials

from .searches import begun, result_of


def _said(trials: Trials) -> str:
    important = figures.importances(trials.study, trials.settings)
    return results.answer(trials, results.best(trials.study), important)


def test_the_best_trials_meet_the_constraints(tmp_path: Path) -> None:
    changes = {"objectives": ["minimize parameters"], "constraints": ["val/accuracy at least 0.9"]}
    trials = begun(tmp_path, trials=4, **changes)
    numbers = [trial.number for trial in trials.take(9)]
    assert numbers == [0, 1, 2, 3]
    for number, (size, accuracy) in enumerate([(9, 1.0), (5, 0.8), (7, 0.9), (8, 0.95)]):
        result = JobResult(Status.EARLIER, metrics={"parameters": size, "val/accuracy": accuracy})
        trials.tell(number, result)
    assert [trial.number for trial in results.best(trials.study)] == [2, 3, 0]
    assert results.columns(trials)["allowed"] == [True, False, True, True]
    said = _said(trials)
    assert re.fullmatch(
        r"Best with val/accuracy at least 0\.9: model\.units=\d+: parameters 7\.", said
    )
    assert trials.take(1) == []


def test_the_table_of_trials_has_a_column_for_each_setting_without_a_dot(tmp_path: Path) -> None:
    lines = (
        "model.units=range(5, 99)",
        "optimizer.beta_1=interval(0, 1)",
        "a.size=1,2",
        "b.size=1,2",
    )
    trials = begun(tmp_path, *lines, trials=1)
    assert list(results.columns(trials))[:5] == ["trial", "units", "beta_1", "a/size", "b/size"]


def test_a_pruned_trial_does_not_count_as_allowed(tmp_path: Path) -> None:
    trials = begun(tmp_path, trials=2)
    trials.take(2)
    trials.tell(0, result_of(val_accuracy=1.0))
    trials.tell(1, JobResult(Status.PRUNED))
    assert results.columns(trials)["allowed"] == [True, False]


def test_the_answer_names_the_setting_that_matters_and_equally_good_values(tmp_path: Path) -> None:
    lines = ("model.units=range(5, 99)", "optimizer.learning_rate=interval(0, 1)")
    trials = begun(tmp_path, *lines, trials=30)
    assert results.answer(trials, [], {}) == "No trial has finished."
    for trial in trials.take(30):
        trials.tell(trial.number, result_of(val_accuracy=float(trial.params["model.units"] > 60)))
    said = _said(trials)
    same = r"val/accuracy 1.*, \d+ others score the same; model\.units matters most"
    assert re.search(same, said)


def test_directions_decide_the_best_trial_and_the_pareto_front(tmp_path: Path) -> None:
    values = [(0.5, 1.0), (0.9, 5.0), (0.8, 6.0), (0.6, 1.0)]
    trials = begun(tmp_path, objectives=["maximize val/accuracy", "minimize fit_seconds"], trials=4)
    trials.take(4)
    for number, (accuracy, seconds) in enumerate(values):
        metrics = {"val/accuracy": accuracy, "fit_seconds": seconds}
        trials.tell(number, JobResult(Status.FINISHED, metrics=metrics))
    assert [trial.number for trial in results.best(trials.study)] == [1, 3]
    assert _said(trials) == (
        "2 trials are on the Pareto front of maximize val/accuracy and minimize fit_seconds."
    )
