"""What a search varies, what it is known by, what Optuna is told; nothing is trained."""

import re
from pathlib import Path
from typing import Any

import optuna
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from echo_exp import configuration
from echo_exp.settings import SettingError, redacted
from echo_exp.sweeps.job import JobResult, Status, reasons
from echo_exp.sweeps.plan import Sweep, SweepSettings
from echo_exp.sweeps.search import figures, results, settings, space
from echo_exp.sweeps.search.conduct import Search, best_of, together
from echo_exp.sweeps.search.goals import Constraint
from echo_exp.sweeps.search.settings import SearchSettings
from echo_exp.sweeps.search.storage import open_storage
from echo_exp.sweeps.search.trials import ERROR, Trials, study_name

OPEN_FILES = Path("/proc/self/fd")

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
def test_a_space_is_written_as_hydra_writes_it(override: str) -> None:
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
def test_a_space_that_cannot_be_is_refused(override: str) -> None:
    with pytest.raises(SettingError, match=WRONG[override]):
        space.read([override])


def test_of_a_setting_given_twice_the_last_counts() -> None:
    found = space.read(["a=range(9)", "b=range(9)", "+c=1", "b=interval(0, 1)", "a=3", "c=2"])
    assert dict(found.distributions) == {"b": FloatDistribution(0, 1)}
    assert found.fixed == ["a=3", "c=2"]


def test_what_comes_from_the_storage_must_be_of_the_space() -> None:
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


def _node(**changes: Any) -> DictConfig:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        composed = compose("config", ["hydra/sweeper=optuna"], return_hydra_config=True)
    node = OmegaConf.create(OmegaConf.to_container(composed.hydra.sweeper, resolve=False))
    assert isinstance(node, DictConfig)
    node.storage = "sqlite:///optuna.db"
    node.update(changes)
    return node


def _settings(**changes: Any) -> SearchSettings:
    return settings.read(_node(**changes))


