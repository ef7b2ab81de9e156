"""What the tests of the UI look for on its pages."""

import re

from mlflow.entities import Run
from playwright.sync_api import Locator, Page

from echo_exp.tracking.ui.view import page as address

from ..browser import Ui
from ..conftest import Program

SWEEP = re.compile("sweep of 20")


def named(store: Program, start: str) -> Run:
    """The oldest run whose name starts so."""
    return next(run for run in store.runs() if str(run.info.run_name).startswith(start))


def address_of(ui: Ui, run: Run, tab: str = "") -> str:
    """The address of a run's page, or of one of its tabs."""
    return f"{ui.root}#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}{tab}"


def follow(link: Locator) -> None:
    """Goes where a link leads. A click on it is lost if the page is drawn again at that moment."""
    target = link.evaluate("e => e.href")
    link.page.goto(target)


def cards(page: Page) -> Locator:
    """The cards with the charts."""
    return page.get_by_test_id("experiment-view-compare-runs-card")


def charts_of(page: Page, ui: Ui, parent: Run) -> Locator:
    """Opens the charts of a sweep's own view; returns their cards."""
    page.set_viewport_size({"width": 1400, "height": 1200})
    view = address(parent.info.experiment_id, shown=parent.info.run_id)
    page.goto(f"{ui.root}{view}&compareRunsMode=CHART")
    return cards(page)


def headers(page: Page) -> list[str]:
    """The columns of the table of runs, from left to right."""
    cells = page.locator(".ag-header-cell[col-id]")
    found = cells.evaluate_all(
        "all => all.map(e => [e.getBoundingClientRect().x, e.getAttribute('col-id')])"
    )
    return [name for _, name in sorted(found)]
