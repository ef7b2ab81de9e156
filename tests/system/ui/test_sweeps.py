"""What a user sees of sweeps and searches in a real browser, failed and pruned jobs included."""

import re

from playwright.sync_api import Page, expect

from echo_exp.tracking.ui.view import page as address

from ..browser import PRINTED, SIZE, Ui
from ..conftest import Program
from .pages import SWEEP, address_of, charts_of, headers, named


def test_a_sweeps_page_shows_what_was_swept_and_the_best_setting(
    store: Program, ui: Ui, page: Page
) -> None:
    page.goto(address_of(ui, named(store, "sweep of 20")))
    page.get_by_text("Show more").click()
    expect(page.get_by_role("row", name="model.units 5, 10, 20, 40").first).to_be_visible()
    expect(page.get_by_text("Best: units 40: ")).to_be_visible()
    expect(page.get_by_text("sweep/best_accuracy")).to_be_visible()
    expect(page.get_by_role("cell", name="5, 10, 20, 40").first).to_be_visible()


def test_a_sweeps_report_is_among_its_artifacts(store: Program, ui: Ui, page: Page) -> None:
    page.goto(address_of(ui, named(store, "sweep of 20"), "/artifacts/report/scores.png"))
    expect(page.get_by_role("img", name="scores.png")).to_be_visible()


def test_a_sweep_opens_with_its_runs_only_the_best_first(
    store: Program, ui: Ui, page: Page
) -> None:
    parent = named(store, "sweep of 20").info
    page.goto(f"{ui.root}{address(parent.experiment_id, shown=parent.run_id)}")
    names = page.locator("[col-id='attributes.`Run Name`'] a")
    expect(names.first).to_contain_text("units 40, seed ")
    expect(page.get_by_text("20 matching runs")).to_be_visible()
    columns = [name for name in headers(page) if name.startswith(("params", "metrics"))]
    assert columns[:3] == ["params.`model.units`", "params.`seed`", "metrics.`test/accuracy`"]


def test_the_charts_of_a_sweep_begin_with_the_score_over_what_was_swept(
    store: Program, ui: Ui, page: Page
) -> None:
    charts = charts_of(page, ui, named(store, "sweep of 20"))
    expect(charts.nth(0)).to_contain_text("Parallel Coordinates")
    expect(charts.nth(1)).to_contain_text("model.units vs. test/accuracy")
    expect(charts.nth(1).locator(".scatterlayer .point")).to_have_count(20)


def test_the_view_of_a_sweep_is_in_the_menu_of_views(store: Program, ui: Ui, page: Page) -> None:
    page.goto(ui.address)
    page.get_by_role("button", name=re.compile("[Vv]iews?")).first.click()
    expect(page.get_by_text(SWEEP).first).to_be_visible()


def test_the_address_that_a_search_prints_opens_its_trials_the_best_first(
    store: Program, ui: Ui, page: Page
) -> None:
    search = named(store, "search: ")
    printed = (store.folder / PRINTED).read_text(encoding="utf-8")
    shown = re.search(rf"http://127.0.0.1:5000/(\S+={search.info.run_id})\n", printed)
    assert shown is not None
    page.set_viewport_size({"width": 2000, "height": 900})
    page.goto(f"{ui.root}{shown[1]}")
    expect(page.get_by_text("4 matching runs")).to_be_visible()
    names = page.locator("[col-id='attributes.`Run Name`'] a")
    expect(names.first).to_contain_text("lr 0.03")
    expect(names.last).to_contain_text("lr 1e-05")
    columns = [name for name in headers(page) if name.startswith(("params", "metrics"))]
    searched = ["params.`model.units`", "params.`optimizer.learning_rate`"]
    assert columns[:4] == [*searched, "metrics.`val/accuracy`", "metrics.`test/accuracy`"]
    page.get_by_role("button", name="search: ").click()
    expect(page.get_by_role("menuitem", name="search: ")).to_be_visible()


def test_the_charts_of_a_search_have_its_objective_over_each_setting_pruned_trials_too(
    store: Program, ui: Ui, page: Page
) -> None:
    charts = charts_of(page, ui, named(store, "search: "))
    for place, setting in enumerate(("model.units", "optimizer.learning_rate"), start=1):
        expect(charts.nth(place)).to_contain_text(f"{setting} vs. val/accuracy")
        expect(charts.nth(place).locator(".scatterlayer .point")).to_have_count(4)


def test_a_searchs_page_begins_with_its_answer_and_has_room_for_what_is_on_the_right(
    store: Program, ui: Ui, page: Page
) -> None:
    page.goto(address_of(ui, named(store, "search: ")))
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
    search = named(store, "search: ")
    page.goto(address_of(ui, search, "/artifacts/search/slices.png"))
    expect(page.get_by_role("img", name="slices.png")).to_be_visible()
    page.get_by_text("report", exact=True).click()
    page.get_by_text("report.html").click()
    report = page.frame_locator("iframe")
    expect(report.get_by_text("Goal: maximize val/accuracy.")).to_be_visible()
    page.get_by_text("trials.json").click()
    for shown in ("18", "0.03", "pruned"):
        expect(page.get_by_role("cell", name=shown, exact=True).first).to_be_visible()


def test_a_pruned_trial_says_so(store: Program, ui: Ui, page: Page) -> None:
    page.goto(address_of(ui, named(store, "units 14, lr 1e-05")))
    expect(page.get_by_text("It was pruned at epoch 10 by its search.")).to_be_visible()


def test_a_failed_job_is_marked_in_the_table_and_says_why(
    store: Program, ui: Ui, page: Page
) -> None:
    parent = named(store, "sweep of 3").info
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
    parent = named(store, "sweep of 3")
    page.goto(address_of(ui, parent))
    page.get_by_text("Show more").click()
    expect(page.get_by_text("2 of 3 jobs succeeded, 1 failed.")).to_be_visible()
    expect(page.get_by_text("job 2: DivergedError: the loss of epoch 1")).to_be_visible()
    page.goto(address_of(ui, parent, "/artifacts/report/report.html"))
    told = page.frame_locator("iframe").get_by_role("listitem").filter(has_text="FAILED")
    expect(told).to_contain_text("the loss of epoch 1 is not finite")
    expect(told).to_contain_text("may help: lr 1e+38")
