"""A search with real processes: pruned, killed and continued, shared, and reported."""

import json
import re
import shlex
from pathlib import Path

import optuna
import pytest
from mlflow.entities import Run
from optuna.trial import TrialState

from echo_exp import configuration
from echo_exp.commands import train as app
from echo_exp.sweeps.search.storage import open_storage
from echo_exp.tracking.ui.view import NOTE_TAG

from .conftest import TIMEOUT, Program, wait_for

# Small, and each trial takes long enough to be killed in its middle.
SMALL = ("problem.n_values=10", "model.units=range(4, 30)", "trainer.test_sequences=4")
SEARCH = ("-m", "hydra/sweeper=optuna", *SMALL)
NAMES = sorted(path.stem for path in (configuration.FOLDER / "search").glob("[a-z]*.yaml"))

DOCS = Path(__file__).parents[2] / "docs" / "searches.md"


def _study(program: Program) -> optuna.Study:
    storage = open_storage(f"sqlite:///{program.folder / 'outputs' / 'optuna.db'}")
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage)


def _parent_and_jobs(program: Program) -> tuple[Run, list[Run]]:
    runs = program.runs()
    (parent,) = (run for run in runs if run.data.tags["kind"] == "sweep")
    jobs = [run for run in runs if run.data.tags["kind"] == "run"]
    assert {job.data.tags["mlflow.parentRunId"] for job in jobs} == {parent.info.run_id}
    return parent, jobs


def _artifacts(program: Program, run: Run) -> Path:
    return Path(run.info.artifact_uri.removeprefix("file://"))


# A trial is stopped by the pruner whose accuracy is below what none can have.
HOPELESS = "{_target_: optuna.pruners.ThresholdPruner, lower: 2.0, n_warmup_steps: 15}"


def test_a_pruned_training_stops_immediately_and_does_not_count_as_finished(
    program: Program,
) -> None:
    arguments = (*SEARCH, "hydra.sweeper.trials=2", "epochs=100", "trainer.validate_every=10")
    done = program.run(*arguments, f"++hydra.sweeper.pruner={HOPELESS}")
    assert done.returncode == 1, done.stderr  # no trial has come to a result
    assert "2 trials: 2 pruned" in done.stdout
    assert [trial.state for trial in _study(program).trials] == [TrialState.PRUNED] * 2
    _, jobs = _parent_and_jobs(program)
    for job in jobs:
        assert job.info.status == "KILLED"
        assert job.data.tags["pruned"] == "20"
        assert [step for step, _ in program.history(job, "train/loss")] == list(range(1, 21))
        assert [step for step, _ in program.history(job, "val/accuracy")] == [10, 20]
        assert not [name for name in job.data.metrics if name.startswith("test/")]

    single = [o for o in jobs[0].data.tags["mlflow.source.name"].split()[1:] if "hydra" not in o]
    alone = program.run("resume=auto", *single)
    assert alone.returncode == 0, alone.stderr
    assert "has done this already" not in alone.stdout
    histories = [program.history(run, "train/loss") for run in program.runs()]
    assert max(history[-1][0] for history in histories if history) == 100


def test_a_killed_search_continues_with_its_interrupted_trial(program: Program) -> None:
    arguments = (
        *SEARCH,
        "hydra.sweeper.trials=2",
        "epochs=400",
        "trainer.checkpoint_seconds=0.1",
    )
    process = program.start(*arguments)
    wait_for(lambda: program.epochs() > 0, process)
    process.kill()
    process.communicate()
    wait_for(lambda: all(run.info.status != "RUNNING" for run in program.runs()))
    (left,) = _study(program).trials
    assert left.state == TrialState.RUNNING
    done = program.run(*arguments)
    assert done.returncode == 0, done.stderr
    first, second = _study(program).trials
    assert first.params == left.params
    assert first.params != second.params
    parent, jobs = _parent_and_jobs(program)
    assert parent.info.status == "FINISHED"
    assert len(jobs) == 2
    for job in jobs:
        assert [step for step, _ in program.history(job, "train/loss")] == list(range(1, 401))

    again = program.run(*arguments)  # nothing is left to do
    assert again.returncode == 0, again.stderr
    assert len(program.runs()) == 3


