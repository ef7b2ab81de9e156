"""A study is one YAML file: its grids become cells, and its mistakes are named."""

from collections.abc import Iterator
from typing import Any

import pytest
from hydra import compose
from hydra.initialize import initialize_config_dir
from omegaconf import OmegaConf

from echo_exp import configuration
from echo_exp.settings import SettingError
from echo_exp.sweeps import study
from echo_exp.sweeps.plan import make_jobs
from echo_exp.sweeps.study import Cell, Study

from ..quick import begins

NAMES = sorted(
    path.stem
    for path in (configuration.FOLDER / "study").glob("*.yaml")
    if not path.stem.startswith("_")
)
ZERO: dict[str, Any] = {"scales": {"full": [{"model.units": [0, 1]}]}}
WHOLE: dict[str, Any] = {"name": "mine", "question": "?", "compare": "model.units"}


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        yield


def _study(*grids: dict[str, Any], **more: Any) -> Study:
    return Study(**WHOLE, scales={"full": list(grids)}, **more)


def _read(**changes: Any) -> Study:
    node = {**WHOLE, "scales": {"full": [{"model.units": [1, 2]}]}, **changes}
    return study.read(OmegaConf.create({"study": node}))


def test_the_studies_are_the_tutorials_five_questions_and_those_beyond() -> None:
    assert NAMES == [
        "architectures",
        "ignore_state",
        "length_generalisation",
        "linear_representation",
        "longer_echoes",
        "memory_span",
        "missing_values",
        "recall",
        "topologies",
    ]


def test_settings_and_labels_of_a_grid_may_vary_together() -> None:
    grid = {"labels.span, problem.n_in": [[1, 5], [2, 10]], "model.units": [3, 4]}
    cells = Study("mine", "?", "model.units", {"full": [grid]}, x="span").cells
    assert [cell.settings for cell in cells] == [
        {"problem.n_in": 5, "model.units": 3},
        {"problem.n_in": 5, "model.units": 4},
        {"problem.n_in": 10, "model.units": 3},
        {"problem.n_in": 10, "model.units": 4},
    ]
    assert [cell.labels for cell in cells] == [{"span": 1}, {"span": 1}, {"span": 2}, {"span": 2}]


@pytest.mark.parametrize("values", [[[1]], [[1, 2, 3]], [1, 2], 5])
def test_settings_that_vary_together_need_a_value_each(values: Any) -> None:
    grid = {"model.units": [3, 4], "seed, epochs": values}
    with pytest.raises(SettingError, match="a list of 2"):
        Study("mine", "?", "model.units", {"full": [grid]})


@pytest.mark.parametrize("span", ["model", "problem.n_in"])
def test_a_span_is_a_number_that_every_cell_has(span: str) -> None:
    grid = {"model.units": [3, 4], "model": "seq2seq"}
    with pytest.raises(SettingError, match=r"study\.span"):
        Study("mine", "?", "model.units", {"full": [grid]}, span=span)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", ["quick", "full"])
def test_every_cell_of_every_study_can_be_run(name: str, scale: str) -> None:
    if scale == "full":
        begins("hundreds of configurations")
    asked = study.read(compose("config", [f"study={name}", f"study.scale={scale}"]))
    assert asked.name == name
    assert len(list(study.composed(asked.cells))) == len(asked.cells)


def test_a_grid_is_the_product_of_its_values() -> None:
    cells = _study({"model.units": [1, 2], "seed": [3, 4], "epochs": 5}, x="seed").cells
    assert [cell.overrides for cell in cells] == [
        ["model.units=1", "seed=3", "epochs=5"],
        ["model.units=1", "seed=4", "epochs=5"],
        ["model.units=2", "seed=3", "epochs=5"],
        ["model.units=2", "seed=4", "epochs=5"],
    ]


def test_the_first_value_is_compared_with_each_other_one_of_its_panel_and_x() -> None:
    grid = {"model.units": [1, 2, 3], "seed": [3, 4], "epochs": [5, 6]}
    asked = _study(grid, x="seed", select=["epochs"])
    compared = [
        [(asked.cells[n].settings["model.units"], asked.cells[n].settings["seed"]) for n in pair]
        for pair in asked.comparisons
    ]
    assert compared == [
        [(1, 3), (2, 3)],
        [(1, 4), (2, 4)],
        [(1, 3), (3, 3)],
        [(1, 4), (3, 4)],
    ]


def test_labels_are_attributes_but_not_settings() -> None:
    (cell,) = _study({"labels": {"task": "a"}, "model.units": 1}, panel="task").cells
    assert cell.attributes == {"task": "a", "model.units": 1}
    assert cell.overrides == ["model.units=1"]


def test_the_scale_chooses_the_grids() -> None:
    scales: dict[str, Any] = {"full": [{"model.units": [1, 2]}], "quick": [{"model.units": 1}]}
    assert len(Study(**WHOLE, scales=scales, scale="quick").cells) == 1
    assert len(Study(**WHOLE, scales=scales).cells) == 2


