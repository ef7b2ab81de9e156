"""`echo-exp-ui` in a real browser: what a user sees of runs, sweeps, a search and a study."""

import os
import re
import socket
from collections.abc import Iterator

import pytest
from filelock import FileLock
from mlflow.entities import Run
from playwright.sync_api import Browser, Locator, Page, expect

from echo_exp.tracking.ui.view import page as address

from .browser import PRINTED, SIZE, Ui, Watched, browser, make_runs, new_page, start_ui
from .conftest import Program
from .nursery import Nursery

METRICS = ["test/accuracy", "test/sequence_accuracy", "val/accuracy", "epochs_to_solve"]
PARAMETERS = ["problem", "model", "representation", "model.units", "epochs", "seed", "replicas"]
CURVES = 2
"""So often MLflow draws a curve: smoothed, and pale as it is."""
SWEEP = re.compile("sweep of 20")


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


def _named(store: Program, start: str) -> Run:
    """The oldest run whose name starts so."""
    return next(run for run in store.runs() if str(run.info.run_name).startswith(start))


def _address(ui: Ui, run: Run, tab: str = "") -> str:
    return f"{ui.root}#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}{tab}"


def _rows(page: Page) -> Locator:
    """The rows of the table of runs that have a name."""
    return page.locator(".ag-center-cols-container .ag-row, .ag-pinned-left-cols-container .ag-row")


def _headers(page: Page) -> list[str]:
    cells = page.locator(".ag-header-cell[col-id]")
    found = cells.evaluate_all(
        "all => all.map(e => [e.getBoundingClientRect().x, e.getAttribute('col-id')])"
    )
    return [name for _, name in sorted(found)]


def test_the_table_of_runs_has_the_useful_columns_in_their_order(ui: Ui, page: Page) -> None:
    page.set_viewport_size({"width": 2400, "height": 900})
    page.goto(ui.address)
    expect(page.get_by_text("22 matching runs")).to_be_visible()
    names = [f"metrics.`{name}`" for name in METRICS] + [f"params.`{name}`" for name in PARAMETERS]
    always = ["attributes.`Run Name`", "runDateAndNestInfo", "duration"]
    expect(page.locator(".ag-header-cell[col-id='params.`replicas`']")).to_be_visible()
    assert _headers(page)[-len(names) - 3 :] == always + names


def test_a_sweep_is_a_row_with_its_runs_nested_under_it(ui: Ui, page: Page) -> None:
    page.goto(ui.address)
    names = page.locator("[col-id='attributes.`Run Name`'] a")
    expect(names.filter(has_text=SWEEP)).to_have_count(1)
    children = names.filter(has_text="units 40")
    expect(children.first).to_be_visible()
    parent = names.filter(has_text=SWEEP).bounding_box()
    child = children.first.bounding_box()
    assert parent is not None
    assert child is not None
    assert child["x"] > parent["x"]
    page.locator(".ag-row", has_text=SWEEP).get_by_role("button").first.click()
    expect(children).to_have_count(0)
    expect(names).to_have_count(2)


def test_a_users_changes_are_kept(ui: Ui, page: Page) -> None:
    page.goto(ui.address)
    names = page.locator("[col-id='attributes.`Run Name`'] a")
    page.locator(".ag-row", has_text=SWEEP).get_by_role("button").first.click()
    expect(names).to_have_count(2)
    page.reload()
    expect(names).to_have_count(2)


def test_the_list_of_experiments_says_what_each_is_and_opens_its_runs(ui: Ui, page: Page) -> None:
    page.goto(f"{ui.root}#/experiments")
    study = page.get_by_role("row", name="study/ignore_state")
    expect(study).to_contain_text("Does it matter whether the LSTM")
    echo = page.get_by_role("link", name="echo", exact=True)
    expect(page.get_by_role("row").filter(has=echo)).to_contain_text("Networks that learn to echo")
    study.get_by_role("link", name="study/ignore_state").click()
    expect(page.get_by_text("5 matching runs")).to_be_visible()
    expect(page.locator("[col-id='params.`model.stateful`']").first).to_be_visible()
    expect(page.get_by_text("Detect Issues")).to_have_count(0)


