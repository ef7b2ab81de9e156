"""A run's MLflow model: without this package, over HTTP and from the registry."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from echo_exp import train
from echo_exp.commands import export as app
from echo_exp.settings import SettingError
from echo_exp.tracking.access import logged_models

from .conftest import TIMEOUT, Program, wait_for
from .servers import free_port
from .test_baseline import Baseline


@pytest.fixture
def without_echo_exp(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which this package cannot be imported."""
    (tmp_path / "echo_exp.py").write_text(
        "raise ImportError('this is elsewhere')", encoding="utf-8"
    )
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(tmp_path), "PYTHONWARNINGS": "ignore"}


def _model(program: Program) -> str:
    """The folder of the baseline's model."""
    (run,) = program.runs()
    model = logged_models.find_model(program.client, run.info.run_id)
    assert model is not None
    return model.artifact_location.removeprefix("file://")


def test_a_run_stores_its_model_with_scores_and_parameters(baseline: Baseline) -> None:
    program, _ = baseline
    (run,) = program.runs()
    model = logged_models.find_model(program.client, run.info.run_id)
    assert model is not None
    assert model.status == "READY"
    assert model.params == run.data.params
    scores = {metric.key: metric.value for metric in model.metrics or []}
    assert scores["test/accuracy"] == run.data.metrics["test/accuracy"]
    assert run.outputs is not None
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]


