"""Bad input gets one message that names the setting, its value and what is allowed; exit code 2."""

from pathlib import Path

import pytest

from echo_exp.commands import train as app

from .. import matrix
from .called import Called
from .conftest import Program


def _any_of(group: str) -> str:
    return " or ".join(matrix.options(group))


CASES = {
    # arguments: words of the message
    ("problem.n_out=6",): ("problem.n_out=6", "problem.n_in=5"),
    ("problem.n_out=0",): ("problem.n_out=0", "at least 1"),
    ("problem.n_out=-1",): ("problem.n_out=-1", "at least 1"),
    ("problem.n_out=3",): ("problem.n_out=3", "must equal problem.n_in=5", "seq2seq_padded"),
    ("problem.offset=1",): ("problem.offset=1", "problem.n_in=5", "at most 0"),
    ("problem.order=reversed",): ("model.padding=null", "read"),
    ("experiment=delayed_echo", "problem.delay=-1"): ("problem.delay=-1", "from 0"),
    ("experiment=delayed_echo", "missing=mask"): ("missing=Mask", "missing=drop"),
    ("experiment=delayed_echo", "model.stateful=true"): ("model.stateful=true", "false"),
    ("experiment=delayed_echo", "model=seq2seq"): ("model.padding=null", "model=seq2seq_last"),
    ("experiment=selective_echo", "problem.n_noise=-1"): ("problem.n_noise=-1", "from 0"),
    ("experiment=associative_recall", "problem.n_pairs=17"): ("problem.n_pairs=17", "n_values=16"),
    ("problem.length=4",): ("problem.length=4", "problem.n_in=5"),
    ("problem.length=0",): ("problem.length=0", "from 1"),
    ("problem.n_in=0",): ("problem.n_in=0", "at least 1"),
    ("problem.n_in=2.5",): ("problem.n_in=2.5", "integer"),
    ("problem.n_values=1",): ("problem.n_values=1", "from 2"),
    ("problem.n_values=null",): ("problem.n_values=null", "integer"),
    ("problem.n_in=[5]",): ("problem.n_in=[5]", "integer"),
    ("batch_size=0",): ("batch_size=0", "1, 3, 7 or 21"),
    ("batch_size=22",): ("batch_size=22", "1, 3, 7 or 21"),
    ("batch_size=5",): ("batch_size=5", "1, 3, 7 or 21"),
    ("batch_size=true",): ("batch_size=true", "1, 3, 7 or 21"),
    ("batch_size=[7]",): ("batch_size=[7]", "1, 3, 7 or 21"),
    ("model.units=0",): ("model.units=0", "from 1 to 8,192"),
    ("model.units=many",): ("model.units=many", "integer"),
    ("model.units=1000000000",): ("model.units=1000000000", "8,192"),
    ("model.units=null",): ("model.units=null", "integer"),
    ("model.units=8192", "problem.n_values=1000000"): ("model.units=8192", "GiB"),
    ("model.layers=0",): ("model.layers=0", "from 1 to 64"),
    ("model.stateful=maybe",): ("model.stateful=maybe", "true or false"),
    ("model.padding=left",): ("model.padding=left", "null or post or pre"),
    ("model.forget_bias=much",): ("model.forget_bias=much", "number"),
    ("model.chrono=1",): ("model.chrono=1", "from 2"),
    ("model.chrono=9", "model.forget_bias=2"): ("model.forget_bias=2", "model.chrono=9"),
    ("model=encoder_decoder", "model.decoder_chrono=1"): ("model.decoder_chrono=1", "from 2"),
    ("model=attention", "model.feedback=right"): ("model.feedback=right", "null or own or teacher"),
    ("model=gru", "+model.feedback=teacher"): ("model.feedback=teacher", "model.reset"),
    ("model=stateless", "problem.n_out=2"): ("problem.n_out=2", "padding"),
    ("missing=ignore",): ("missing=ignore", _any_of("missing")),
    ("missing=mask", "batch_size=7"): ("batch_size=7", "1, 5 or 25"),
    ("missing=mask", "problem.n_in=1", "problem.n_out=1"): ("problem.n_in=1", "missing=drop"),
    ("missing=sentinel", "problem.n_in=1", "problem.n_out=1"): ("problem.n_in=1", "missing=drop"),
    ("problem.incomplete=true",): ("problem.incomplete=true", "no such setting"),
    ("representation=binary",): ("representation=binary", _any_of("representation")),
    ("representation=scaled", "+representation.loss=cross_entropy"): ("no such setting",),
    ("+representation.sentinel=true",): ("representation.sentinel=true", "no such setting"),
    ("replicas=0",): ("replicas=0", "from 1"),
    ("replicas=-1",): ("replicas=-1", "from 1"),
    ("replicas=4", "batch_size=4"): ("batch_size=4", "1, 3, 7 or 21"),
    ("replicas=2.5",): ("replicas=2.5", "integer"),
    ("replicas=1000000", "model.units=1000"): ("replicas=1000000", "GiB", "at most"),
    ("seed=9223372036854775807", "replicas=2"): ("seed=9223372036854775807", "from 0 to"),
    ("epochs=0",): ("epochs=0", "at least 1"),
    ("epochs=-5",): ("epochs=-5", "at least 1"),
    ("epochs=1.5",): ("epochs=1.5", "integer"),
    ("epochs=null",): ("epochs=null", "integer"),
    ("seed=-1",): ("seed=-1", "from 0"),
    ("seed=one",): ("seed=one", "integer"),
    ("optimizer.learning_rate=-1",): ("optimizer.learning_rate=-1", "above 0"),
    ("optimizer.learning_rate=nan",): ("optimizer.learning_rate=nan", "above 0"),
    ("optimizer.learning_rate=[1]",): ("optimizer.learning_rate=[1]", "number"),
    ("optimizer.beta_1=1",): ("optimizer.beta_1=1", "below 1"),
    ("optimizer.schedule=step",): ("optimizer.schedule=step", "constant or cosine"),
    ("optimizer.warmup=501",): ("optimizer.warmup=501", "from 0 to 500"),
    ("optimizer.warmup=-1",): ("optimizer.warmup=-1", "from 0"),
    ("+optimizer.updates_per_epoch=3",): ("optimizer.updates_per_epoch=3", "no such setting"),
    ("trainer.validate_every=0",): ("trainer.validate_every=0", "at least 1"),
    ("trainer.clip_norm=0",): ("trainer.clip_norm=0", "above 0"),
    ("trainer.progress=loud",): ("trainer.progress=loud", "bar", "lines"),
    ("trainer.accelerator=abacus",): ("trainer.accelerator=abacus", "cpu"),
    ("model=ssm", "model.r_min=0.9", "model.r_max=0.5"): (
        "model.r_min=0.9",
        "below model.r_max=0.5",
    ),
    ("problem.test_lengths=20",): ("problem.test_lengths=20", "a list"),
    ("problem.test_lengths=[0]",): ("problem.test_lengths=0", "problem.n_in=0"),
    ("problem.test_lengths=[9,9]",): ("problem.test_lengths=[9, 9]", "only once"),
    ("problem.train_lengths=[0]",): ("problem.train_lengths=0", "problem.n_in=0"),
    ("problem.train_lengths=[4]",): ("problem.train_lengths=4", "number of answers", "the same"),
    ("problem.test_lengths=[9]", "missing=mask"): ("problem.test_lengths=9", "missing=drop"),
    ("problem.test_lengths=[9]", "model=many_to_one"): ("problem.test_lengths=9", "other weights"),
    (
        "problem=associative_recall",
        "model=seq2seq_last",
        "model.stateful=false",
        "problem.test_lengths=[99]",
    ): ("problem.test_lengths=99", "problem.n_pairs=99"),
    ("model=selective_ssm", "model.states=0"): ("model.states=0", "from 1"),
    ("model=seq2sqe",): ("model=seq2sqe", _any_of("model")),
    ("experiment=baseline",): ("experiment=baseline", "seq2seq_baseline"),
    ("modle=seq2seq",): ("modle=seq2seq", "did you mean model?"),
    ("model.unit=5",): ("model.unit=5", "did you mean model.units?"),
    ("epoch=5",): ("epoch=5", "did you mean epochs?"),
    ("+unknown=1",): ("unknown=1", "no such setting", "batch_size"),
    ("+model.layer=1",): ("model.layer=1", "no such setting"),
    ("+tracking.url=x",): ("tracking.url=x", "did you mean tracking.uri?"),
    ("~model",): ("model", "must name an option"),
    ("model=null",): ("model=seq2seq", "name of an option"),
    ("~model.units",): ("model.units=null", "needs it"),
    ("epochs=1,2",): ("epochs=1,2", "single value", "-m"),
    ("epochs=[1",): ("epochs=[1", "cannot be read"),
    ("epochs",): ("epochs", "cannot be read"),
    ("epochs=${nowhere}",): ("epochs=${nowhere}", "cannot be resolved"),
    ("model._target_=echo_exp.models.Nothing",): ("model._target_", "callable"),
    ("tracking.uri=carrier-pigeon://x",): ("tracking.uri=carrier-pigeon://x", "sqlite://"),
    ("tracking=server",): ("tracking.uri", "sqlite://"),
    ("launch=cluster",): ("launch=cluster", _any_of("launch")),
    ("lunch=joblib",): ("lunch=joblib", "did you mean launch?"),
    ("-m", "launch=joblib,ray"): ("launch=joblib,ray", "single value"),
    ("launch=joblib", "hydra.launcher.n_jobs=many"): ("hydra.launcher.n_jobs=many", "Integer"),
    ("launch=ray", "hydra.launcher.attempts=0"): ("hydra.launcher.attempts=0", "at least 1"),
    ("launch=ray", "hydra.launcher.adress=x"): ("hydra.launcher.adress=x", "no such setting"),
    ("launch=ray", "hydra.launcher.cpus=0"): ("hydra.launcher.cpus=0", "at least 1"),
    ("launch=ray", "trainer.threads=0"): ("trainer.threads=0", "from 1"),
    ("tracking.patience=-1",): ("tracking.patience=-1", "from 0"),
    ("tracking.patience=1.5",): ("tracking.patience=1.5", "integer"),
    ("tracking.patience=soon",): ("tracking.patience=soon", "integer"),
    ("tracking.spool=null",): ("tracking.spool=null", "folder"),
    ("tracking.spool=/dev/null",): ("tracking.spool=/dev/null", "cannot be written"),
    ("+tracking.patient=1",): ("tracking.patient=1", "did you mean tracking.patience?"),
    ("search=cheapst",): ("search=cheapst", "accuracy or accuracy_against_time or cheapest"),
    ("search=cheapest", "study=ignore_state"): ("study=ignore_state", "it cannot be a search"),
    ("-m", "model.unit=1,2"): ("model.unit=", "did you mean model.units?"),
    ("-m", "seed=1,2", "epochs=0"): ("epochs=0", "at least 1"),
    ("study=mine",): ("study=mine", "ignore_state", "--config-dir adds a folder"),
    ("search=cheapest", "model.unit=range(5)"): ("model.unit=", "did you mean model.units?"),
    ("search=cheapest", "model.units=range(9, 5)"): ("model.units=range(9, 5)", "empty"),
    ("search=cheapest", "model.units=interval(9, 5)"): ("model.units=interval(9, 5)", "low"),
    ("search=cheapest", "model.units=choice()"): ("model.units=choice()", "cannot be read"),
    ("search=cheapest", "epochs=range(-9, 0)"): ("epochs=-9", "at least 1"),
    ("search=cheapest", "model=choice(seq2seq, seq2sqe)"): ("model=seq2sqe", "encoder_decoder"),
    ("search=cheapest", "epochs=tag(log, interval(0, 9))"): ("epochs=tag(log", "above 0"),
    ("sweep.dry_run=true",): ("sweep.dry_run=true", "a single run"),
    ("-m", "seed=1,2", "sweep.dry_run=maybe"): ("sweep.dry_run=maybe", "true or false"),
    ("search=cheapest", "sweep.again=new"): ("sweep.again=new", "continues"),
    ("search=cheapest", "hydra.sweeper.trails=5"): ("hydra.sweeper.trails=5", "sweeper.trials?"),
    ("search=cheapest", "hydra/sweeper/sampler=tp"): ("hydra/sweeper/sampler=tp", "random or tpe"),
    ("search=cheapest", "hydra.sweeper.storage=redis://x"): ("storage=redis://x", "postgresql://"),
    ("search=cheapest", "hydra/sweeper/pruner=median"): ("pruner", "val/", "not parameters"),
    ("search=accuracy_against_time", "hydra/sweeper/pruner=median"): ("pruner", "single objective"),
    ("-m", "hydra/sweeper=optuna", "seed=1"): ("hydra.sweeper.params={}", "a setting to vary"),
    ("-m", "search=cheapest,accuracy"): ("search=cheapest,accuracy", "single value"),
    ("resume=last", "tracking=none"): ("resume=last", "tracking=none"),
    ("inspect=true",): ("inspect=true", "tracking=none"),
    ("inspect=maybe",): ("inspect=maybe", "true or false"),
    ("output_dir=/dev/null",): ("output_dir=/dev/null", "cannot be written"),
    ("output_dir=/proc/nowhere",): ("output_dir=/proc/nowhere", "cannot be written"),
}