MEDIAN = {"_target_": "optuna.pruners.MedianPruner"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objectives": []}, "at least one"),
        ({"objectives": "maximize val/accuracy"}, "it must be a list"),
        ({"objectives": ["val/accuracy"]}, "maximize or minimize, and a metric"),
        ({"objectives": ["maximise val/accuracy"]}, "maximize or minimize, and a metric"),
        ({"objectives": ["maximize test/accuracy"]}, "chooses by validation"),
        ({"constraints": ["test/accuracy at least 0.9"]}, "chooses by validation"),
        ({"constraints": ["val/accuracy >= 0.9"]}, "at least 0.99"),
        ({"constraints": ["val/accuracy at least much"]}, "at least 0.99"),
        ({"trials": 0}, "at least 1"),
        ({"n_jobs": 0}, "at least 1"),
        ({"trails": 5}, "did you mean hydra.sweeper.trials"),
        ({"sampler": {"_target_": "os.system", "command": "true"}}, "a class of optuna.samplers"),
        ({"sampler": {"_target_": "optuna.samplers.Nothing"}}, "callable"),
        (
            {"sampler": {"_target_": "optuna.samplers.CmaEsSampler"}},
            "executes code from the storage",
        ),
        ({"sampler": {"_target_": "optuna.samplers.RandomSampler", "seed": 1}}, "`seed` seeds it"),
        ({"sampler": None}, "a class of optuna.samplers"),
        ({"pruner": "median"}, "a class of optuna.pruners"),
        ({"pruner": MEDIAN | {"n_startup": 5}}, "did you mean"),
        ({"pruner": MEDIAN | {"n_startup_trials": -1}}, "n_startup_trials|Number of"),
        ({"pruner": MEDIAN, "objectives": ["minimize parameters"]}, "a metric of val/"),
        (
            {"pruner": MEDIAN, "objectives": ["maximize val/accuracy", "minimize parameters"]},
            "neither is the worse",
        ),
    ],
)
def test_a_wrong_setting_is_explained(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        _settings(**changes)


def test_a_study_is_known_by_what_is_asked_and_not_by_how() -> None:
    def name(*lines: str, **changes: Any) -> str:
        return study_name(_settings(**changes), space.read(lines), "code")

    asked = ("model.units=range(5, 9)", "epochs=5")
    first = name(*asked)
    assert name(*reversed(asked)) == first
    assert name(*asked, "output_dir=elsewhere", trials=7, storage="sqlite:///x.db") == first
    others = {
        name("model.units=range(5, 10)", "epochs=5"),
        name("model.units=range(5, 9)", "epochs=6"),
        name(*asked, objectives=["minimize val/loss"]),
        name(*asked, constraints=["parameters at most 5000"]),
    }
    assert len(others | {first}) == 5
    assert name(*asked, name="mine") == "mine"


def test_a_constraint_says_how_far_a_value_is_off() -> None:
    assert Constraint("val/accuracy", False, 0.99).violation(0.9) == pytest.approx(0.09)
    assert Constraint("val/accuracy", False, 0.99).violation(0.99) == 0
    assert Constraint("parameters", True, 100).violation(90) == -10


def test_as_many_trials_are_launched_as_the_launcher_runs() -> None:
    basic = OmegaConf.create(
        {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}
    )
    assert _settings().at_once(basic) == 1
    assert _settings().at_once(OmegaConf.create({"_target_": "x.JoblibLauncher", "n_jobs": 3})) == 3
    assert _settings(n_jobs=4).at_once(basic) == 4


STACKABLE = ("optimizer.learning_rate=interval(0.001, 0.1)", "seed=range(9)")


@pytest.mark.parametrize(
    ("lines", "changes", "fused", "expected"),
    [
        (STACKABLE, {"trials": 50}, True, 10),
        (STACKABLE, {"trials": 5000}, True, 64),
        ((*STACKABLE, "replicas=16"), {"trials": 50}, True, 4),
        ((*STACKABLE, "model.units=range(5, 9)"), {"trials": 50}, True, 1),
        (STACKABLE, {"trials": 50, "n_jobs": 3}, True, 3),
        (STACKABLE, {"trials": 50}, False, 1),
    ],
)
def test_trials_that_can_be_one_stack_are_launched_together(
    lines: tuple[str, ...], changes: dict[str, Any], fused: bool, expected: int
) -> None:
    asked = _settings(**changes)
    one = asked.at_once(OmegaConf.create({"_target_": "x.BasicLauncher"}))
    search = Search("a search", (), asked, space.read(lines), "", one)
    settings = SweepSettings("unfinished", 1, fused, report=False, dry_run=False)
    sweep = Sweep("a search", (), (), settings, Path())
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        assert together(search, sweep) == expected


def _trials(folder: Path, *lines: str, **changes: Any) -> Trials:
    changes.setdefault("storage", f"sqlite:///{folder}/optuna.db")
    found = space.read(lines or ["model.units=range(5, 99)"])
    return Trials(_settings(**changes), found, "code", seed=1, store=None, folder=folder)


def _result(**metrics: float) -> JobResult:
    return JobResult(
        Status.FINISHED, metrics={k.replace("_", "/", 1): v for k, v in metrics.items()}
    )


def _close(trials: Trials) -> None:
    assert trials._only is not None
    trials._only.release()


def test_the_best_are_those_within_the_constraints(tmp_path: Path) -> None:
    changes = {"objectives": ["minimize parameters"], "constraints": ["val/accuracy at least 0.9"]}
    trials = _trials(tmp_path, trials=4, **changes)
    numbers = [trial.number for trial in trials.take(9)]
    assert numbers == [0, 1, 2, 3]
    for number, (size, accuracy) in enumerate([(9, 1.0), (5, 0.8), (7, 0.9), (8, 0.95)]):
        result = JobResult(Status.EARLIER, metrics={"parameters": size, "val/accuracy": accuracy})
        trials.tell(number, result)
    assert [trial.number for trial in results.best(trials.study)] == [2, 3, 0]
    assert results.columns(trials)["allowed"] == [True, False, True, True]
    said = results.answer(trials, results.best(trials.study))
    assert re.fullmatch(
        r"Best with val/accuracy at least 0\.9: model\.units=\d+: parameters 7\.", said
    )
    assert trials.take(1) == []


def test_the_answer_tells_which_setting_matters_and_what_is_as_good(tmp_path: Path) -> None:
    lines = ("model.units=range(5, 99)", "optimizer.learning_rate=interval(0, 1)")
    trials = _trials(tmp_path, *lines, trials=30)
    assert results.answer(trials, []) == "No trial has finished."
    for trial in trials.take(30):
        trials.tell(trial.number, _result(val_accuracy=float(trial.params["model.units"] > 60)))
    said = results.answer(trials, results.best(trials.study))
    assert re.search(r"val/accuracy 1.*, \d+ more have the same; model\.units matters most", said)


def test_directions_decide_which_is_best_and_what_the_front_is(tmp_path: Path) -> None:
    values = [(0.5, 1.0), (0.9, 5.0), (0.8, 6.0), (0.6, 1.0)]
    trials = _trials(
        tmp_path, objectives=["maximize val/accuracy", "minimize fit_seconds"], trials=4
    )
    trials.take(4)
    for number, (accuracy, seconds) in enumerate(values):
        metrics = {"val/accuracy": accuracy, "fit_seconds": seconds}
        trials.tell(number, JobResult(Status.FINISHED, metrics=metrics))
    assert [trial.number for trial in results.best(trials.study)] == [1, 3]
    assert results.answer(trials, results.best(trials.study)) == (
        "2 trials are on the Pareto front of maximize val/accuracy and minimize fit_seconds."
    )


def test_a_job_that_fails_or_is_pruned_is_no_result_and_counts(tmp_path: Path) -> None:
    trials = _trials(tmp_path, trials=3)
    trials.take(3)
    secret = "no answer from postgresql://me:secret@host/db"
    trials.tell(0, JobResult(Status.FAILED, secret))
    trials.tell(1, JobResult(Status.PRUNED, "pruned at epoch 5"))
    trials.tell(2, _result(val_accuracy=float("nan")))
    assert [trials.results()[n].status for n in range(3)] == ["failed", "pruned", "failed"]
    assert reasons(trials.results()) == {
        0: "no answer from postgresql://me:***@host/db",
        2: "it has no finite val/accuracy, which the search needs",
    }
    assert [bool(error) for error in results.columns(trials)["error"]] == [True, False, True]
    states = [trial.state for trial in trials.study.trials]
    assert states == [TrialState.FAIL, TrialState.PRUNED, TrialState.FAIL]
    assert "secret" not in trials.study.trials[0].user_attrs[ERROR]
    assert trials.take(1) == []
    assert results.best(trials.study) == []


def test_a_metric_that_does_not_exist_ends_the_search(tmp_path: Path) -> None:
    trials = _trials(tmp_path, objectives=["maximize val/acuracy"])
    trials.take(1)
    with pytest.raises(SettingError, match="did you mean val/accuracy"):
        trials.tell(0, _result(val_accuracy=1.0))


def test_what_other_processes_have_told_of_trials_is_known_here_too(tmp_path: Path) -> None:
    first = _trials(tmp_path, trials=3)
    first.take(3)
    first.tell(0, JobResult(Status.FAILED, "batch_size=8 is not allowed\nand more"))
    first.study.tell(1, state=TrialState.FAIL)  # by Optuna itself, or somebody's script
    _close(first)
    second = _trials(tmp_path, trials=3)
    assert reasons(second.results()) == {
        0: "batch_size=8 is not allowed",
        1: "no reason was recorded",
    }
    assert 2 not in second.results()  # it has not ended
    _close(second)


def test_a_metric_that_not_every_job_has_is_named_where_a_trial_lacks_it(tmp_path: Path) -> None:
    trials = _trials(tmp_path, objectives=["minimize epochs_to_solve"], trials=1)
    trials.take(1)
    trials.tell(0, _result(val_accuracy=0.5))
    assert reasons(trials.results()) == {
        0: "it has no finite epochs_to_solve, which the search needs"
    }


@pytest.mark.parametrize("scheme", ["sqlite", "journal"])
def test_trials_that_a_process_left_come_first_and_with_their_settings(
    tmp_path: Path, scheme: str
) -> None:
    storage = f"{scheme}:///{tmp_path}/trials"
    first = _trials(tmp_path, trials=3, storage=storage)
    left = first.take(2)
    first.tell(0, _result(val_accuracy=0.5))
    _close(first)
    second = _trials(tmp_path, trials=3, storage=storage)
    taken = second.take(2)
    assert [trial.number for trial in taken] == [1, 2]
    assert taken[0].params == left[1].params
    assert len({str(trial.params) for trial in second.study.trials}) == 3  # nothing twice


def test_a_trial_that_was_left_while_it_was_made_gets_what_it_lacks(tmp_path: Path) -> None:
    trials = _trials(tmp_path, "model.units=range(5, 99)", "seed=range(9)", trials=1)
    trials.study.ask({"model.units": IntDistribution(5, 98)})
    (trial,) = trials.take(1)
    assert trial.number == 0
    assert set(trial.params) == {"model.units", "seed"}


def test_without_tracking_a_search_is_one_processs(tmp_path: Path) -> None:
    first = _trials(tmp_path)
    with pytest.raises(SettingError, match="another process runs this search"):
        _trials(tmp_path)
    _close(first)
    _close(_trials(tmp_path))


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="the system does not tell which files are open")
def test_a_search_leaves_no_connection_open(tmp_path: Path) -> None:
    trials = _trials(tmp_path, trials=2)
    trials.take(2)
    trials.tell(0, _result(val_accuracy=0.5))
    assert len(trials.results()) == 1
    opened = [link.readlink() for link in OPEN_FILES.iterdir() if link.exists()]
    assert not [path for path in opened if path.name.startswith("optuna.db")]
    _close(trials)


