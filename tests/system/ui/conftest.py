"""One store with every kind of run, MLflow's UI on it, and a page of a browser."""

import os
from collections.abc import Iterator

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, Page, expect

from ..browser import Ui, Watched, browser, make_runs, new_page, start_ui
from ..conftest import Program
from ..nursery import Nursery


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Program:
    """The runs, made once for all test workers."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "ui"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            make_runs(folder)
    return Program(folder, nursery)


@pytest.fixture(scope="session")
def ui(store: Program) -> Iterator[Ui]:
    started = start_ui(store.folder)
    yield started
    started.end()


@pytest.fixture(scope="session")
def opened() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture
def page(opened: Browser) -> Iterator[Page]:
    """A page that fails the test on any error."""
    watched: Watched = new_page(opened)
    yield watched.page
    expect(watched.page.locator(".du-bois-light-alert-error")).to_have_count(0)
    watched.page.context.close()
    assert watched.troubles == []