@pytest.fixture
def no_tracking_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("no_tracking_server")
@pytest.mark.parametrize("arguments", CASES, ids=" ".join)
def test_bad_input_is_explained(
    arguments: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tracked = any(word in argument for argument in arguments for word in ("tracking", "model"))
    extra = () if tracked else ("tracking=none",)
    monkeypatch.setattr("sys.argv", ["echo-exp", *arguments, *extra])
    with pytest.raises(SystemExit) as exit_:
        app.main()
    captured = capsys.readouterr()
    assert exit_.value.code == 2
    for word in CASES[arguments]:
        assert word in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert not captured.out
    assert not list(tmp_path.glob("**/*.ckpt"))
    assert not list(tmp_path.glob("**/artifacts/*"))


@pytest.mark.usefixtures("no_tracking_server")
def test_a_wrong_setting_of_slurm_is_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("sys.argv", ["echo-exp", "launch=slurm", "trainer.threads=many"])
    with pytest.raises(SystemExit) as exit_:
        app.main()
    assert exit_.value.code == 2
    assert "many" in capsys.readouterr().err


@pytest.mark.usefixtures("no_tracking_server")
def test_the_traceback_is_shown_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["echo-exp", "epochs=0", "hydra.verbose=true"])
    with pytest.raises(SystemExit):
        app.main()
    assert "Traceback" in capsys.readouterr().err


