"""The file of a study's runs restores the same records and the same report."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from echo_exp.reports import answers, parquet, study_page
from echo_exp.reports.records import Record
from echo_exp.settings import SettingError
from echo_exp.sweeps.study import Study

from .made import record, study


@pytest.fixture
def asked() -> Study:
    grids = [{"labels": {"task": task}, "model.units": [1, 2, 3, 4]} for task in ("a", "b")]
    return study(*grids, panel="task")


@pytest.fixture
def records(asked: Study) -> list[Record]:
    found = [record(cell, [0.1, 0.2, np.nan], solved=[5, np.nan, 7]) for cell in asked.cells]
    found[1] = record(asked.cells[1])
    found[2] = dataclasses.replace(found[1], cell=asked.cells[2], status="FAILED", error="no")
    more = {**found[3].scores, "test/mae": np.array([0.1, np.nan, 1 / 3])}
    found[3] = dataclasses.replace(found[3], scores=more, seeds=[2**62, 2**62 + 1, 0])
    diverged = {**found[4].scores, "test/loss": np.full(3, np.nan)}
    found[4] = dataclasses.replace(found[4], scores=diverged)
    return found


@pytest.fixture
def file(asked: Study, records: list[Record], tmp_path: Path) -> Path:
    parquet.write(asked, records, tmp_path / parquet.NAME)
    return tmp_path / parquet.NAME


def _same(first: Record, second: Record) -> None:
    for field in dataclasses.fields(Record):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if field.name == "seeds":
            a, b = list(a), list(b)
        np.testing.assert_equal(a, b, err_msg=field.name)


def test_records_survive_the_file_unchanged(
    asked: Study, records: list[Record], file: Path
) -> None:
    assert parquet.scale(asked, file) == "full"
    for before, after in zip(records, parquet.read(asked, file), strict=True):
        _same(before, after)


def test_the_same_records_give_the_same_bytes(
    asked: Study, records: list[Record], file: Path
) -> None:
    again = file.with_name("again")
    parquet.write(asked, parquet.read(asked, file), again)
    assert again.read_bytes() == file.read_bytes()


def test_the_report_from_the_file_is_the_same(
    asked: Study, records: list[Record], file: Path
) -> None:
    folders = [file.parent / name for name in ("store", "file")]
    for folder, found in zip(folders, (records, parquet.read(asked, file)), strict=True):
        study_page.write(answers.answer(asked, found), folder)
    first, second = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in folders)
    assert first == second


def test_only_the_curve_that_reports_need_is_stored(
    asked: Study, records: list[Record], tmp_path: Path
) -> None:
    curves = {**records[0].curves, "val/loss": records[0].curves["val/accuracy"]}
    more = [dataclasses.replace(records[0], curves=curves), *records[1:]]
    parquet.write(asked, more, tmp_path / "more")
    assert list(parquet.read(asked, tmp_path / "more")[0].curves) == ["val/accuracy"]


def test_a_cell_absent_from_the_file_counts_as_never_run(asked: Study, file: Path) -> None:
    grids = [*asked.scales["full"], {"labels": {"task": "c"}, "model.units": 1}]
    *_, last = parquet.read(dataclasses.replace(asked, scales={"full": grids}), file)
    assert (last.status, last.runs) == ("never run", [])


def test_a_file_of_another_study_is_refused(asked: Study, file: Path) -> None:
    with pytest.raises(SettingError, match=r"from=.*study=made, not of other"):
        parquet.scale(dataclasses.replace(asked, name="other"), file)


def test_a_file_without_a_finished_run_is_refused(asked: Study, file: Path) -> None:
    other = study({"labels": {"task": "c"}, "model.units": [7, 8]}, panel="task")
    with pytest.raises(SettingError, match="no finished run of `echo-exp study=made"):
        parquet.read(other, file)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "there is no such file"), (b"no Parquet", "cannot be read as a Parquet file")],
)
def test_a_missing_or_unreadable_file_is_refused(
    asked: Study, tmp_path: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    with pytest.raises(SettingError, match=words):
        parquet.scale(asked, tmp_path / "file")


def test_another_parquet_file_is_refused(asked: Study, tmp_path: Path) -> None:
    table = pa.table({"a": [1]})
    pq.write_table(table, tmp_path / "foreign")
    with pytest.raises(SettingError, match=r"must be the runs\.parquet of a report"):
        parquet.scale(asked, tmp_path / "foreign")
    with pytest.raises(SettingError, match="as it was written"):
        parquet.read(asked, tmp_path / "foreign")
