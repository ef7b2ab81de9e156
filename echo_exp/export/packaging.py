"""An exported network as an MLflow model, which needs nothing of this package."""

import json
from importlib.metadata import version
from pathlib import Path

import mlflow
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

DESCRIPTION = "network.json"

CODE = Path(__file__).with_name("echo_network.py")
REQUIREMENTS = ("mlflow", "numpy", "torch")


def package(destination: Path, network: Path) -> None:
    """Writes an MLflow model.

    Args:
        destination: The folder of the model; it must not be there.
        network: The folder of ``network.pt2`` and ``network.json``.
    """
    described = json.loads((network / DESCRIPTION).read_text(encoding="utf-8"))
    mlflow.pyfunc.save_model(
        destination,
        loader_module=CODE.stem,
        code_paths=[str(CODE)],
        data_path=str(network),
        signature=_signature(described["n_in"]),
        pip_requirements=[f"{name}=={version(name).split('+')[0]}" for name in REQUIREMENTS],
    )


def _signature(n_in: int) -> ModelSignature:
    windows = TensorSpec(np.dtype(np.int64), (-1, n_in), name=None)
    echo = TensorSpec(np.dtype(np.float64), (-1, -1), name=None)
    flags = [ParamSpec(name, DataType.boolean, False) for name in ("carry", "outputs")]
    return ModelSignature(Schema([windows]), Schema([echo]), ParamSchema(flags))