def test_the_charts_show_final_scores_as_bars_and_measurements_of_epochs_as_curves(
    ui: Ui, page: Page
) -> None:
    page.set_viewport_size({"width": 1400, "height": 2400})  # what is out of sight is not drawn
    page.goto(f"{ui.address}&compareRunsMode=CHART")
    cards = page.get_by_test_id("experiment-view-compare-runs-card")
    bars = cards.filter(has_text="test/accuracy").first.locator(".bars .point path")
    expect(bars).to_have_count(19)  # of the first 20 rows, the parent has none
    curves = cards.filter(has_text="train/loss").first
    expect(curves.locator(".js-line")).to_have_count(CURVES * 19)
    expect(page.get_by_text("No chart data")).to_have_count(0)


def test_three_runs_are_compared_by_parallel_coordinates_and_curves(ui: Ui, page: Page) -> None:
    page.goto(ui.address)
    for row in (1, 6, 11):  # of one seed, with different units
        page.locator(f".ag-row[row-index='{row}'] .ag-checkbox-input").check(force=True)
    page.get_by_role("button", name="Compare").first.click()
    expect(page.get_by_role("heading", name="Comparing 3 Runs")).to_be_visible()
    plot = page.locator(".parcoords")
    for name in ("model.units", "test/accuracy"):
        expect(plot.get_by_text(name, exact=True)).to_be_visible()
    page.get_by_role("link", name="train/loss").click()
    expect(page.locator(".js-line")).to_have_count(CURVES * 3)


def test_the_samples_of_a_run_are_a_table(store: Program, ui: Ui, page: Page) -> None:
    page.goto(_address(ui, _named(store, "Seq2Seq"), "/artifacts/samples.json"))
    for title in ("window", "expected", "predicted", "correct"):
        expect(page.get_by_role("columnheader", name=title)).to_be_visible()
    expect(page.get_by_role("cell", name="true").first).to_be_visible()


def test_the_learning_curve_of_a_run_is_shown_inline(store: Program, ui: Ui, page: Page) -> None:
    page.goto(_address(ui, _named(store, "Seq2Seq"), "/artifacts/learning_curve.png"))
    figure = page.get_by_role("img", name="learning_curve.png")
    expect(figure).to_be_visible()
    page.wait_for_function("e => e.complete", arg=figure.element_handle())
    assert figure.evaluate("e => e.naturalWidth") > 500


def test_a_runs_page_shows_its_settings_its_result_and_how_to_use_it(
    store: Program, ui: Ui, page: Page
) -> None:
    run = _named(store, "Seq2Seq")
    page.goto(_address(ui, run))
    page.get_by_text("Show more").click()
    expect(page.get_by_text("learns to echo 5 of 5 integers")).to_be_visible()
    expect(page.get_by_role("cell", name="sequence accuracy")).to_be_visible()
    commands = page.locator("pre", has_text="echo-exp-predict")
    expect(commands).to_contain_text(f"echo-exp-predict run={run.info.run_id}")
    expect(commands).to_contain_text("echo-exp experiment=seq2seq_baseline")


def test_a_sweeps_page_shows_what_was_swept_and_the_best_setting(
    store: Program, ui: Ui, page: Page
) -> None:
    page.goto(_address(ui, _named(store, "sweep of 20")))
    page.get_by_text("Show more").click()
    expect(page.get_by_role("row", name="model.units 5, 10, 20, 40").first).to_be_visible()
    expect(page.get_by_text("Best: units 40: ")).to_be_visible()
    expect(page.get_by_text("sweep/best_accuracy")).to_be_visible()
    expect(page.get_by_role("cell", name="5, 10, 20, 40").first).to_be_visible()


def test_a_sweeps_report_is_among_its_artifacts(store: Program, ui: Ui, page: Page) -> None:
    page.goto(_address(ui, _named(store, "sweep of 20"), "/artifacts/report/scores.png"))
    expect(page.get_by_role("img", name="scores.png")).to_be_visible()


def test_a_sweep_opens_with_its_runs_only_the_best_first(
    store: Program, ui: Ui, page: Page
) -> None:
    parent = _named(store, "sweep of 20").info
    page.goto(f"{ui.root}{address(parent.experiment_id, shown=parent.run_id)}")
    names = page.locator("[col-id='attributes.`Run Name`'] a")
    expect(names.first).to_contain_text("units 40, seed ")
    expect(page.get_by_text("20 matching runs")).to_be_visible()
    headers = [name for name in _headers(page) if name.startswith(("params", "metrics"))]
    assert headers[:3] == ["params.`model.units`", "params.`seed`", "metrics.`test/accuracy`"]


