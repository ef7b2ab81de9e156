"""Takes the screenshots of MLflow's UI in docs/ui.md, as `echo-exp-ui` opens it.

    python -m benchmarks.screenshots       two minutes; needs Chromium

It makes a store of its own with a baseline, a sweep of 20 runs and a study, and writes
`docs/figures/ui/*.png`.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

from mlflow.entities import Run
from PIL import Image
from playwright.sync_api import Page

from benchmarks.commands import FIGURES
from echo_exp.tracking.ui.view import page
from tests.system.browser import Ui, browser, make_runs, new_page, start_ui
from tests.system.conftest import Program

FOLDER = FIGURES / "ui"
MADE = (
    ("experiment=seq2seq_baseline",),
    ("-m", "model.units=5,10,20,40", "seed=1,2,3,4,5", "epochs=300", "export=false"),
    ("study=ignore_state", "study.scale=quick"),
)
COLOURS = 256
SETTLED = 1500
"""Milliseconds after which nothing on a page moves any more."""


def main() -> None:
    """Makes the runs and the pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        make_runs(Path(folder), MADE)
        ui = start_ui(Path(folder))
        try:
            _photograph(ui, Program(Path(folder)))
        finally:
            ui.end()


def _photograph(ui: Ui, program: Program) -> None:
    baseline = _page(ui, program, "Seq2Seq")
    shots: dict[str, tuple[str, Callable[[Page], None]]] = {
        "experiments": (f"{ui.root}#/experiments", _nothing),
        "runs": (ui.address, _nothing),
        "charts": (f"{ui.address}&compareRunsMode=CHART", _nothing),
        "compare": (ui.address, _compare),
        "curves": (ui.address, _curves),
        "run": (baseline, _unfold),
        "samples": (f"{baseline}/artifacts/samples.json", _nothing),
        "figure": (f"{baseline}/artifacts/learning_curve.png", _nothing),
        "sweep": (_page(ui, program, "sweep of 20"), _unfold),
        "sweep_runs": (_sweep(ui, program, "sweep of 20"), _nothing),
        "sweep_charts": (
            f"{_sweep(ui, program, 'sweep of 20')}&compareRunsMode=CHART",
            _nothing,
        ),
        "study": (_table(ui, program, "study ignore_state"), _nothing),
    }
    with browser() as opened:
        for name, (address, prepare) in shots.items():
            shown = new_page(opened).page
            shown.goto(address)
            shown.wait_for_timeout(SETTLED)
            prepare(shown)
            shown.wait_for_timeout(SETTLED)
            path = FOLDER / f"{name}.png"
            shown.screenshot(path=path)
            Image.open(path).convert("RGB").quantize(COLOURS).save(path, optimize=True)
            shown.context.close()
            print(path)


def _run(program: Program, start: str) -> Run:
    return next(run for run in program.runs() if str(run.info.run_name).startswith(start))


def _sweep(ui: Ui, program: Program, start: str) -> str:
    run = _run(program, start)
    return f"{ui.root}{page(run.info.experiment_id, shown=run.info.run_id)}"


def _page(ui: Ui, program: Program, start: str) -> str:
    run = _run(program, start)
    return f"{ui.root}#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"


def _table(ui: Ui, program: Program, start: str) -> str:
    return f"{ui.root}#/experiments/{_run(program, start).info.experiment_id}/runs"


def _nothing(page: Page) -> None:
    pass


def _unfold(page: Page) -> None:
    page.get_by_text("Show more").click()


def _compare(page: Page) -> None:
    for row in (1, 6, 11, 16):  # the same seed, with different units
        page.locator(f".ag-row[row-index='{row}'] .ag-checkbox-input").check(force=True)
    page.get_by_role("button", name="Compare").first.click()
    page.wait_for_selector(".parcoords")


def _curves(page: Page) -> None:
    _compare(page)
    page.get_by_role("link", name="train/accuracy").click()


if __name__ == "__main__":
    main()
