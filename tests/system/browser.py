"""A real browser on the real UI."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from ..quick import begins
from .servers import free_port
from .waiting import TIMEOUT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZE: ViewportSize = {"width": 1400, "height": 900}
EXPECTED = "/ajax-api/2.0/mlflow/users/current"
"""MLflow's UI asks for it to find out whether the server knows users; ours does not."""
DRAWN_EARLY = "Error: <"
"""How Chromium tells of an attribute of SVG: MLflow draws parallel coordinates once before their
card has a size, and again when it has."""
RESIZED_TWICE = "ResizeObserver loop completed with undelivered notifications"
"""How a browser tells that a change of size is left for the next frame, as it may be when the
machine is busy; nothing is lost (Resize Observer, W3C)."""

SEARCH = (
    "-m",
    "hydra/sweeper=optuna",
    "hydra/sweeper/sampler=brute_force",
    "++hydra.sweeper.pruner={_target_: optuna.pruners.ThresholdPruner, lower: 0.5}",
    "hydra.sweeper.trials=4",
    "problem.n_values=10",
    "model.units=choice(14, 18)",
    "optimizer.learning_rate=choice(1e-5, 0.03)",
    "epochs=20",
    "trainer.validate_every=10",
    "tracking.experiment=others",
    "export=false",
)
"""A search in which the trials with the lower learning rate are pruned."""
FAILING = (
    *("-m", "optimizer.learning_rate=1e-2,1e-3,1e38", "epochs=5"),
    *("tracking.experiment=others", "export=false"),
)
"""A sweep whose last job fails."""
MADE = (
    ("experiment=seq2seq_baseline",),
    ("-m", "model.units=5,10,20,40", "seed=1,2,3,4,5", "epochs=50", "export=false"),
    SEARCH,
    FAILING,
    ("study=ignore_state", "study.scale=quick", "epochs=50", "replicas=4"),
)
"""What is run to have something to look at: a baseline, a sweep of 20, a search, a sweep with a job
that fails, and a study."""
PRINTED = "printed.txt"
"""What they have printed."""

SCRIPT = """
import sys
from echo_exp.commands.train import main
for arguments in {made!r}:
    sys.argv = ["echo-exp", *arguments]
    try:
        main()
    except SystemExit as ended:
        assert (ended.code or 0) == (arguments == {failing!r}), arguments
"""


def make_runs(folder: Path, made: tuple[tuple[str, ...], ...] = MADE) -> None:
    """Runs several commands in one process, because most of a short command's time is its start."""
    begins("a training")
    script = SCRIPT.format(made=made, failing=FAILING)
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    (folder / PRINTED).write_text(done.stdout, encoding="utf-8")


@dataclass
class Ui:
    """A running `echo-exp-ui` that answers."""

    process: subprocess.Popen[str]
    address: str

    @property
    def root(self) -> str:
        """The address without the page."""
        return self.address.split("#")[0]

    def end(self) -> tuple[str, str]:
        """Ends the server as Ctrl-C does; returns what else it printed."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=TIMEOUT)


def start_ui(folder: Path, *arguments: str) -> Ui:
    """Starts `echo-exp-ui` and waits until it prints its address."""
    begins("a server")
    process = subprocess.Popen(
        [sys.executable, "-m", "echo_exp.commands.ui", f"port={free_port()}", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "DISPLAY"},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.fullmatch(r"Look at the runs: (http://\S+)\n", line)
    assert found is not None, (line, process.communicate(timeout=TIMEOUT))
    return Ui(process, found.group(1))


def _home() -> tempfile.TemporaryDirectory[str]:
    """The browser's own home folder: its processes may still write there while they end."""
    return tempfile.TemporaryDirectory(ignore_cleanup_errors=True)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Opens a browser; skips the test if there is none."""
    begins("a browser")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: `apt-get install chromium`")
    with _home() as home, sync_playwright() as playwright:
        expect.set_options(timeout=TIMEOUT * 1000)
        env: dict[str, str | float | bool] = {**os.environ, "HOME": home}
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, env=env)
        yield opened
        opened.close()


@dataclass
class Watched:
    """A page and the errors in it."""

    page: Page
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda m: self._note(m.type == "error", m.text, m.location["url"]))
        self.page.on("pageerror", lambda error: self._note(True, str(error)))
        self.page.on("requestfailed", lambda r: self._note(r.failure != "net::ERR_ABORTED", r.url))
        self.page.on("response", lambda r: self._note(r.status >= 400, f"{r.status}", r.url))

    def _note(self, wrong: bool, what: str, where: str = "") -> None:
        expected = where.endswith(EXPECTED) or what.startswith(DRAWN_EARLY) or RESIZED_TWICE in what
        if wrong and not expected:
            self.troubles.append(f"{what} {where}")


def new_page(opened: Browser) -> Watched:
    """Opens a page of a browser that has never seen the UI."""
    page = opened.new_context(viewport=SIZE, reduced_motion="reduce").new_page()
    page.set_default_timeout(TIMEOUT * 1000)
    return Watched(page)
