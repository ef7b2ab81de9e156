"""An exported network gives the outputs of the original, with and without a carried state."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from echo_exp.export import echo_network, forms
from echo_exp.export.arrays import LAYERS, can_be_arrays, write_arrays
from echo_exp.export.network import Network, export_pt2
from echo_exp.models import EncoderDecoder
from echo_exp.network import TrainedNetwork
from echo_exp.settings import SettingError

from .. import matrix
from ..networks import small

PAIRS = [
    ("seq2seq", "one_hot", "mask"),
    ("seq2seq", "scaled", "sentinel"),
    ("seq2seq_padded", "one_hot", "drop"),
    ("seq2seq_padded", "scaled", "mask"),
    ("encoder_decoder", "one_hot", "sentinel"),
    ("encoder_decoder", "scaled", "mask"),
    ("many_to_one", "one_hot", "mask"),
    ("many_to_one", "scaled", "drop"),
    ("one_to_one", "one_hot", "mask"),
    ("one_to_one", "scaled", "sentinel"),
    ("gru", "one_hot", "mask"),
    ("gru", "scaled", "sentinel"),
    ("min_gru", "one_hot", "mask"),
    ("min_gru", "scaled", "drop"),
]
"""Each topology with each representation and with a mask; each representation with each policy."""


@pytest.mark.parametrize(("model", "representation", "missing"), PAIRS)
@pytest.mark.parametrize("layers", [1, 2])
def test_the_arrays_give_the_same_answers_as_the_original(
    model: str, representation: str, missing: str, layers: int, tmp_path: Path
) -> None:
    network = small(
        model, f"representation={representation}", f"missing={missing}", f"model.layers={layers}"
    )
    assert can_be_arrays(network)
    write_arrays(network, tmp_path)
    asked = {"carry": True, "outputs": True}
    predict = echo_network.load(tmp_path).predict
    assert forms.compare(network, lambda windows: predict(windows, asked)) < 1e-6


def test_the_arrays_distinguish_where_a_reset_gate_acts(tmp_path: Path) -> None:
    network = small("gru", "model.reset=before", "missing=mask", "model.layers=2")
    write_arrays(network, tmp_path)
    predict = echo_network.load(tmp_path).predict
    asked = {"carry": True, "outputs": True}
    assert forms.compare(network, lambda windows: predict(windows, asked)) < 1e-6


def test_the_arrays_decode_as_the_original_does(tmp_path: Path) -> None:
    network = small("encoder_decoder", "representation=scaled")
    write_arrays(network, tmp_path)
    sequence = np.arange(9) % 7
    echo = echo_network.load(tmp_path).predict(network.problem.windows(sequence), {"carry": True})
    assert (echo == network.predict(sequence).predicted.numpy()).all()


@pytest.mark.filterwarnings("ignore")  # of MLflow about missing examples
def test_the_mlflow_model_of_an_own_network_is_a_graph(tmp_path: Path) -> None:
    class Own(EncoderDecoder):
        """A network whose difference from ours is only in its code."""

    network = small()
    network.module.model.__class__ = Own
    assert not can_be_arrays(network)
    model = forms.write(network, "mlflow", tmp_path)
    assert model.difference < 1e-6
    assert (model.path / "data" / "network.pt2").exists()
    assert "torch==" in (model.path / "requirements.txt").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore")  # of torch.onnx about its own operators
@pytest.mark.parametrize(
    ("model", "options"),
    [
        *((model, ("model.layers=2", "missing=mask")) for model in matrix.topologies()),
        ("seq2seq_padded", ("representation=scaled",)),
        ("many_to_one", ("representation=scaled", "missing=sentinel")),
        ("gru", ("model.reset=before",)),
    ],
)
def test_onnx_gives_the_same_answers_as_the_original(
    model: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    assert forms.write(small(model, *options), "onnx", tmp_path).difference < 1e-6


@pytest.mark.filterwarnings("ignore")  # of MLflow about missing examples
@pytest.mark.parametrize(
    "model", [name for name, network in matrix.topologies().items() if network not in LAYERS]
)
def test_the_mlflow_model_of_a_network_without_arrays_is_a_graph(
    model: str, tmp_path: Path
) -> None:
    network = small(model)
    assert not can_be_arrays(network)
    written = forms.write(network, "mlflow", tmp_path)
    assert written.difference < 1e-6
    assert (written.path / "data" / "network.pt2").exists()


@pytest.mark.filterwarnings("ignore")  # of MLflow about missing examples
@pytest.mark.parametrize("options", [(), ("representation=scaled",), ("model.stateful=false",)])
def test_the_mlflow_model_gives_the_same_answers_as_the_original(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    assert forms.write(small("encoder_decoder", *options), "mlflow", tmp_path).difference < 1e-6


def test_a_single_window_starts_from_a_state_of_zero(tmp_path: Path) -> None:
    network = small()
    export_pt2(network, tmp_path)
    windows = network.problem.windows(np.arange(9) % 7)
    alone = echo_network.load(tmp_path).predict(windows)
    assert (alone == network.predict(np.arange(9) % 7, carry=False).predicted.numpy()).all()


def test_carried_rows_are_batched_as_in_training(tmp_path: Path) -> None:
    network = small("seq2seq", "batch_size=7", "problem.length=9")
    export_pt2(network, tmp_path)
    sequence = np.arange(20) % 7  # 18 windows: the last batch is not full
    outputs = echo_network.load(tmp_path).predict(
        network.problem.windows(sequence), {"carry": True, "outputs": True}
    )
    assert np.allclose(outputs, network.predict(sequence).outputs, atol=1e-6)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an exported network."""
    folder = tmp_path_factory.mktemp("exported")
    export_pt2(small(), folder)
    return folder


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        ([[1, 2]], "rows of 3 integers"),
        ([1, 2, 3], "rows of 3 integers"),
        ([[1, 2, 7]], "from 0 to 6"),
        ([[1, 2, -1]], "from 0 to 6"),
        ([[1, 2, -2]], "from 0 to 6"),
        ([[1, 2, 0.5]], "from 0 to 6"),
        (np.empty((0, 3)), "rows of 3 integers"),
    ],
)
def test_an_invalid_window_is_refused(windows: object, words: str, exported: Path) -> None:
    with pytest.raises(ValueError, match=words):
        echo_network.load(exported).predict(np.asarray(windows))


