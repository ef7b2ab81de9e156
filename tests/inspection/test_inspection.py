"""A whole inspection: its figures, its file and its findings."""

import json
from pathlib import Path

import pytest

import echo_exp
from echo_exp import EchoProblem, EncoderDecoder, OneHot, OneToOne, SettingError
from echo_exp.commands import inspect as app
from echo_exp.inspection import inspect_network
from echo_exp.inspection.findings import findings
from echo_exp.inspection.inspect_network import draw
from echo_exp.inspection.settings import FIGURES
from echo_exp.task.missing import Mask

from . import nets
from .nets import Answering, V, one_hot

PROBLEM = EchoProblem(length=10, n_values=V, n_in=3, n_out=3)


def test_inspecting_writes_every_figure_and_the_measurements(tmp_path: Path) -> None:
    echo_exp.inspect(nets.trained(nets.first_only(PROBLEM, 4)), tmp_path, sequences=40)
    assert {path.stem for path in tmp_path.glob("*.png")} == {*FIGURES} - {"attention"}
    content = json.loads((tmp_path / "measurements.json").read_text(encoding="utf-8"))
    accuracy = content["layers"]["lstm"]["probes"]["zero"]["accuracy"]["value"]
    assert [step[0] for step in accuracy[0]] == [1, 1, 1]
    assert len(content["confusion"]["counts"]) == V
    assert len(content["findings"]) == 4  # one says that there is no attention


def test_small_measurements_keep_their_digits() -> None:
    assert inspect_network._plain([1.23456789e-9, 12345678.0]) == [1.23457e-9, 12345700.0]


def test_the_findings_say_which_integers_are_held() -> None:
    found = echo_exp.inspect(nets.trained(nets.first_only(PROBLEM, 8)), figures=["probes"])
    (sentence,) = findings(found)
    assert "reads 1.00 of the integers at position 1 (" in sentence


def test_only_the_requested_figures_are_drawn() -> None:
    network = nets.trained(nets.seq2seq(PROBLEM, 4, units=5))
    found = echo_exp.inspect(network, sequences=20, figures=["errors", "gates"])
    assert list(draw(found)) == ["gates", "errors"]
    assert found.skill is None
    assert repr(found) == "Inspection(20 sequences: layers, errors)"


def test_each_of_several_layers_has_its_own_figures() -> None:
    sizes = {"n_features": V, "n_outputs": V, "n_in": 3, "n_out": 2, "units": 4, "seeds": [1]}
    model = EncoderDecoder(**sizes)  # type: ignore[arg-type]
    problem = EchoProblem(length=10, n_values=V, n_in=3, n_out=2)
    network = nets.trained(nets.module(model, problem, 8))
    found = echo_exp.inspect(network, sequences=20, figures=["states", "probes"])
    names = {f"{figure}_{layer}" for figure in ("states", "probes") for layer in found.layers}
    assert set(draw(found)) == names
    assert found.layers["encoder"].probes["zero"].accuracy.value.shape == (3, 3, 3)
    assert found.layers["decoder"].probes["zero"].accuracy.value.shape == (3, 2, 3)
    assert len(findings(found)) == 1  # of what reads


def test_a_window_of_one_timestep_can_be_inspected(tmp_path: Path) -> None:
    sizes = {"n_features": V, "n_outputs": V, "n_in": 3, "n_out": 3, "units": 4, "seeds": [1]}
    problem = EchoProblem(length=8, n_values=V, n_in=3, n_out=3, incomplete=True)
    module = echo_exp.EchoModule(
        OneToOne(**sizes),  # type: ignore[arg-type]
        problem,
        OneHot(V),
        4,
        missing=Mask(),
    )
    found = echo_exp.inspect(nets.trained(module), tmp_path, sequences=20)
    assert found.layers["lstm"].probes["carried"].accuracy.value.shape == (3, 1, 3)


def test_a_network_without_our_layers_is_inspected_by_its_answers_only(tmp_path: Path) -> None:
    network = nets.trained(nets.module(Answering(lambda x, _: one_hot(x)), PROBLEM, 4))
    found = echo_exp.inspect(network, tmp_path, sequences=20)
    assert {path.stem for path in tmp_path.glob("*.png")} == {"confusion", "errors", "skill"}
    assert "states, gates, probes (Answering shows no recurrent layer)" in findings(found)[2]
    with pytest.raises(SettingError, match="no recurrent layer"):
        echo_exp.inspect(network, figures=["gates"])


def test_figures_name_their_axes_and_cut_nothing_off() -> None:
    found = echo_exp.inspect(nets.trained(nets.seq2seq(PROBLEM, 4, units=30)), sequences=20)
    for figure in draw(found).values():
        figure.savefig("/dev/null", format="png")
        box = figure.get_tightbbox()
        width, height = figure.get_size_inches()
        assert min(box.x0, box.y0) > -0.01
        assert box.x1 < width + 0.01
        assert box.y1 < height + 0.01
        for axes in figure.axes:
            assert not axes.axison or axes.get_xlabel() or axes.get_ylabel()


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("figures=[prbes]", ("figures=prbes", "states, gates, probes")),
        ("figures=probes", ("figures=probes", "list")),
        ("figures=[]", ("figures=[]", "some of")),
        ("sequences=2", ("sequences=2", "from 20")),
        ("sequences=many", ("sequences=many", "integer")),
        ("log=maybe", ("log=maybe", "true or false")),
        ("sequence=50", ("sequence=50", "did you mean sequences?")),
        ("run=last", ("tracking.uri=", "there is no such store yet", "echo-exp")),
    ],
)
def test_bad_input_is_explained(
    argument: str,
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["echo-exp-inspect", argument])
    with pytest.raises(SystemExit) as exit_:
        app.main()
    captured = capsys.readouterr()
    assert exit_.value.code == 2
    assert all(word in captured.err for word in words), captured.err
    assert len(captured.err.strip().splitlines()) == 1