def test_a_study_of_other_directions_is_refused(tmp_path: Path) -> None:
    _close(_trials(tmp_path, name="mine"))
    with pytest.raises(SettingError, match="with the directions"):
        _trials(tmp_path, name="mine", objectives=["minimize val/loss"])


@pytest.mark.parametrize("seed", [1, 2])
def test_the_seed_decides_what_is_proposed(tmp_path: Path, seed: int) -> None:
    def proposed(folder: str) -> list[Any]:
        storage = f"sqlite:///{tmp_path}/{folder}.db"
        found = space.read(["model.units=range(5, 9999)"])
        made = Trials(_settings(storage=storage), found, "code", seed, None, tmp_path / folder)
        return [trial.params["model.units"] for trial in made.take(3)]

    assert proposed("a") == proposed("b")
    assert (proposed("c") == [4735, 1, 1]) is False


@pytest.mark.parametrize(
    "url",
    ["redis://me:secret@host/0", "postgresql://me:secret@127.0.0.1:1/x", "sqlite:////dev/null/x"],
)
def test_a_storage_that_cannot_be_used_is_named_without_its_password(url: str) -> None:
    with pytest.raises(SettingError) as error:
        open_storage(url)
    assert f"hydra.sweeper.storage={redacted(url)}" in str(error.value)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_job_is_told_of_the_search_only_to_be_pruned() -> None:
    assert _settings().told("mine", "sqlite:///x") == []
    told = _settings(pruner=MEDIAN).told("mine", "${oc.env:STORAGE}")
    assert "hydra.sweeper.storage='${oc.env:STORAGE}'" in told
    assert all(re.match(r"[+]*hydra[./]sweeper", line) for line in told)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random", "nsgaii", "brute_force"])