def test_an_argument_takes_precedence_over_a_cells_own_setting() -> None:
    (cell,) = _study({"epochs": 500, "model.units": 1}, arguments=["epochs=3", "seed=7"]).cells
    assert cell.overrides == ["model.units=1", "epochs=3", "seed=7"]
    assert cell.attributes == {"epochs": 3, "model.units": 1}  # what a report says of it


def test_the_command_of_a_study_names_the_users_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = _study({"model.units": 5})
    assert asked.command.startswith("study=")
    monkeypatch.setattr(configuration, "flags", lambda: ["--config-dir=/here"])
    assert asked.command.startswith("--config-dir=/here study=")


def test_the_choice_of_the_study_is_not_passed_to_its_cells() -> None:
    node = {**WHOLE, "scales": {"full": [{"model.units": 1}]}}
    given = ["study=mine", "+study.law=[x]", "study.scale=full", "seed=7", "tracking.uri=a"]
    asked = study.read(OmegaConf.create({"study": node}), given)
    assert asked.cells[0].overrides == ["model.units=1", "seed=7", "tracking.uri=a"]
    assert asked.command == "study=mine study.scale=full seed=7"


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("seed=1,2", r"seed=1,2 is not allowed: .* single value"),
        ("model.units=7", r"model.units=7 is not allowed: .* distinguishes its cells by it"),
        (
            "optimizer.learning_rate=1",
            r"optimizer.learning_rate=1 .* distinguishes its cells by it",
        ),
    ],
)
def test_an_argument_that_would_mix_up_cells_is_refused(argument: str, said: str) -> None:
    grid = {"model.units": [1, 2], "optimizer.learning_rate": [1, 2]}
    with pytest.raises(SettingError, match=said):
        _study(grid, select=["optimizer.learning_rate"], arguments=[argument])


@pytest.mark.parametrize(
    "value", [5, "5", "null", None, True, 1e-3, "a b", "a,b", "it's", [1, None]]
)
def test_a_value_reaches_its_job_unchanged(value: Any) -> None:
    (cell,) = Study(**{**WHOLE, "compare": "seed"}, scales={"full": [{"seed": [value]}]}).cells
    assert compose("config", cell.overrides).seed == value


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"qestion": "?"}, "study.qestion=. is not allowed.*did you mean study.question"),
        ({"question": None}, "study.question=null is not allowed: a study needs it"),
        ({"name": "../x"}, "study.name=../x is not allowed"),
        ({"scale": "half"}, "study.scale=half is not allowed: it must be full"),
        ({"scales": {}}, "study.scales={} is not allowed"),
        ({"scales": {"full": []}}, "study.scales.full=.* is not allowed: .* at least one cell"),
        ({"scales": {"full": [{"model.units": []}]}}, "model.units: .* at least one value"),
        ({"scales": {"full": ["model.units=3"]}}, "a grid must be a mapping"),
        ({"compare": "model.layers"}, "study.compare=model.layers .* every cell must have it"),
        ({"x": "batch_size"}, "study.x=batch_size .* every cell must have it"),
        ({"select": ["seed"]}, "study.select=seed .* every cell must have it"),
        ({"law": ["epochs"]}, "study.law=epochs .* every cell must have it"),
        ({"law": ["model.units"], **ZERO}, "study.law=model.units .* numbers above 0; one is 0"),
        ({"select": "seed"}, "study.select=seed .* a list of names"),
        ({"also": [1]}, "study.also=.* a list of names"),
        ({"arguments": ["seed=1"]}, "study.arguments=.* no such setting"),
        ({"scales": {"full": [{"labels": ["a"], "seed": 1}]}}, "labels must be a mapping"),
        ({"scales": {"full": [{"labels": {"a": [1]}, "seed": 1}]}}, "labels must be a mapping"),
        (
            {"scales": {"full": [{"model.units": 1, "seed": [1, 2]}]}},
            "two cells have model.units 1",
        ),
        (
            {"scales": {"full": {"model.units": [1, 2]}}},
            "study.scales.full=.* it must be a list of grids",
        ),
    ],
)
def test_a_wrong_study_file_is_explained(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        _read(**changes)


def test_a_wrong_setting_in_a_cell_is_explained() -> None:
    with pytest.raises(SettingError, match=r"epochs=0 is not allowed"):
        list(study.composed([Cell({"epochs": 0}, {})]))


def test_a_study_without_a_validation_is_refused() -> None:
    cell = Cell({"epochs": 75, "trainer.validate_every": 100}, {})
    with pytest.raises(SettingError, match=r"validate_every=100 .* there is none in 75 epochs"):
        list(study.composed([cell]))
    (job,) = make_jobs([cell.overrides], study.check)
    assert "there is none in 75 epochs" in job.problem
    assert list(study.composed([Cell({"epochs": 76, "trainer.validate_every": 100}, {})]))


def test_labels_may_be_left_out_or_empty() -> None:
    assert _study({"labels": None, "model.units": 1}).cells == _study({"model.units": 1}).cells
