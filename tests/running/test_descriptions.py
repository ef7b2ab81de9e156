"""What MLflow's UI says about runs, sweeps and experiments."""

import json
import shlex

import pytest
from hydra import compose, initialize_config_dir

from echo_exp import configuration
from echo_exp.running import descriptions as running_descriptions
from echo_exp.running import entry
from echo_exp.sweeps import descriptions
from echo_exp.tracking import StoredRun
from echo_exp.tracking.ui import markdown
from echo_exp.tracking.ui.view import (
    MOST_VIEWS,
    VIEW_TAG,
    outdated,
    page,
    state,
    sweep_view,
    view,
)

STORED = StoredRun(
    run_id="abc",
    experiment_id="1",
    name="",
    status="RUNNING",
    tags={"mlflow.source.name": "echo-exp seed=7"},
    artifacts=None,
    config=None,
    metrics={},
    latest=0,
)


def _sentence(*overrides: str) -> str:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        config = compose("config", list(overrides))
    return running_descriptions.sentence(config, configuration.problem(config))


def test_a_run_that_ended_early_begins_with_its_reason_as_plain_text() -> None:
    text = running_descriptions.run("about", STORED, [], end=f"It failed: a <b>\n{'x ' * 900}")
    assert text.startswith("**It failed: a &lt;b&gt; x x")
    assert "no scores" not in text
    assert "echo-exp resume=abc" in text
    assert len(text) < 1000


def test_a_run_that_has_not_ended_has_no_scores_and_can_be_resumed() -> None:
    text = running_descriptions.run("What it is.", STORED, ["output_dir=there"])
    assert text.startswith("What it is.\n")
    assert "no scores" in text
    assert "echo-exp resume=abc output_dir=there" in text


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        ("echo_partial", "echo"),
        ("delayed_echo", "delayed echo"),
        ("selective_echo", "selective echo"),
        ("associative_recall", "associative recall"),
    ],
)
def test_a_run_is_described_by_its_kind_of_problem(problem: str, kind: str) -> None:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        config = compose("config", [f"problem={problem}", "model=seq2seq_last"])
    assert configuration.problem_kind(config) == kind
    assert entry.run_name(config).startswith(f"Seq2Seq, {kind} ")
    assert f"({kind}, OneHot)" in _sentence(f"problem={problem}", "model=seq2seq_last")


def test_a_sentence_says_what_a_run_is() -> None:
    assert _sentence("seed=7", "replicas=3") == (
        "Seq2Seq of 20 units learns to echo 5 of 5 integers below 100 (echo, OneHot): "
        "500 epochs from seed 7, 3 networks at once."
    )


@pytest.mark.parametrize(
    ("lengths", "words"),
    [("[]", "epochs from"), ("[4]", "at length 4 from"), ("[2,4]", "at the lengths 2, 4 in turn")],
)
def test_a_run_names_the_lengths_of_its_training(lengths: str, words: str) -> None:
    assert words in _sentence("experiment=delayed_echo", f"problem.train_lengths={lengths}")


def test_a_sweep_is_described_by_the_settings_that_differ() -> None:
    jobs = [[f"seed={seed}", "epochs=5"] for seed in range(20)]
    text = descriptions.varied(jobs)
    assert text.startswith("20 runs.")
    assert "| `seed` | 0, 1, 2, 3, 4, 5, 6, 7, … |" in text
    assert "epochs" not in text


def test_a_password_is_not_described() -> None:
    text = descriptions.sweep("runs", ["-m", "tracking.uri=postgresql://me:secret@host/db"])
    assert "secret" not in text
    assert "me:***@host" in text


def test_the_best_of_a_sweep_are_a_table() -> None:
    text = descriptions.sweep("runs", ["-m"], [("settings", "accuracy"), ("seed=1", "0.5")])
    assert "| settings | accuracy |\n| --- | --- |\n| seed=1 | 0.5 |" in text
    assert "The best settings" not in descriptions.sweep("runs", ["-m"])


def test_failures_are_an_escaped_list_that_fits_into_a_tag_of_mlflow() -> None:
    failed = [f"job {n}: <b>|{'x ' * 900}" for n in range(descriptions.MOST_REASONS + 3)]
    text = descriptions.sweep("runs", ["-m"], summary="0 of 13 jobs succeeded", failed=failed)
    assert "0 of 13 jobs succeeded.\n\n- job 0: &lt;b&gt;\\|x x" in text
    assert "- and 3 more reasons\n\n" in text
    assert "jobs succeeded" not in descriptions.sweep("runs", ["-m"])
    assert len(text) < 8000


