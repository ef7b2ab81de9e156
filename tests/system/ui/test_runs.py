"""`echo-exp-ui` in a real browser: what a user sees of runs and experiments."""

import socket

import pytest
from playwright.sync_api import Page, expect

from ..browser import Ui, start_ui
from ..conftest import Program
from .pages import SWEEP, address_of, cards, follow, headers, named

METRICS = ["test/accuracy", "test/sequence_accuracy", "val/accuracy", "epochs_to_solve"]
PARAMETERS = ["problem", "model", "representation", "model.units", "epochs", "seed", "replicas"]
CURVES = 2
"""So often MLflow draws a curve: smoothed, and pale as it is."""


def test_the_table_of_runs_has_the_useful_columns_in_their_order(ui: Ui, page: Page) -> None:
    page.set_viewport_size({"width": 2400, "height": 900})
    page.goto(ui.address)
    expect(page.get_by_text("22 matching runs")).to_be_visible()
    names = [f"metrics.`{name}`" for name in METRICS] + [f"params.`{name}`" for name in PARAMETERS]
    always = ["attributes.`Run Name`", "runDateAndNestInfo", "duration"]
    expect(page.locator(".ag-header-cell[col-id='params.`replicas`']")).to_be_visible()
    assert headers(page)[-len(names) - 3 :] == always + names


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
    follow(study.get_by_role("link", name="study/ignore_state"))
    expect(page.get_by_text("5 matching runs")).to_be_visible()
    expect(page.locator("[col-id='params.`model.stateful`']").first).to_be_visible()
    expect(page.get_by_text("Detect Issues")).to_have_count(0)


def test_the_charts_show_final_scores_as_bars_and_measurements_of_epochs_as_curves(
    ui: Ui, page: Page
) -> None:
    page.set_viewport_size({"width": 1400, "height": 2400})  # what is out of sight is not drawn
    page.goto(f"{ui.address}&compareRunsMode=CHART")
    bars = cards(page).filter(has_text="test/accuracy").first.locator(".bars .point path")
    expect(bars).to_have_count(19)  # of the first 20 rows, the parent has none
    curves = cards(page).filter(has_text="train/loss").first
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
    follow(page.get_by_role("link", name="train/loss"))
    expect(page.locator(".js-line")).to_have_count(CURVES * 3)


def test_the_samples_of_a_run_are_a_table(store: Program, ui: Ui, page: Page) -> None:
    page.goto(address_of(ui, named(store, "Seq2Seq"), "/artifacts/samples.json"))
    for title in ("window", "expected", "predicted", "correct"):
        expect(page.get_by_role("columnheader", name=title)).to_be_visible()
    expect(page.get_by_role("cell", name="true").first).to_be_visible()


def test_the_learning_curve_of_a_run_is_shown_inline(store: Program, ui: Ui, page: Page) -> None:
    page.goto(address_of(ui, named(store, "Seq2Seq"), "/artifacts/learning_curve.png"))
    figure = page.get_by_role("img", name="learning_curve.png")
    expect(figure).to_be_visible()
    page.wait_for_function("e => e.complete", arg=figure.element_handle())
    assert figure.evaluate("e => e.naturalWidth") > 500


def test_a_runs_page_shows_its_settings_its_result_and_how_to_use_it(
    store: Program, ui: Ui, page: Page
) -> None:
    run = named(store, "Seq2Seq")
    page.goto(address_of(ui, run))
    page.get_by_text("Show more").click()
    expect(page.get_by_text("learns to echo 5 of 5 integers")).to_be_visible()
    expect(page.get_by_role("cell", name="sequence accuracy")).to_be_visible()
    commands = page.locator("pre", has_text="echo-exp-predict")
    expect(commands).to_contain_text(f"echo-exp-predict run={run.info.run_id}")
    expect(commands).to_contain_text("echo-exp experiment=seq2seq_baseline")


def test_the_curves_of_a_run_are_drawn(store: Program, ui: Ui, page: Page) -> None:
    page.set_viewport_size({"width": 1400, "height": 2400})
    page.goto(address_of(ui, named(store, "Seq2Seq"), "/model-metrics"))
    expect(cards(page).locator(".js-line").nth(1)).to_be_attached()  # accuracy and loss


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
