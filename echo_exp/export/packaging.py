"""An exported network as an MLflow model, which does not need this package."""

import json
import platform
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
from mlflow import pyfunc
from mlflow.models import Model, ModelSignature
from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

DESCRIPTION = "network.json"

CODE = Path(__file__).with_name("echo_network.py")
MODEL, REQUIREMENTS = "MLmodel", "requirements.txt"
PYTHON, CONDA = "python_env.yaml", "conda.yaml"


def package(destination: Path, network: Path) -> None:
    """Writes an MLflow model.

    `mlflow.pyfunc.save_model` would do the same, but it would first look through every file of
    every installed package to compare the packages with the model's requirements.

    Args:
        destination: The folder of the model; it must not exist.
        network: The folder with ``network.json`` and, beside it, the file of the network.
    """
    described = json.loads((network / DESCRIPTION).read_text(encoding="utf-8"))
    shutil.copytree(network, destination / "data")
    (destination / "code").mkdir()
    shutil.copy(CODE, destination / "code")
    needed = ["mlflow", "numpy", *([] if "steps" in described else ["torch"])]
    lines = [f"{name}=={version(name).split('+')[0]}\n" for name in needed]
    (destination / REQUIREMENTS).write_text("".join(lines), encoding="utf-8")
    python = platform.python_version()
    environments = {
        PYTHON: f"python: {python}\ndependencies:\n- -r {REQUIREMENTS}\n",
        CONDA: f"channels:\n- conda-forge\ndependencies:\n- python={python}\n- pip\n- pip:\n"
        + "".join(f"  - {line}" for line in lines),
    }
    for name, content in environments.items():
        (destination / name).write_text(content, encoding="utf-8")
    model = Model(signature=_signature(described["n_in"]))
    pyfunc.add_to_model(
        model, CODE.stem, data="data", code="code", conda_env=CONDA, python_env=PYTHON
    )
    model.save(str(destination / MODEL))


def _signature(n_in: int) -> ModelSignature:
    windows = TensorSpec(np.dtype(np.int64), (-1, n_in), name=None)
    echo = TensorSpec(np.dtype(np.float64), (-1, -1), name=None)
    flags = [ParamSpec(name, DataType.boolean, False) for name in ("carry", "outputs")]
    return ModelSignature(Schema([windows]), Schema([echo]), ParamSchema(flags))