def test_every_sampler_proposes(sampler: str, tmp_path: Path) -> None:
    folder = configuration.FOLDER / "hydra" / "sweeper" / "sampler"
    node = OmegaConf.load(folder / f"{sampler}.yaml")
    trials = _trials(
        tmp_path, "model.units=range(5, 9)", "model=choice(a, b)", sampler=node, trials=13
    )
    for _ in range(13):
        (trial,) = trials.take(1)
        trials.tell(trial.number, _result(val_accuracy=trial.params["model.units"] / 10))
    assert len(trials.study.trials) == 13


def test_a_sampler_that_cannot_handle_the_space_is_named(tmp_path: Path) -> None:
    node = {"_target_": "optuna.samplers.BruteForceSampler"}
    trials = _trials(tmp_path, "optimizer.learning_rate=interval(0, 1)", sampler=node)
    with pytest.raises(SettingError, match=r"sampler=optuna\.samplers\.BruteForceSampler"):
        trials.take(1)


def _drawn(count: int, values: Any, **changes: Any) -> set[str]:
    found = _settings(**changes)
    directions: list[Any] = [objective.direction for objective in found.objectives]
    study = optuna.create_study(directions=directions)
    spaces = {"units": IntDistribution(1, 50), "model": CategoricalDistribution(("a" * 40, "b"))}
    for number in range(count):
        trial = study.ask(dict(spaces))
        if len(directions) == 1:
            trial.report(number, 5)
        for constraint in found.constraints:
            trial.set_constraint(str(constraint), constraint.violation(number))
        study.tell(trial, values(number))
    return set(figures.draw(study, found, results.best(study)[:1]))


def test_there_are_figures_as_far_as_the_trials_suffice() -> None:
    assert _drawn(0, lambda n: n) == set()
    assert _drawn(1, lambda n: n) == {"history"}
    assert _drawn(3, lambda _: 1) >= {"history", "slices"}
    several = {"history", "slices", "importances", "map"}
    assert _drawn(8, lambda n: n) == several
    assert _drawn(8, lambda n: n, pruner=MEDIAN) == several | {"validations"}
    two = ["maximize val/accuracy", "minimize fit_seconds"]
    assert _drawn(8, lambda n: (n, n + 1), objectives=two) == several | {"pareto_front"}
    assert _drawn(8, lambda n: n, constraints=["val/loss at most 5"]) == several


def test_a_constraint_is_drawn_as_the_metric_that_it_bounds() -> None:
    for most in (True, False):
        constraint = Constraint("val/loss", most, 5)
        assert constraint.value(constraint.violation(3)) == 3


def test_the_best_so_far_is_the_best_that_is_allowed() -> None:
    read = _settings(objectives=["minimize val/loss"], constraints=["val/accuracy at least 0.5"])
    found = {
        0: JobResult(Status.FINISHED, metrics={"val/loss": 0.3, "val/accuracy": 0.6}),
        1: JobResult(Status.FINISHED, metrics={"val/loss": 0.2, "val/accuracy": 0.7}),
        2: JobResult(Status.FINISHED, metrics={"val/loss": 0.1, "val/accuracy": 0.4}),
        3: JobResult(Status.FAILED, "it broke"),
    }
    assert best_of(read, found) == "trial 1 (val/loss 0.2000)"
    assert best_of(read, {2: found[2], 3: found[3]}) == ""
