"""Exports a network in several forms, and compares each with the original."""

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_exp.export import echo_network, packaging
from echo_exp.export.arrays import write_network
from echo_exp.export.network import DESCRIPTION, export_onnx, export_pt2
from echo_exp.network import TrainedNetwork
from echo_exp.settings import SettingError
from echo_exp.task.problem import Stream, random_stream

TOLERANCE = 1e-5
"""The largest difference allowed between the outputs; a share of the largest if that is above 1."""
SEQUENCES = 3

Predict = Callable[[NDArray[np.int64]], NDArray[Any]]
"""Maps the windows of a sequence, [rows, n_in], to outputs, [rows, n_out, V]; carries the state."""
ASKED = {"carry": True, "outputs": True}


class DifferentError(RuntimeError):
    """An exported network answers differently from the original."""


@dataclass(frozen=True)
class Exported:
    """A network in another form.

    Attributes:
        path: The file or folder.
        difference: The largest difference from the original's outputs.
    """

    path: Path
    difference: float

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        files = self.path.rglob("*") if self.path.is_dir() else [self.path]
        return sum(file.stat().st_size for file in files if file.is_file())


def write(trained: TrainedNetwork, name: str, folder: Path) -> Exported:
    """Exports a network and compares it with the original; replaces an earlier export.

    Args:
        trained: The network.
        name: The form: ``pt2``, ``onnx`` or ``mlflow``.
        folder: The folder to write to.

    Raises:
        SettingError: The network cannot be written in this form.
        DifferentError: The exported network answers differently; it is not kept.
    """
    make, load = _FORMS[name]
    with tempfile.TemporaryDirectory(dir=folder) as partial:
        made = make(trained, Path(partial))
        difference = compare(trained, load(made))
        if not difference <= TOLERANCE:  # it may be NaN
            raise DifferentError(f"{name}: its outputs differ by {difference:.1g}")
        for path in Path(partial).iterdir():
            _replace(path, folder / path.name)
    return Exported(folder / made.name, difference)


def compare(trained: TrainedNetwork, predict: Predict) -> float:
    """Returns the largest difference of outputs on fresh sequences, with the state carried.

    It is a share of the largest output if that is above 1, and NaN if an output is NaN.
    """
    problem = trained.problem
    sequences = problem.generate(random_stream(trained.seed, Stream.LISTING), SEQUENCES)
    largest = 0.0
    for sequence in sequences:
        expected = trained.predict(sequence).outputs.numpy()
        outputs = predict(problem.windows(sequence).copy())[problem.n_incomplete :]
        difference = np.abs(outputs - expected).max() / max(1.0, np.abs(expected).max())
        largest = np.maximum(largest, difference)  # NaN stays NaN
    return float(largest)


def _replace(path: Path, target: Path) -> None:
    if target.is_dir():
        if not (target / "MLmodel").is_file():
            reason = f"its {target.name}/ is not an earlier export; choose another folder"
            raise SettingError("folder", target.parent, reason)
        shutil.rmtree(target)
    path.replace(target)


def _write_mlflow(trained: TrainedNetwork, folder: Path) -> Path:
    with tempfile.TemporaryDirectory() as temporary:
        network = write_network(trained, Path(temporary) / "network").parent
        packaging.package(folder / "mlflow", network)
    return folder / "mlflow"


def _load_pt2(path: Path) -> Predict:
    return _predict(echo_network.load(path.parent))


def _load_onnx(path: Path) -> Predict:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)

    def graph(*arguments: NDArray[Any]) -> Sequence[NDArray[Any]]:
        names = [given.name for given in session.get_inputs()]
        return session.run(None, dict(zip(names, arguments, strict=True)))  # type: ignore[no-any-return]

    description = json.loads((path.parent / DESCRIPTION).read_text(encoding="utf-8"))
    return _predict(echo_network.Echo(graph, description))


def _predict(echo: echo_network.Echo) -> Predict:
    return lambda windows: echo.predict(windows, ASKED)


def _load_mlflow(path: Path) -> Predict:
    from mlflow import pyfunc

    model = pyfunc.load_model(str(path))
    return lambda windows: model.predict(windows, params=ASKED)


_FORMS: dict[str, tuple[Callable[[TrainedNetwork, Path], Path], Callable[[Path], Predict]]] = {
    "pt2": (export_pt2, _load_pt2),
    "onnx": (export_onnx, _load_onnx),
    "mlflow": (_write_mlflow, _load_mlflow),
}
