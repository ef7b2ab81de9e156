"""The command `echo-exp-export`: writes a trained network in other forms, and registers it."""

import logging
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig

from echo_exp import configuration, terminal
from echo_exp.commands import hydra_main as command
from echo_exp.commands.asked import load, tell_newest
from echo_exp.settings import SettingError, choice, not_installed, redacted, writable
from echo_exp.tracking import TrackingSettings, UnreachableError

if TYPE_CHECKING:
    from echo_exp.network import TrainedNetwork

FORMS = ("pt2", "onnx", "mlflow")
ONNX_NEEDS = ("onnx", "onnxscript", "onnxruntime")
REFUSED = "INVALID_PARAMETER_VALUE"
"""MLflow's error code for a name that no model may have."""


def main() -> None:
    """Runs `echo-exp-export`: exits with 0, 1 if a form differs, 2 if a setting is wrong."""
    command.run(_export, "export")


def _export(config: DictConfig) -> None:
    warnings.simplefilter("ignore")
    logging.disable()  # torch warns of operators that are not used
    asked = _forms(config.forms)

    if not isinstance(config.folder, str | None):
        raise SettingError("folder", config.folder, "it must be the path of a folder")
    if config.register is not None:
        _check_default(config)

    network = load(config)

    from echo_exp.export import forms

    key = "output_dir" if config.folder is None else "folder"
    folder = Path(config.folder or Path(config.output_dir) / "exports" / str(network.run_id))
    lines = [("form", "bytes", "difference", "")]
    impossible = []
    with writable(key, folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in asked:
            try:
                exported = forms.write(network, name, folder)
            except SettingError as error:
                impossible.append(error)
                continue
            size = f"{exported.size:,}"
            lines.append((name, size, f"{exported.difference:.1g}", str(exported.path)))
    if lines[1:]:
        terminal.console().print(terminal.table(lines))
    if impossible:
        raise impossible[0]
    if config.register is not None:
        print(_register(network, str(config.register), configuration.tracking(config)))
    tell_newest(config, network)


def _forms(asked: Any) -> list[str]:
    missing = [module for module in ONNX_NEEDS if find_spec(module) is None]
    if asked is None:
        return [form for form in FORMS if form != "onnx" or not missing]
    names = list(asked) if isinstance(asked, ListConfig) else [asked]
    for name in names or ["[]"]:
        choice("forms", name, FORMS)
    if "onnx" in names and missing:
        raise not_installed("forms", "onnx", missing[0], extra="onnx")
    return names


def _check_default(config: DictConfig) -> None:
    """Checks that the network to be registered is the one that is logged as the run's model.

    Raises:
        SettingError: It is another one, which the run's model and scores do not describe.
    """
    for key, default in (("seed", None), ("checkpoint", "last")):
        if config[key] != default:
            reason = (
                "register= registers the model of the run: the network at the end of the training, "
                "of the first seed that did not diverge"
            )
            raise SettingError(key, config[key], reason)


def _register(network: "TrainedNetwork", name: str, store: TrackingSettings) -> str:
    """Registers a run's model as the next version of ``name``; logs it first if it is missing.

    Raises:
        SettingError: No model may have this name.
        UnreachableError: The store could no longer be reached.
    """
    from mlflow.exceptions import MlflowException

    from echo_exp.export import forms
    from echo_exp.tracking.access import logged_models, reader
    from echo_exp.tracking.access.connection import mends, reason

    run = reader.find(store, str(network.run_id))
    model = logged_models.find_model(run.access.client, run.run_id)
    if model is None:
        with tempfile.TemporaryDirectory() as folder:
            package = forms.write(network, "mlflow", Path(folder)).path
            model = logged_models.log_model(run.access, run.run_id, package)
    try:
        version = logged_models.register(run.access.client, name, model, network.metrics)
    except Exception as error:
        if mends(error):
            why = f"{redacted(run.access.uri)} did not register {name} ({reason(error)})"
            raise UnreachableError(why) from error
        if isinstance(error, MlflowException) and error.error_code == REFUSED:
            raise SettingError("register", name, str(error).splitlines()[0]) from error
        raise
    return f"registered as models:/{name}/{version}"


if __name__ == "__main__":
    main()
