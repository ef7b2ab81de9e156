"""`echo-exp-predict`: integers in, integers out, and one line if something is wrong."""

import io
import json
from pathlib import Path

import pytest
import torch

from echo_exp import network as trained
from echo_exp.commands import predict
from echo_exp.settings import SettingError
from echo_exp.tracking import TrackingSettings

from .conftest import Program
from .test_baseline import Baseline


class Said:
    """What a call printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


class Asker:
    """Calls the command in a folder."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.patch, self.capture = patch, capture

    def __call__(self, *arguments: str, given: str = "") -> Said:
        self.patch.setattr("sys.argv", ["echo-exp-predict", *arguments])
        self.patch.setattr("sys.stdin", io.StringIO(given))
        code = 0
        try:
            predict.main()
        except SystemExit as error:
            code = int(error.code or 0)
        return Said(code, *self.capture.readouterr())


@pytest.fixture
def ask(
    baseline: Baseline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Asker:
    program, _ = baseline
    monkeypatch.chdir(program.folder)
    return Asker(monkeypatch, capsys)


def test_the_newest_network_echoes_a_sequence(ask: Asker) -> None:
    assert ask("[7, 3, 99, 0, 42]").out == "[7, 3, 99, 0, 42] -> [7, 3, 99, 0, 42]\n"


def test_the_newest_network_is_named_and_one_that_the_user_named_is_not(
    ask: Asker, baseline: Baseline
) -> None:
    newest = baseline[0].runs()[0].info.run_id
    named = f"echo-exp: run {newest}: Seq2Seq, units 20, lr 0.001, seed 1\n"
    assert ask("1 2 3 4 5").err == named
    assert ask("1 2 3 4 5", f"run={newest}").err == ""


def test_a_longer_sequence_is_cut_into_windows(ask: Asker) -> None:
    lines = ask("7 3 99 0 42 8", "run=last").out.splitlines()
    assert [line.split(" -> ")[0] for line in lines] == ["[7, 3, 99, 0, 42]", "[3, 99, 0, 42, 8]"]


def test_several_sequences_come_from_the_command_line_a_file_or_the_standard_input(
    ask: Asker, tmp_path: Path
) -> None:
    told = ask("1 2 3 4 5", "[9,8,7,6,5]").out
    (tmp_path / "sequences.txt").write_text("1, 2, 3, 4, 5\n\n9 8 7 6 5\n", encoding="utf-8")
    assert ask(f"file={tmp_path}/sequences.txt").out == told
    assert ask(given="1;2;3;4;5\n[9, 8, 7, 6, 5]").out == told
    assert len(told.splitlines()) == 2


def test_a_run_is_named_by_its_id(ask: Asker, baseline: Baseline) -> None:
    run_id = baseline[0].runs()[0].info.run_id
    assert ask(f"run={run_id}", "[1, 2, 3, 4, 5]").code == 0


def test_json_has_a_line_for_each_sequence(ask: Asker) -> None:
    lines = ask("1 2 3 4 5 6", "6 5 4 3 2", "format=json", "probabilities=true").out.splitlines()
    first, second = (json.loads(line) for line in lines)
    assert first["sequence"] == [1, 2, 3, 4, 5, 6]
    assert first["windows"] == first["expected"] == [[1, 2, 3, 4, 5], [2, 3, 4, 5, 6]]
    assert torch.tensor(first["probabilities"]).argmax(-1).tolist() == first["predicted"]
    assert len(second["windows"]) == 1


def test_probabilities_are_printed_beside_the_integers(ask: Asker) -> None:
    told = ask("[1, 2, 3, 4, 5]", "probabilities=true").out
    assert all(0 < float(word.split(")")[0]) < 1 for word in told.split("(")[1:])
    assert told.count("(") == 5


def test_the_state_is_carried_or_not(ask: Asker) -> None:
    sequence = " ".join(map(str, range(20)))
    carried, alone = (
        [json.loads(ask(sequence, "format=json", "probabilities=true", option).out)]
        for option in ("carry=true", "carry=false")
    )
    first = [found[0]["probabilities"][0] for found in (carried, alone)]
    last = [found[0]["probabilities"][-1] for found in (carried, alone)]
    assert first[0] == first[1]
    assert last[0] != last[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("[1, 2, 3, 4, 100]",), "sequence=[1, 2, 3, 4, 100]"),
        (("[1, 2, 3, 4, -1]",), "from 0 to 99"),
        (("[1, 2]",), "reads 5 integers at a time"),
        (("1", "2", "3", "4", "5"), "a sequence needs quotes, as in '1 2 3 4 5'"),
        (("[]",), "it must be integers"),
        (("one two three four five",), "it must be integers"),
        (("[1, 2, 3, 4, 5.5]",), "it must be integers"),
        ((), "there is no sequence to echo"),
        (("[1, 2, 3, 4, 5]", "run=nobody"), "run=nobody"),
        (("[1, 2, 3, 4, 5]", "run=null"), "run=None"),
        (("[1, 2, 3, 4, 5]", "rum=last"), "did you mean run?"),
        (("[1, 2, 3, 4, 5]", "+rum=last"), "there is no such setting; did you mean run?"),
        (("[1, 2, 3, 4, 5]", "format=xml"), "text or json"),
        (("[1, 2, 3, 4, 5]", "carry=maybe"), "true or false"),
        (("[1, 2, 3, 4, 5]", "checkpoint=first"), "last or best"),
        (("[1, 2, 3, 4, 5]", "seed=2"), "seeds 1 to 1"),
        (("[1, 2, 3, 4, 5]", "tracking=none"), "tracking.uri"),
        (("[1, 2, 3, 4, 5]", "output_dir=elsewhere"), "there is no such store yet"),
        (("file=nowhere.txt",), "file=nowhere.txt"),
        (("[1, 2, 3, 4, 5]", "file=some.txt"), "does not go with sequences"),
        (
            ("[1, 2, 3, 4, 5]", "trust=elman.Elman"),
            "a list of classes, as in trust=[my_models.Elman]",
        ),
        (("[1, 2, 3, 4, 5]", "trust=null"), "a list of classes"),
        (("[1, 2, 3, 4, 5]", "~run"), "~run would remove a setting that this command needs"),
        (("~ 7 3 > _",), "it contains ~; the network knows only"),
    ],
)
def test_wrong_input_is_explained_in_one_line(
    ask: Asker, arguments: tuple[str, ...], words: str
) -> None:
    said = ask(*arguments)
    assert said.code == 2
    assert words in said.err
    assert len(said.err.splitlines()) == 1
    assert not said.out