def test_the_charts_of_a_sweep_begin_with_the_score_over_what_was_swept(
    store: Program, ui: Ui, page: Page
) -> None:
    parent = _named(store, "sweep of 20").info
    page.set_viewport_size({"width": 1400, "height": 1200})
    shown = address(parent.experiment_id, shown=parent.run_id)
    page.goto(f"{ui.root}{shown}&compareRunsMode=CHART")
    cards = page.get_by_test_id("experiment-view-compare-runs-card")
    expect(cards.nth(0)).to_contain_text("Parallel Coordinates")
    expect(cards.nth(1)).to_contain_text("model.units vs. test/accuracy")
    expect(cards.nth(1).locator(".scatterlayer .point")).to_have_count(20)


def test_the_view_of_a_sweep_is_in_the_menu_of_views(store: Program, ui: Ui, page: Page) -> None:
    page.goto(ui.address)
    page.get_by_role("button", name=re.compile("[Vv]iews?")).first.click()
    expect(page.get_by_text(SWEEP).first).to_be_visible()


def test_the_address_that_a_search_prints_opens_its_trials_the_best_first(
    store: Program, ui: Ui, page: Page
) -> None:
    search = _named(store, "search: ")
    printed = (store.folder / PRINTED).read_text(encoding="utf-8")
    shown = re.search(rf"http://127.0.0.1:5000/(\S+={search.info.run_id})\n", printed)
    assert shown is not None
    page.set_viewport_size({"width": 2000, "height": 900})
    page.goto(f"{ui.root}{shown[1]}")
    expect(page.get_by_text("4 matching runs")).to_be_visible()
    names = page.locator("[col-id='attributes.`Run Name`'] a")
    expect(names.first).to_contain_text("lr 0.03")
    expect(names.last).to_contain_text("lr 1e-05")
    headers = [name for name in _headers(page) if name.startswith(("params", "metrics"))]
    searched = ["params.`model.units`", "params.`optimizer.learning_rate`"]
    assert headers[:4] == [*searched, "metrics.`val/accuracy`", "metrics.`test/accuracy`"]
    page.get_by_role("button", name="search: ").click()
    expect(page.get_by_role("menuitem", name="search: ")).to_be_visible()


def test_the_charts_of_a_search_have_its_objective_over_each_setting_pruned_trials_too(
    store: Program, ui: Ui, page: Page
) -> None:
    search = _named(store, "search: ").info
    page.set_viewport_size({"width": 1400, "height": 1200})
    shown = address(search.experiment_id, shown=search.run_id)
    page.goto(f"{ui.root}{shown}&compareRunsMode=CHART")
    cards = page.get_by_test_id("experiment-view-compare-runs-card")
    for place, setting in enumerate(("model.units", "optimizer.learning_rate"), start=1):
        expect(cards.nth(place)).to_contain_text(f"{setting} vs. val/accuracy")
        expect(cards.nth(place).locator(".scatterlayer .point")).to_have_count(4)


def test_a_searchs_page_begins_with_its_answer_and_has_room_for_what_is_on_the_right(
    store: Program, ui: Ui, page: Page
) -> None:
    page.goto(_address(ui, _named(store, "search: ")))
    expect(
        page.get_by_text(re.compile(r"^Best: model.units=\d+ .*: val/accuracy "))
    ).to_be_visible()
    expect(page.get_by_text("sweep/best_accuracy")).to_be_visible()
    page.get_by_text("Show more").click()
    expect(page.get_by_text("4 trials: 2 finished, 2 pruned.")).to_be_visible()
    expect(page.locator("pre", has_text="echo-exp -m hydra/sweeper=optuna")).to_be_visible()
    beside = page.get_by_text("About this run").bounding_box()
    assert beside is not None
    assert beside["x"] + beside["width"] <= SIZE["width"]


def test_a_search_has_figures_a_report_and_its_trials_among_its_artifacts(
    store: Program, ui: Ui, page: Page
) -> None:
    search = _named(store, "search: ")
    page.goto(_address(ui, search, "/artifacts/search/slices.png"))
    expect(page.get_by_role("img", name="slices.png")).to_be_visible()
    page.get_by_text("report", exact=True).click()
    page.get_by_text("report.html").click()
    report = page.frame_locator("iframe")
    expect(report.get_by_text("It was to maximize val/accuracy.")).to_be_visible()
    page.get_by_text("trials.json").click()
    for shown in ("18", "0.03", "pruned"):
        expect(page.get_by_role("cell", name=shown, exact=True).first).to_be_visible()