def test_a_wrong_value_leaves_no_run(program: Program) -> None:
    done = program.run("model.units=0")
    assert done.returncode == 2
    assert program.runs() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tracking=none",), ("tracking.uri=null", "store that could not be reached")),
        (("output_dir=nothere",), ("output_dir=nothere", "there is no such folder")),
        (("tracking.uri=carrier-pigeon://x",), ("tracking.uri=carrier-pigeon://x", "sqlite://")),
        (("tracking.patience=-1",), ("tracking.patience=-1", "from 0")),
        (("traking=server",), ("traking=server", "did you mean tracking?")),
    ],
)
def test_a_wrong_setting_of_sync_is_explained(
    program: Program, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    done = program.sync(*arguments)
    assert done.returncode == 2
    assert all(word in done.stderr for word in words)
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("remove=[runs]",), ("remove=runs", "deleted or checkpoints or orphans or leftovers")),
        (("remove=deleted",), ("remove=deleted", "a list, as in remove=[deleted,leftovers]")),
        (("remove=null",), ("remove=null", "a list")),
        (("yes=true",), ("yes=true", "it belongs to remove=")),
        (("remove=[orphans]", "yes=please"), ("yes=please", "true or false")),
        (("remove=[orphans]", "yes=true"), ("outputs/mlflow.db", "no such store yet")),
        (("remov=[orphans]",), ("remov=[orphans]", "did you mean remove?")),
        (("tracking.uri=null",), ("tracking.uri=null", "the store that has the runs")),
        (("tracking.uri=http://127.0.0.1:9",), ("tracking.uri=http://127.0.0.1:9", "refused")),
        (
            ("tracking.uri=http://127.0.0.1:9", "remove=[deleted]"),
            ("remove=deleted", "run `mlflow gc` on its machine"),
        ),
    ],
)
@pytest.mark.usefixtures("no_tracking_server")
def test_a_wrong_setting_of_clean_is_explained(
    arguments: tuple[str, ...], words: tuple[str, ...], call: Called, tmp_path: Path
) -> None:
    done = call("echo-exp-clean", *arguments)
    assert done.returncode == 2
    assert all(word in done.stderr for word in words)
    assert len(done.stderr.strip().splitlines()) == 1
    assert not done.stdout
    assert not list(tmp_path.iterdir())


def test_sync_succeeds_when_nothing_waits(program: Program) -> None:
    done = program.sync()
    assert done.returncode == 0, done.stderr
    assert "nothing waits" in done.stdout
    assert not (program.folder / "outputs" / "mlflow.db").exists()