def test_the_columns_of_a_view_follow_mlflows_own_in_order() -> None:
    tag = view(["test/mae"], ["model.layers"])
    found = json.loads(str(state(tag)))
    assert found["columnOrder"][3:] == ["metrics.`test/mae`", "params.`model.layers`"]
    assert found["selectedColumns"] == found["columnOrder"][3:]
    assert state({}) is None
    assert len(tag[VIEW_TAG]) < 20_000  # MLflow's limit for a tag of an experiment


def test_the_view_of_a_sweep_shows_its_runs_with_the_swept_settings_first() -> None:
    axes = ("model", "model.units", "seed")
    tag = sweep_view("abc", "sweep of 4", axes, ("model.units",))
    shown = json.loads(json.loads(tag["mlflow.sharedViewState.abc"])["state"])
    assert shown["selectedColumns"][:4] == [
        *("params.`model`", "params.`model.units`", "params.`seed`", "metrics.`test/accuracy`")
    ]
    assert shown["searchFilter"] == "tags.`sweep.abc` = '1'"
    cards = [c for c in shown["compareRunCharts"] if c["metricSectionId"] == "over what was swept"]
    assert [card["type"] for card in cards] == ["PARALLEL", "SCATTER"]
    assert cards[0]["selectedParams"] == [*axes]
    assert cards[1]["xaxis"]["key"] == "model.units"


def test_the_view_of_a_search_begins_with_its_objective_and_ranks_by_it() -> None:
    tag = sweep_view("abc", "search", ["model.units"], ["model.units"], ["parameters"], lowest=True)
    shown = json.loads(json.loads(tag["mlflow.sharedViewState.abc"])["state"])
    assert shown["selectedColumns"][1:3] == ["metrics.`parameters`", "metrics.`test/accuracy`"]
    assert (shown["orderByKey"], shown["orderByAsc"]) == ("metrics.`parameters`", True)
    assert shown["compareRunCharts"][0]["yaxis"]["key"] == "parameters"


def test_commands_that_are_too_long_are_broken_as_a_shell_reads_them() -> None:
    words = ["echo-exp", "-m", *(f"model.units=choice({n}, {n + 1})" for n in range(9))]
    (_, what, *lines, _) = markdown.commands({shlex.join(words): "a search"}).split("\n")
    assert what == "# a search"
    assert max(map(len, lines)) <= markdown.WIDTH
    assert shlex.split("\n".join(lines).replace("\\\n", "")) == words


def test_short_commands_have_what_they_do_beside_them() -> None:
    assert "echo-exp     # runs\necho-exp -m  # sweeps" in markdown.commands(
        {"echo-exp": "runs", "echo-exp -m": "sweeps"}
    )


def test_a_command_that_somebody_has_edited_stays_as_it_is() -> None:
    edited = f"echo-exp 'seed=1 {'x' * 90}"
    assert edited in markdown.commands({edited: "repeats it"})


def test_the_view_of_a_sweep_of_many_settings_fits_into_a_tag() -> None:
    axes = [f"model.a_setting_with_a_long_name_{number}" for number in range(100)]
    (tag,) = sweep_view("a" * 32, "sweep " * 100, axes, axes).values()
    assert len(tag) < 20_000


def test_only_the_oldest_views_of_sweeps_are_outdated() -> None:
    views = {**view(), "mlflow.sharedViewState.theirs": '{"createdAt": 1, "state": "{}"}'}
    for number in range(MOST_VIEWS + 2):
        ((key, text),) = sweep_view(f"{number}", "sweep", ("seed",), ()).items()
        views[key] = json.dumps({**json.loads(text), "createdAt": 100 - number})
    last = MOST_VIEWS + 1
    expected = [f"mlflow.sharedViewState.{number}" for number in (last, last - 1)]
    assert outdated(views) == expected
    assert outdated({"mlflow.sharedViewState.broken": "{"}) == []


def test_pages_open_in_the_view_for_training() -> None:
    assert page("1", "abc") == "#/experiments/1/runs/abc?workflowType=machine_learning"
    assert page("1") == "#/experiments/1/runs?workflowType=machine_learning"
    assert page("1", shown="echo").endswith("&viewStateShareKey=echo")