def test_a_model_loads_without_echo_exp_and_torch(
    baseline: Baseline, without_echo_exp: dict[str, str]
) -> None:
    program, _ = baseline
    (run,) = program.runs()
    script = (
        "import sys, mlflow, numpy as np\n"
        "sys.modules['torch'] = None\n"
        f"mlflow.set_tracking_uri('sqlite:///{program.folder}/outputs/mlflow.db')\n"
        f"model = mlflow.pyfunc.load_model('runs:/{run.info.run_id}/model')\n"
        "print(model.predict(np.array([[7, 3, 99, 0, 42], [1, 2, 3, 4, 5]])).tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        env=without_echo_exp,
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [[7, 3, 99, 0, 42], [1, 2, 3, 4, 5]]


def test_a_model_contains_no_pickle_and_no_path_of_this_machine(baseline: Baseline) -> None:
    program, _ = baseline
    files = [path for path in Path(_model(program)).rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {"", ".json", ".npz", ".py", ".txt", ".yaml"}
    here = (str(program.folder), str(Path.cwd()), sys.prefix)
    for path in files:
        text = path.read_bytes().decode(errors="ignore")
        assert not any(place in text for place in here), path


@pytest.fixture
def served(baseline: Baseline, without_echo_exp: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The address of `mlflow models serve`."""
    port = free_port()
    command = [sys.executable, "-P", "-m", "mlflow", "models", "serve", "-m", _model(baseline[0])]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--env-manager", "local", "--port", str(port), "--workers", "1"],
            env=without_echo_exp,
            stdout=log,
            stderr=log,
            start_new_session=True,
            text=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: _answers(address), process)
        yield address
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/ping", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _post(address: str, content: object) -> tuple[int, str]:
    request = urllib.request.Request(
        f"{address}/invocations", json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_model_is_served_over_http(served: str) -> None:
    windows = [[7, 3, 99, 0, 42], [3, 99, 0, 42, 8]]
    status, text = _post(served, {"inputs": windows})
    assert (status, json.loads(text)["predictions"]) == (200, windows)
    status, text = _post(served, {"inputs": windows, "params": {"carry": True, "outputs": True}})
    probabilities = json.loads(text)["predictions"]
    assert [len(probabilities), len(probabilities[0]), len(probabilities[0][0])] == [2, 5, 100]
    status, text = _post(served, {"inputs": [[7, 3, 99, 0, 420]]})
    assert status == 400
    assert "0 to 99" in text
    status, text = _post(served, {"inputs": [[7, 3]]})
    assert status == 400


@pytest.mark.filterwarnings("ignore")  # of MLflow's own code, in this process here
def test_a_model_is_registered_with_its_scores_and_exported_on_request(
    program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(program.folder)
    network = train("epochs=25", "model=many_to_one", "export=false", "trainer.progress=none")
    client = MlflowClient(f"sqlite:///{program.folder}/outputs/mlflow.db")
    assert logged_models.find_model(client, str(network.run_id)) is None
    monkeypatch.setattr("sys.argv", ["echo-exp-export", "register=echo", "forms=[pt2,mlflow]"])
    for _ in range(2):
        app.main()
    told = capsys.readouterr().out
    assert "models:/echo/1" in told
    assert "models:/echo/2" in told
    version = client.get_model_version("echo", "2")
    assert version.run_id == network.run_id
    assert float(version.tags["test/accuracy"]) == pytest.approx(
        network.metrics["test/accuracy"], rel=1e-3
    )
    folder = program.folder / "outputs" / "exports" / str(network.run_id)
    assert sorted(path.name for path in folder.iterdir()) == [
        "mlflow",
        "network.json",
        "network.pt2",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("forms=[tflite]",), "pt2 or onnx or mlflow"),
        (("forms=[]",), "pt2 or onnx or mlflow"),
        (("run=nobody",), "run=nobody"),
        (("register=a/b",), "register=a/b"),
        (("register=echo", "seed=1"), "registers the model of the run"),
        (("register=echo", "checkpoint=best"), "registers the model of the run"),
        (("folder=/proc/nowhere",), "folder=/proc/nowhere"),
        (("folder=[a]",), "the path of a folder"),
        (("folder=/proc",), "folder=/proc"),
        (("form=pt2",), "did you mean forms?"),
    ],
)
def test_an_impossible_export_is_explained_in_one_line(
    baseline: Baseline,
    arguments: tuple[str, ...],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(baseline[0].folder)
    monkeypatch.setattr("sys.argv", ["echo-exp-export", *arguments])
    with pytest.raises(SystemExit) as exit_:
        app.main()
    said = capsys.readouterr()
    assert exit_.value.code == 2
    assert words in said.err
    assert len(said.err.splitlines()) == 1


def test_a_form_that_is_impossible_does_not_stop_the_others(
    baseline: Baseline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        why = RuntimeError("\x1b[96mno such operator\x1b[0m\nat line 1")
        raise RuntimeError("step 3 has failed") from why

    monkeypatch.chdir(baseline[0].folder)
    monkeypatch.setattr("torch.onnx.export", refuse)
    monkeypatch.setattr("sys.argv", ["echo-exp-export", "forms=[onnx,pt2]", "folder=there"])
    with pytest.raises(SystemExit) as exit_:
        app.main()
    said = capsys.readouterr()
    assert exit_.value.code == 2
    assert "there/network.pt2" in said.out
    assert said.err.splitlines()[0] == (
        "echo-exp: forms=onnx is not allowed: this network cannot be exported so (no such operator)"
    )


def test_a_store_that_fails_during_registration_is_not_reported_as_a_wrong_setting(
    baseline: Baseline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> str:
        raise MlflowException("the disk is full")

    monkeypatch.chdir(baseline[0].folder)
    monkeypatch.setattr("echo_exp.tracking.access.logged_models.register", fail)
    monkeypatch.setattr("sys.argv", ["echo-exp-export", "register=echo", "forms=[pt2]"])
    with pytest.raises(SystemExit) as exit_:
        app.main()
    said = capsys.readouterr().err
    assert exit_.value.code == 1
    assert "did not register echo (MlflowException: the disk is full)" in said


def test_without_onnx_the_other_forms_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    assert app._forms(None) == ["pt2", "onnx", "mlflow"]
    monkeypatch.setattr("echo_exp.commands.export.find_spec", lambda _: None)
    assert app._forms(None) == ["pt2", "mlflow"]
    with pytest.raises(SettingError, match=r"pip install 'echo_exp\[onnx\]'"):
        app._forms("onnx")


@pytest.mark.parametrize(
    ("setting", "fails"),
    [
        ("export", "echo_exp.export.arrays.write_network"),
        ("inspect", "echo_exp.inspection.inspect_network.inspect"),
    ],
)
def test_a_run_finishes_although_its_export_or_inspection_fails(
    setting: str, fails: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(program.folder)

    def refuse(*_: object) -> None:
        raise RuntimeError("not of this")

    monkeypatch.setattr(fails, refuse)
    only = {"export": "false", "inspect": "false"} | {setting: "true"}
    asked = [f"{name}={value}" for name, value in only.items()]
    network = train("epochs=25", "trainer.progress=none", *asked)
    run = program.client.get_run(str(network.run_id))
    assert run.info.status == "FINISHED"
    assert run.data.tags[f"failed.{setting}"] == "not of this"