def test_a_pruned_trial_says_so(store: Program, ui: Ui, page: Page) -> None:
    page.goto(_address(ui, _named(store, "units 14, lr 1e-05")))
    expect(page.get_by_text("It was pruned at epoch 10 by its search.")).to_be_visible()


def test_a_failed_job_is_marked_in_the_table_and_says_why(
    store: Program, ui: Ui, page: Page
) -> None:
    parent = _named(store, "sweep of 3").info
    page.goto(f"{ui.root}{address(parent.experiment_id, shown=parent.run_id)}")
    names = page.locator("[col-id='attributes.`Run Name`'] a")
    failed = names.filter(has_text="lr 1e+38")
    expect(names.last).to_have_text("lr 1e+38")
    marks = page.locator("[col-id='runDateAndNestInfo'] .anticon")
    colours = "all => all.map(e => getComputedStyle(e).color.match(/\\d+/g).map(Number))"
    reds = [red > green for red, green, _ in marks.evaluate_all(colours)]
    assert reds == [False, False, True]
    failed.click()
    expect(page.get_by_text("It failed: DivergedError: the loss of epoch 1")).to_be_visible()


def test_a_sweep_names_its_failed_job_and_why_on_its_page_and_in_its_report(
    store: Program, ui: Ui, page: Page
) -> None:
    parent = _named(store, "sweep of 3")
    page.goto(_address(ui, parent))
    page.get_by_text("Show more").click()
    expect(page.get_by_text("2 of 3 jobs succeeded, 1 failed.")).to_be_visible()
    expect(page.get_by_text("job 2: DivergedError: the loss of epoch 1")).to_be_visible()
    page.goto(_address(ui, parent, "/artifacts/report/report.html"))
    told = page.frame_locator("iframe").get_by_role("listitem").filter(has_text="FAILED")
    expect(told).to_contain_text("the loss of epoch 1 is not finite")
    expect(told).to_contain_text("may help: lr 1e+38")


def test_the_curves_of_a_run_are_drawn(store: Program, ui: Ui, page: Page) -> None:
    page.set_viewport_size({"width": 1400, "height": 2400})
    page.goto(_address(ui, _named(store, "Seq2Seq"), "/model-metrics"))
    cards = page.get_by_test_id("experiment-view-compare-runs-card")
    expect(cards.locator(".js-line").nth(1)).to_be_attached()  # accuracy and loss


def test_for_another_server_the_command_prints_the_address_of_the_same_view(
    program: Program, ui: Ui, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", ui.root)
    done = program.call("echo_exp.commands.ui", "tracking=server")
    assert done.stdout == f"Look at the runs: {ui.address}&viewStateShareKey=echo\n"
    page.goto(f"{ui.address}&viewStateShareKey=echo")
    expect(page.get_by_role("button", name="Scores and curves")).to_be_visible()
    expect(page.locator("[col-id='metrics.`test/accuracy`']").first).to_be_visible()


def test_ctrl_c_ends_the_server_silently(store: Program) -> None:
    started = start_ui(store.folder, "run=last", "tracking.experiment=study/ignore_state")
    newest = store.runs()[-1]
    assert f"runs/{newest.info.run_id}?" in started.address
    with socket.create_connection(("127.0.0.1", int(started.root.split(":")[-1].strip("/")))):
        _, err = started.end()
    assert (started.process.returncode, err) == (0, "")


def _says(program: Program, *arguments: str) -> str:
    """Runs `echo-exp-ui` with nothing to show, and returns the reason that it prints."""
    done = program.call("echo_exp.commands.ui", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr


def test_the_command_says_why_there_is_nothing_to_show(
    store: Program, ui: Ui, program: Program
) -> None:
    assert "there is no such store yet" in _says(program)
    assert list(program.folder.iterdir()) == []
    assert "runs are in " in _says(store, "tracking.experiment=mine")
    assert "the id of a run in the store" in _says(store, "run=mine")
    port = ui.root.split(":")[-1].strip("/")
    assert f"port={port} is not allowed" in _says(store, f"port={port}")
    assert "did you mean port?" in _says(store, "prt=1")
