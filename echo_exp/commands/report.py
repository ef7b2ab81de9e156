"""The command `echo-exp-report`: reads the runs of a study or a sweep and writes a report.

Its imports are light, so that a wrong setting is reported at once.
"""

import dataclasses
import hashlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from echo_exp import configuration
from echo_exp.commands import hydra_main as command
from echo_exp.reports import FROM
from echo_exp.settings import SettingError, writable
from echo_exp.sweeps import plan, study
from echo_exp.sweeps.study import Study, Wanted
from echo_exp.tracking import TrackingError, TrackingSettings
from echo_exp.tracking.settings import existing

if TYPE_CHECKING:
    from mlflow.entities import Run

    from echo_exp.reports.answers import Answers
    from echo_exp.tracking.access.connection import Access

SWEEP, RUNS = "sweep", "runs"
ASKED = (configuration.STUDY, SWEEP, RUNS)
"""The settings that say what to report on."""


def main() -> None:
    """Runs `echo-exp-report`: exits with 0, or 2 if a setting is wrong."""
    command.run(_report, "report")


def _report(config: DictConfig) -> None:
    asked = [key for key in ASKED if config.get(key) is not None]
    if not asked:
        raise SettingError("study", None, f"name one of {', '.join(f'{key}=' for key in ASKED)}")
    if len(asked) > 1:
        raise SettingError(asked[1], config[asked[1]], f"a report with {asked[0]}= cannot have it")
    if config.get(FROM) is not None and asked != [configuration.STUDY]:
        raise SettingError(FROM, config[FROM], "only the report of a study can be made from a file")
    if asked == [configuration.STUDY]:
        _study(config)
    elif asked == [SWEEP]:
        _sweep(config)
    else:
        _runs(config)


def _study(config: DictConfig) -> None:
    given = configuration.overrides(HydraConfig.get())
    if any(override.startswith("metric=") for override in given):
        raise SettingError("metric", config.metric, "a study defines its own metric")
    of_study = [o for o in given if not re.match(rf"[+~]*{FROM}=", o)]
    asked = study.read(config, of_study)
    named = any(re.match(rf"[+~]*{configuration.STUDY}\.scale=", override) for override in given)
    if config.get(FROM) is not None:
        _write(config, _kept(asked, Path(str(config[FROM])), named))
        return
    scales = [asked.scale] if named else asked.by_size
    found, access, cells = _answers(config, asked, scales)
    folder = _write(config, found)
    for parent in _parents(access, configuration.tracking(config), cells):
        _log(access, parent, folder)


def _write(config: DictConfig, found: "Answers") -> Path:
    """Writes the report of a study and returns its folder."""
    from echo_exp.reports import parquet, study_page

    study = found.study
    folder = Path(config.output_dir) / "reports" / study.name / study.scale
    with writable("output_dir", folder):
        text = study_page.write(found, folder)
        parquet.write(study, found.records, folder / parquet.NAME)
    print(text)
    _written(folder)
    return folder


def _kept(asked: Study, file: Path, named: bool) -> "Answers":
    """Returns the answers of the runs in a file.

    Args:
        asked: The study.
        file: The file.
        named: Whether the user named the study's scale; otherwise the file's scale is used.

    Raises:
        SettingError: The user named another scale than that of the file.
    """
    from echo_exp.reports import answers, parquet

    scale = parquet.scale(asked, file)
    if named and scale != asked.scale:
        raise SettingError("study.scale", asked.scale, f"{file} has the runs of scale {scale}")
    found = dataclasses.replace(asked, scale=scale)
    return answers.answer(found, parquet.read(found, file))


def _sweep(config: DictConfig) -> None:
    settings = configuration.tracking(config)
    existing(settings, "echo-exp -m ...")  # before the imports that follow, which take seconds

    from echo_exp.reports import sweep_page
    from echo_exp.tracking.access import reader

    access = reader.opened(settings)
    parent = reader.sweep(access, settings.experiment, str(config.sweep))
    folder = plan.report_folder(config, parent.info.run_id)
    metric = None if config.metric is None else str(config.metric)
    with reader.reached(access.uri):
        found, curves = sweep_page.gather(access, parent, metric)
    with writable("output_dir", folder):
        summary, lines = sweep_page.write(found, curves, folder, metric)
    print("\n".join([summary, "", *lines]))
    _written(folder)
    _log(access, parent, folder)


def _runs(config: DictConfig) -> None:
    settings = configuration.tracking(config)
    existing(settings)

    from echo_exp.reports import comparison
    from echo_exp.reports.jobs import METRIC
    from echo_exp.tracking.access import reader

    access = reader.opened(settings)
    which = OmegaConf.to_container(config).get(RUNS)  # type: ignore[union-attr]
    with reader.reached(access.uri):
        runs = comparison.find(access, settings.experiment, which)
        found = comparison.compare(access, runs, str(config.metric or METRIC))
        curves = comparison.curves_of(access, found)
    name = hashlib.sha256(" ".join(run.info.run_id for run in runs).encode()).hexdigest()[:16]
    folder = Path(config.output_dir) / "reports" / "runs" / name
    with writable("output_dir", folder):
        lines = comparison.write(found, curves, folder)
    print("\n".join(lines))
    _written(folder)


def _written(folder: Path) -> None:
    print(f"\nWritten to {folder}: report.md, report.html, figures, tables.")


def _answers(
    config: DictConfig, asked: Study, scales: Sequence[str]
) -> tuple["Answers", "Access", list[Wanted]]:
    """Returns the answers of the first scale that has a finished run, the store, and the cells.

    Raises:
        SettingError: No scale has a finished run, or a setting is wrong.
    """
    first = study.wanted(asked.cells)  # raises for a wrong setting before MLflow is imported
    made_by = f"echo-exp {asked.command}"
    settings = configuration.tracking(config)
    existing(settings, made_by)  # before the imports that follow, which take seconds

    from echo_exp.reports import answers, records
    from echo_exp.tracking.access import reader

    access = reader.opened(settings, made_by)
    failed: list[records.Record] = []
    for scale in scales:
        found = dataclasses.replace(asked, scale=scale)
        cells = first if scale == asked.scale else study.wanted(found.cells)
        with reader.reached(access.uri):
            read = records.read(access, settings.experiment, cells)
        if any(record.finished for record in read):
            if scale != asked.scale:
                none = f"No run of study.scale={asked.scale} has finished"
                print(f"{none}; this report is of scale {scale}.\n")
            return answers.answer(found, read), access, cells
        failed += [record for record in read if record.error]

    from echo_exp.reports import study_page

    why = " | ".join(study_page.explained(failed))
    reason = f"no cell of it has finished in {access.uri}; `{made_by}` runs them"
    raise SettingError("study", asked.name, f"{reason}. Unfinished: {why}" if why else reason)


def _parents(access: "Access", settings: TrackingSettings, cells: Sequence[Wanted]) -> "list[Run]":
    """Returns the newest parent run of a study with these cells, if there is one."""
    from echo_exp.tracking.access import reader

    mark = study.cells_mark(wanted.fingerprint for wanted in cells)
    return reader.newest(access, settings, {study.CELLS: mark}, 1)


def _log(access: "Access", parent: "Run", folder: Path) -> None:
    """Stores a report as artifacts of a parent run."""
    from echo_exp.tracking.access import reader

    try:
        reader.replace(access, parent, folder, "report")
    except TrackingError as error:  # such as a read-only store
        print(f"echo-exp: not added to the run: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
