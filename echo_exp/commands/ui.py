"""The command `echo-exp-ui`: MLflow's UI on this machine, open at the right page."""

import contextlib
import logging
import os
import socket
import sys
import warnings
import webbrowser
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from echo_exp import configuration
from echo_exp.commands import hydra_main as command
from echo_exp.settings import SettingError, integer, redacted
from echo_exp.tracking.settings import LAST, TrackingSettings, existing, served
from echo_exp.tracking.ui.view import VIEW, VIEWS, page

if TYPE_CHECKING:
    from mlflow.entities import Experiment
    from mlflow.tracking import MlflowClient

    from echo_exp.tracking.access.connection import Access

HOST = "127.0.0.1"


def main() -> None:
    """Runs `echo-exp-ui`: exits with 0 at Ctrl-C, 1 if it fails, 2 if a setting is wrong."""
    with contextlib.suppress(KeyboardInterrupt):
        command.run(_show, "ui")


def _show(config: DictConfig) -> None:
    warnings.simplefilter("ignore")
    logging.disable()  # MLflow logs the errors that it raises, with tracebacks
    port = integer("port", config.port, 1, 65535)
    settings = configuration.tracking(config)
    existing(settings)  # before the imports that follow, which take seconds

    from echo_exp.tracking.access import reader

    access = reader.opened(settings)
    uri = access.uri
    elsewhere = served(uri)
    if config.sweep is not None:
        opened = _sweep_page(access, settings, config.run, str(config.sweep))
    else:
        with reader.reached(uri):
            opened = _page(access.client, settings.experiment, config.run, elsewhere)
    if elsewhere:
        print(f"Look at the runs: {redacted(uri).rstrip('/')}/{opened}")
        return

    from echo_exp.tracking.ui.server import serve

    with _listening(port) as taken:
        serve(access, taken, lambda: _announce(f"http://{HOST}:{port}/{opened}"))


def _sweep_page(access: "Access", settings: TrackingSettings, run: str | None, which: str) -> str:
    """Returns the page of a sweep: the table of its runs, in the sweep's own view.

    Raises:
        SettingError: There is no such sweep, or a run is named too.
    """
    from echo_exp.tracking.access import reader

    if run is not None:
        raise SettingError("run", run, "only one page can be opened: name a run or a sweep")
    parent = reader.sweep(access, settings.experiment, which)
    run_id, experiment_id = parent.info.run_id, parent.info.experiment_id
    known = f"{VIEWS}{run_id}" in access.client.get_experiment(experiment_id).tags
    return page(experiment_id, shown=run_id) if known else page(experiment_id, run_id)


def _page(client: "MlflowClient", experiment: str, run: str | None, shared: bool) -> str:
    """Returns the page to open.

    Raises:
        SettingError: There is no such run, the experiment has none, or it was deleted in MLflow.
    """
    from echo_exp.tracking.access import reader

    if run not in (None, LAST):
        found = reader.existing_run(client, str(run))
        if found is None:
            raise SettingError("run", run, "it must be `last` or the id of a run in the store")
        reader.active(client, found)
        return page(found.info.experiment_id, found.info.run_id)
    known = {found.name: found for found in client.search_experiments()}
    newest = _newest(client, known[experiment]) if experiment in known else None
    if newest is None:
        reader.experiment(client, experiment)
        full = [name for name, found in known.items() if _newest(client, found)]
        there = f"runs are in {', '.join(full)}" if full else "the whole store has none yet"
        raise SettingError("tracking.experiment", experiment, f"it has no runs; {there}")
    shown = VIEW if shared else None
    return page(known[experiment].experiment_id, newest if run == LAST else None, shown)


def _newest(client: "MlflowClient", experiment: "Experiment") -> str | None:
    """Returns the newest run of an experiment that is not the parent of others."""
    order = ["attributes.start_time DESC"]
    found = client.search_runs([experiment.experiment_id], "tags.kind = 'run'", 1, 1, order)
    return found[0].info.run_id if found else None


def _listening(port: int) -> socket.socket:
    """Binds a socket to a port of this machine.

    Raises:
        SettingError: The port cannot be used.
    """
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((HOST, port))
    except OSError as error:
        taken.close()
        with socket.socket() as another:
            another.bind((HOST, 0))
            free = another.getsockname()[1]
        reason = f"{HOST}:{port} cannot be used ({error.strerror}); port={free} is free"
        raise SettingError("port", port, reason) from error
    return taken


def _announce(address: str) -> None:
    print(f"Look at the runs: {address}\nCtrl-C stops the server.", flush=True)
    desktop = sys.platform in ("darwin", "win32") or any(
        name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if desktop and sys.stdout.isatty():
        webbrowser.open(address)


if __name__ == "__main__":
    main()