def test_a_window_may_lack_integers_if_the_network_was_trained_so(tmp_path: Path) -> None:
    export_pt2(small("seq2seq", "missing=mask"), tmp_path)
    network = echo_network.load(tmp_path)
    assert network.predict(np.asarray([[-1, 1, 2]])).shape == (1, 3)
    with pytest.raises(ValueError, match="from 0 to 6, and -1 is missing"):
        network.predict(np.asarray([[-2, 1, 2]]))


def test_nothing_is_pickled(tmp_path: Path) -> None:
    path = forms.write(small(), "pt2", tmp_path).path
    with zipfile.ZipFile(path) as archive:
        kinds = {
            Path(name).suffix for name in archive.namelist() if archive.getinfo(name).file_size
        }
    assert not kinds & {".pkl", ".pt", ".pickle"}


def test_a_form_that_gives_other_answers_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = small()
    monkeypatch.setattr(Network, "forward", _louder(network))
    with pytest.raises(forms.DifferentError, match="pt2"):
        forms.write(network, "pt2", tmp_path)
    assert not list(tmp_path.iterdir())


def _louder(trained: TrainedNetwork) -> object:
    original = Network.forward

    def forward(self: Network, windows: torch.Tensor, *state: torch.Tensor) -> object:
        outputs, *rest = original(self, windows, *state)
        return (2 * outputs, *rest)

    return forward


def test_outputs_that_are_nan_count_as_a_difference() -> None:
    network = small()

    def predict(windows: np.ndarray) -> np.ndarray:
        return np.full((len(windows), network.problem.n_out, network.problem.n_values), np.nan)

    assert np.isnan(forms.compare(network, predict))


def test_a_folder_that_is_no_earlier_export_is_not_replaced(tmp_path: Path) -> None:
    made, target = tmp_path / "made", tmp_path / "mlflow"
    for folder in (made, target):
        folder.mkdir()
    (target / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(SettingError, match=r"folder=.* its mlflow/ is not an earlier export"):
        forms._replace(made, target)
    assert (target / "notes.txt").exists()
    (target / "MLmodel").touch()  # an earlier export
    forms._replace(made, target)
    assert list(target.iterdir()) == []


def test_a_form_replaces_an_earlier_one(tmp_path: Path) -> None:
    forms.write(small(), "pt2", tmp_path)
    forms.write(small("many_to_one"), "pt2", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.json", "network.pt2"]
    assert json.loads((tmp_path / "network.json").read_text(encoding="utf-8"))["states"] == [4, 4]
