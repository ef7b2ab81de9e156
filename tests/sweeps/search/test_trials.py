"""The trials that Optuna proposes, and the results that it receives, without any training."""

import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from optuna.distributions import IntDistribution
from optuna.trial import TrialState

from echo_exp import configuration
from echo_exp.settings import SettingError, redacted
from echo_exp.sweeps.job import JobResult, Status, reasons
from echo_exp.sweeps.search import results, run_search, space
from echo_exp.sweeps.search.storage import open_storage
from echo_exp.sweeps.search.trials import ERROR, Trials

from .searches import MEDIAN, begun, close, result_of, settings_for

OPEN_FILES = Path("/proc/self/fd")


def test_a_failed_or_pruned_job_counts_as_a_trial_without_a_result(tmp_path: Path) -> None:
    trials = begun(tmp_path, trials=3)
    trials.take(3)
    secret = "no answer from postgresql://me:secret@host/db"
    trials.tell(0, JobResult(Status.FAILED, secret))
    trials.tell(1, JobResult(Status.PRUNED, "pruned at epoch 5"))
    trials.tell(2, result_of(val_accuracy=float("nan")))
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
    trials = begun(tmp_path, objectives=["maximize val/acuracy"])
    trials.take(1)
    with pytest.raises(SettingError, match="did you mean val/accuracy"):
        trials.tell(0, result_of(val_accuracy=1.0))


def test_trials_reported_by_other_processes_are_known(tmp_path: Path) -> None:
    first = begun(tmp_path, trials=3)
    first.take(3)
    first.tell(0, JobResult(Status.FAILED, "batch_size=8 is not allowed\nand more"))
    first.study.tell(1, state=TrialState.FAIL)  # by Optuna itself, or somebody's script
    close(first)
    second = begun(tmp_path, trials=3)
    assert reasons(second.results()) == {
        0: "batch_size=8 is not allowed",
        1: "no reason was recorded",
    }
    assert 2 not in second.results()  # it has not ended
    close(second)


def test_a_trial_that_lacks_a_metric_names_it(tmp_path: Path) -> None:
    trials = begun(tmp_path, objectives=["minimize epochs_to_solve"], trials=1)
    trials.take(1)
    trials.tell(0, result_of(val_accuracy=0.5))
    assert reasons(trials.results()) == {
        0: "it has no finite epochs_to_solve, which the search needs"
    }


@pytest.mark.parametrize(
    ("objective", "metrics", "reason"),
    [
        (
            "maximize val/accuracy",
            {"diverged": 7.0},
            "7 of its replicas diverged, so it has no result",
        ),
        (
            "minimize epochs_to_solve",
            {"epochs_to_solve": 25.0, "solved": 0.125},
            "not all of its replicas solved the problem, so it has no epochs_to_solve",
        ),
        ("maximize val/accuracy", {"diverged": 0.0, "solved": 0.125}, None),
        ("minimize epochs_to_solve", {"epochs_to_solve": 25.0, "solved": 1.0}, None),
    ],
)
def test_a_trial_counts_only_if_all_its_replicas_have_what_is_optimised(
    tmp_path: Path, objective: str, metrics: dict[str, float], reason: str | None
) -> None:
    trials = begun(tmp_path, objectives=[objective], trials=1)
    trials.take(1)
    result = JobResult(Status.FINISHED, metrics={"val/accuracy": 1.0, **metrics})
    assert (run_search.best_of(trials.settings, {0: result}) == "") is (reason is not None)
    trials.tell(0, result)
    assert reasons(trials.results()).get(0) == reason


@pytest.mark.parametrize("scheme", ["sqlite", "journal"])
def test_abandoned_trials_come_first_with_their_settings(tmp_path: Path, scheme: str) -> None:
    storage = f"{scheme}:///{tmp_path}/trials"
    first = begun(tmp_path, trials=3, storage=storage)
    left = first.take(2)
    first.tell(0, result_of(val_accuracy=0.5))
    close(first)
    second = begun(tmp_path, trials=3, storage=storage)
    taken = second.take(2)
    assert [trial.number for trial in taken] == [1, 2]
    assert taken[0].params == left[1].params
    assert len({str(trial.params) for trial in second.study.trials}) == 3  # nothing twice


def test_a_half_proposed_trial_is_completed(tmp_path: Path) -> None:
    trials = begun(tmp_path, "model.units=range(5, 99)", "seed=range(9)", trials=1)
    trials.study.ask({"model.units": IntDistribution(5, 98)})
    (trial,) = trials.take(1)
    assert trial.number == 0
    assert set(trial.params) == {"model.units", "seed"}


def test_without_tracking_a_search_belongs_to_one_process(tmp_path: Path) -> None:
    first = begun(tmp_path)
    with pytest.raises(SettingError, match="another process runs this search"):
        begun(tmp_path)
    close(first)
    close(begun(tmp_path))


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="the system does not tell which files are open")
def test_a_search_leaves_no_connection_open(tmp_path: Path) -> None:
    trials = begun(tmp_path, trials=2, storage=f"sqlite:///{tmp_path}/optuna.db")
    trials.take(2)
    trials.tell(0, result_of(val_accuracy=0.5))
    assert len(trials.results()) == 1
    opened = [link.readlink() for link in OPEN_FILES.iterdir() if link.exists()]
    assert not [path for path in opened if path.name.startswith("optuna.db")]
    close(trials)


def test_an_optuna_study_with_other_directions_is_refused(tmp_path: Path) -> None:
    close(begun(tmp_path, name="mine"))
    with pytest.raises(SettingError, match="with the directions"):
        begun(tmp_path, name="mine", objectives=["minimize val/loss"])


@pytest.mark.parametrize("seed", [1, 2])
def test_the_seed_decides_what_is_proposed(tmp_path: Path, seed: int) -> None:
    def proposed(folder: str) -> list[Any]:
        storage = f"journal:///{tmp_path}/{folder}.log"
        found = space.read(["model.units=range(5, 9999)"])
        made = Trials(settings_for(storage=storage), found, "code", seed, None, tmp_path / folder)
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


def test_a_job_knows_its_search_only_if_it_may_be_pruned() -> None:
    assert settings_for().told("mine", "sqlite:///x") == []
    told = settings_for(pruner=MEDIAN).told("mine", "${oc.env:STORAGE}")
    assert "hydra.sweeper.storage='${oc.env:STORAGE}'" in told
    assert all(re.match(r"[+]*hydra[./]sweeper", line) for line in told)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random", "nsgaii", "brute_force"])
def test_every_sampler_proposes_settings(sampler: str, tmp_path: Path) -> None:
    folder = configuration.FOLDER / "hydra" / "sweeper" / "sampler"
    node = OmegaConf.load(folder / f"{sampler}.yaml")
    trials = begun(
        tmp_path, "model.units=range(5, 9)", "model=choice(a, b)", sampler=node, trials=13
    )
    for _ in range(13):
        (trial,) = trials.take(1)
        trials.tell(trial.number, result_of(val_accuracy=trial.params["model.units"] / 10))
    assert len(trials.study.trials) == 13


def test_a_sampler_that_cannot_handle_the_space_is_named(tmp_path: Path) -> None:
    node = {"_target_": "optuna.samplers.BruteForceSampler"}
    trials = begun(tmp_path, "optimizer.learning_rate=interval(0, 1)", sampler=node)
    with pytest.raises(SettingError, match=r"sampler=optuna\.samplers\.BruteForceSampler"):
        trials.take(1)