def test_two_processes_share_a_search_and_failures_do_not_end_it(program: Program) -> None:
    arguments = (
        *SEARCH,
        "hydra.sweeper.trials=8",
        "epochs=20",
        "hydra/sweeper/sampler=random",
        "optimizer.learning_rate=choice(1e-2, 1e38)",
    )
    processes = [program.start(*arguments) for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, err
        assert re.search(r"8 trials: \d finished, \d failed", out)
    trials = _study(program).trials
    assert len(trials) == 8
    for trial in trials:
        lost = trial.params["optimizer.learning_rate"] == "1e+38"
        assert trial.state == (TrialState.FAIL if lost else TrialState.COMPLETE)
    assert any("is not finite" in trial.user_attrs.get("error", "") for trial in trials)
    _, jobs = _parent_and_jobs(program)
    finished = [job for job in jobs if job.info.status == "FINISHED"]
    settings = {tuple(sorted(trial.params.items())) for trial in trials}
    good = [s for s in settings if ("optimizer.learning_rate", "1e+38") not in s]
    assert len(finished) == len(good)


def test_every_failed_trial_is_named_with_its_reason(program: Program) -> None:
    """Most are refused before a launch, and every count includes them."""
    done = program.run(
        *SEARCH,
        "hydra.sweeper.trials=6",
        "hydra/sweeper/sampler=brute_force",
        "batch_size=choice(8, 21)",
        "optimizer.learning_rate=choice(1e37, 1e38)",
        "model.units=choice(4)",
        "epochs=25",
    )
    assert done.returncode == 1
    trials = _study(program).trials
    wrong = [t.number for t in trials if t.params["batch_size"] == "8"]
    assert 0 < len(wrong) < len(trials)
    parent, _ = _parent_and_jobs(program)
    described = parent.data.tags["mlflow.note.content"]
    for place in (done.stdout, described):
        assert f"{len(trials)} trials: {len(trials)} failed" in place
        for count, why in ((len(wrong), "batch_size=8"), (len(trials) - len(wrong), "Diverged")):
            assert len(re.findall(rf"^-? ?trials .* \({count} trials\): {why}", place, re.M)) == 1
    table = json.loads((_artifacts(program, parent) / "trials.json").read_text())
    errors = [row[table["columns"].index("error")] for row in table["data"]]
    assert sum(error.startswith("batch_size=8 is not allowed") for error in errors) == len(wrong)
    assert sum("is not finite" in error for error in errors) == len(trials) - len(wrong)
    last = [line for line in done.stderr.splitlines() if line.startswith("search: ")][-1]
    assert last.startswith(f"search: {len(trials)} of 6 done, 0 running, {len(trials)} failed")


def test_a_search_with_two_objectives_reports_a_pareto_front_a_table_and_figures(
    program: Program,
) -> None:
    done = program.run(
        *SEARCH,
        "hydra.sweeper.trials=6",
        "hydra.sweeper.objectives=[maximize val/accuracy, minimize parameters]",
        "hydra.sweeper.constraints=[parameters at most 3000]",
        "epochs=20",
        "hydra/sweeper/sampler=nsgaii",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
    )
    assert done.returncode == 0, done.stderr
    assert "Pareto front:" in done.stdout
    parent, jobs = _parent_and_jobs(program)
    assert len(jobs) == 6
    table = json.loads((_artifacts(program, parent) / "trials.json").read_text(encoding="utf-8"))
    allowed = table["columns"].index("allowed")
    size = table["columns"].index("parameters")
    assert all(row[allowed] == (row[size] <= 3000) for row in table["data"])
    for figure in ("history", "slices", "pareto_front"):
        path = _artifacts(program, parent) / "search" / f"{figure}.png"
        assert path.read_bytes().startswith(b"\x89PNG")
    assert "are on the Pareto front of maximize val/accuracy" in parent.data.tags[NOTE_TAG]
    assert (_artifacts(program, parent) / "report" / "report.html").exists()
    command = re.search(r"such as the first: echo-exp (.*)", done.stdout)
    assert command is not None
    again = program.run("resume=auto", *shlex.split(command.group(1)))
    assert "has done this already" in again.stdout  # it is one of the trials, setting by setting


def test_the_report_of_a_search_ranks_by_its_objective(program: Program) -> None:
    rate = "optimizer.learning_rate=tag(log, interval(1e-3, 1e-1))"
    done = program.run(*SEARCH, rate, "hydra.sweeper.trials=6", "epochs=10")
    assert done.returncode == 0, done.stderr
    parent, jobs = _parent_and_jobs(program)
    folder = _artifacts(program, parent) / "report"
    text = (folder / "report.md").read_text(encoding="utf-8")
    best = max(job.data.metrics["val/accuracy"] for job in jobs)
    assert re.search(rf"\*\*Answer\.\*\* Best: units .*: {best:.4f}", text)
    assert "(`val/accuracy`)" in text
    assert "Goal: maximize val/accuracy." in text
    assert "| optimizer.learning_rate | " in text
    assert (folder / "importance.png").exists()


@pytest.mark.parametrize("name", [*NAMES, "mine"])
def test_every_ready_search_and_a_users_own_can_be_read(
    program: Program, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(program.folder)
    example = re.search(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    (program.folder / "my_conf" / "search").mkdir(parents=True)
    (program.folder / "my_conf" / "search" / "mine.yaml").write_text(
        example.group(1), encoding="utf-8"
    )
    arguments = ["--config-dir", "my_conf", f"search={name}", "hydra.sweeper.trials=0"]
    monkeypatch.setattr("sys.argv", ["echo-exp", *arguments])
    with pytest.raises(SystemExit) as exit_:
        app.main()
    assert exit_.value.code == 2
    assert "hydra.sweeper.trials=0 is not allowed" in capsys.readouterr().err


def test_settings_in_the_file_of_a_search_that_no_trial_would_get_are_refused(
    program: Program,
) -> None:
    file = program.folder / "my_conf" / "search" / "mine.yaml"
    file.parent.mkdir(parents=True)
    params = "hydra: {sweeper: {trials: 2, params: {model.units: range(4, 8)}}}"
    text = "# @package _global_\ndefaults: [_base, override /problem: echo_partial]\nepochs: 40\n"
    file.write_text(text + params, encoding="utf-8")
    done = program.run("--config-dir", "my_conf", "search=mine")
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "echo-exp: search=mine is not allowed: its file sets epochs, problem.n_out, which has no "
        "effect there: set it in hydra.sweeper.params or on the command line"
    )
    assert program.runs() == []


def test_without_optuna_the_message_names_the_command_that_installs_it(program: Program) -> None:
    script = (
        "import sys, importlib.util as util; found = util.find_spec; "
        "util.find_spec = lambda name, *a: None if name == 'optuna' else found(name, *a); "
        "sys.modules['optuna'] = None; sys.argv = ['echo-exp', 'search=cheapest']; "
        "from echo_exp.commands.train import main; main()"
    )
    done = program.script(script)
    assert done.returncode == 2
    assert "pip install 'echo_exp[optuna]'" in done.stderr


def test_help_does_not_import_optuna(program: Program) -> None:
    script = (
        "import sys; sys.argv = ['echo-exp', '--help']; from echo_exp.commands.train import main\n"
        "try: main()\nfinally: print('optuna' in sys.modules, file=sys.stderr)"
    )
    done = program.script(script)
    assert done.stderr.strip() == "False"
    assert "search=cheapest" in done.stdout


def test_a_dry_run_lists_the_values_and_says_that_it_gives_no_estimate(program: Program) -> None:
    before = set(program.folder.rglob("*"))
    done = program.run(*SEARCH, "sweep.dry_run=true")
    assert done.returncode == 0, done.stderr
    assert "Time: no estimate" in done.stdout
    assert "Nothing was run: sweep.dry_run=true." in done.stdout
    assert set(program.folder.rglob("*")) == before


def test_a_password_in_the_storage_is_written_nowhere(program: Program) -> None:
    password = "tell-nobody"
    done = program.run(*SEARCH, f"hydra.sweeper.storage=postgresql://me:{password}@127.0.0.1:1/x")
    assert done.returncode == 2
    assert "postgresql://me:***@127.0.0.1:1/x" in done.stderr
    assert password not in done.stdout + done.stderr
    for path in program.folder.glob("**/*"):
        assert not path.is_file() or password.encode() not in path.read_bytes()