def test_a_wrong_line_is_named_before_anything_is_answered(ask: Asker) -> None:
    said = ask(given="1 2 3 4 5\n1 2 3 4 500\n")
    assert (said.code, said.out) == (2, "")
    assert "line 2=[1, 2, 3, 4, 500]" in said.err


def test_an_unfinished_run_cannot_be_loaded_as_a_network(baseline: Baseline, ask: Asker) -> None:
    client = baseline[0].client
    run = client.create_run("1", tags={"kind": "run"})
    try:
        said = ask(f"run={run.info.run_id}", "[1, 2, 3, 4, 5]")
        assert said.code == 2
        assert "has not finished; its status is RUNNING" in said.err
        assert ask("[1, 2, 3, 4, 5]").code == 0  # last is the newest that has finished
    finally:
        client.delete_run(run.info.run_id)


def test_a_stored_configuration_cannot_call_foreign_code(
    baseline: Baseline, tmp_path: Path
) -> None:
    program, _ = baseline
    client = program.client
    outputs = program.folder / "outputs"
    store = TrackingSettings(f"sqlite:///{outputs}/mlflow.db", str(outputs / "artifacts"))
    run = client.create_run("1", tags={"kind": "run"})
    try:
        config = tmp_path / "config.yaml"
        config.write_text(
            "seed: 1\nmodel: {_target_: os.system, command: 'true'}\n", encoding="utf-8"
        )
        client.log_artifact(run.info.run_id, str(config))
        client.set_terminated(run.info.run_id)
        foreign = r"would call os.system, which is not part of echo_exp.*trust=\[os.system\]"
        with pytest.raises(SettingError, match=foreign):
            trained.load(run.info.run_id, store)
        with pytest.raises(SettingError, match=r"has no checkpoints/last.ckpt"):
            trained.load(run.info.run_id, store, trusted=["os.system"])
    finally:
        client.delete_run(run.info.run_id)


def test_each_of_many_replicas_can_predict(program: Program) -> None:
    from echo_exp import train

    network = train(
        "epochs=25",
        "replicas=3",
        "trainer.progress=none",
        f"output_dir={program.folder}/outputs",
    )
    assert network.seed == 1
    assert {"test/accuracy", "test/accuracy/std"} <= network.metrics.keys()
    outputs = program.folder / "outputs"
    store = TrackingSettings(f"sqlite:///{outputs}/mlflow.db", str(outputs / "artifacts"))
    again = trained.load(str(network.run_id), store)
    assert torch.equal(again.predict(range(5)).outputs, network.predict(range(5)).outputs)
    for shown in (network, again):
        assert 'src="data:image/png' in shown._repr_html_()
    third = trained.load("last", store, seed=3)
    assert not torch.equal(third.predict(range(5)).outputs, network.predict(range(5)).outputs)
