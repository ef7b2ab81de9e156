"""The pages of a report: complete, the same each time, and safe to open."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from echo_exp.reports import answers, rendering, study_page

from .made import record, study

HOSTILE = "<script>alert(1)</script> | [x](javascript:y)"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    asked = study(
        {"labels": {"task": HOSTILE}, "model.units": [1, 2, 3]},
        panel="task",
        expectation="Two.",
        law=["model.units"],
    )
    scores: list[list[float]] = [[0.5, 0.6, np.nan], [0.8, 0.9, 1.0], []]
    solved: list[list[float]] = [[], [50, 100, np.nan], []]
    records = [
        record(cell, s, solved=t) for cell, s, t in zip(asked.cells, scores, solved, strict=True)
    ]
    found = answers.answer(asked, records)
    folders = [tmp_path_factory.mktemp("report") for _ in range(2)]
    for folder in folders:
        study_page.write(found, folder)
    first, second = ({p.name: p.read_bytes() for p in sorted(f.iterdir())} for f in folders)
    assert first == second  # not a byte differs
    return first


def test_the_report_counts_what_is_missing_and_what_diverged(written: dict[str, bytes]) -> None:
    text = written["report.md"].decode()
    assert "2 of 3 cells finished, 6 seeds" in text
    assert "Missing cells: 1; diverged seeds: 1." in text
    assert "**missing** (never run)" in text
    assert "units 3" in text


def test_the_tables_contain_every_seed_and_cell(written: dict[str, bytes], tmp_path: Path) -> None:
    tables = {}
    for name in ("seeds", "cells", "comparisons"):
        (tmp_path / name).write_bytes(written[f"{name}.csv"])
        tables[name] = pd.read_csv(tmp_path / name)
    assert len(tables["seeds"]) == 6
    assert tables["cells"]["status"].tolist() == ["FINISHED", "FINISHED", "never run"]
    assert tables["cells"]["solved"].tolist()[:2] == [0, pytest.approx(2 / 3)]
    assert tables["comparisons"]["measure"].tolist() == ["test/accuracy", "epochs_to_solve"]


def test_a_median_that_was_not_reached_is_above_the_epochs(written: dict[str, bytes]) -> None:
    text = written["report.md"].decode()
    assert "| > 100 |" in text
    assert re.search(r"\| 100 \(50 to ∞\) \|", text)


def test_a_name_is_escaped(written: dict[str, bytes]) -> None:
    page = written["report.html"].decode()
    assert "<script" not in page
    assert "<a " not in page


def test_the_page_is_self_contained(written: dict[str, bytes]) -> None:
    page = written["report.html"].decode()
    assert page.count('src="data:image/png;base64,') == 3
    assert re.search(r'(?:src|href)="(?!data:)', page) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.500"),
        (0.0, "0.000"),
        (-0.0, "0.000"),
        (1.0, "1.000"),
        (0.9996, "0.9996"),
        (0.00042, "0.0004"),
        (-0.25, "−0.250"),
        (12.34, "12.3"),
        (12345.6, "12,346"),
        (float("nan"), "–"),
    ],
)
def test_a_number_is_not_rounded_to_a_wrong_value(value: float, text: str) -> None:
    assert rendering.number(value) == text


def test_any_number_of_values_can_be_drawn_and_distinguished(tmp_path: Path) -> None:
    asked = study({"model.units": list(range(1, 9)), "batch_size": [1, 3]}, x="batch_size")
    found = answers.answer(asked, [record(cell, [0.5, 0.6, 0.7]) for cell in asked.cells])
    study_page.write(found, tmp_path)
    drawn = (tmp_path / "scores.svg").read_text(encoding="utf-8")
    assert all(f"units {n}" in drawn for n in range(1, 9))


def test_the_commands_repeat_each_cell(written: dict[str, bytes]) -> None:
    lines = written["report.md"].decode().splitlines()
    commands = [line.strip() for line in lines if line.startswith("    echo-exp ")]
    whole, *cells = commands
    assert whole == "echo-exp study=made study.scale=full"
    assert cells == [f"echo-exp model.units={units}" for units in (1, 2, 3)]
