"""Writes the report of a sweep: Markdown, a self-contained HTML file, figures and tables."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from mlflow.entities import Run

from echo_exp.metrics import definition
from echo_exp.reports import rendering, sweep_figures
from echo_exp.reports.effects import Effects, effects
from echo_exp.reports.jobs import CURVE, Job, Jobs, curves, read
from echo_exp.reports.records import Curve
from echo_exp.reports.rendering import ENVIRONMENT, number, p_value, safe
from echo_exp.settings import SettingError
from echo_exp.sweeps import failures
from echo_exp.sweeps.ranking import Ranked, answer, shown
from echo_exp.tracking.access.connection import Access

MOST_RANKED, MOST_CURVES, MOST_PRINTED, MOST_NAMED = 50, 8, 10, 10
ENVIRONMENT.filters["safe"] = safe


def gather(
    access: Access,
    parent: Run,
    metric: str | None = None,
    reasons: Mapping[int, str] | None = None,
) -> tuple[Jobs, dict[str, Curve]]:
    """Reads the data of a sweep's report: its jobs, and the curves of the best settings.

    Args:
        access: The tracking store.
        parent: The sweep's parent run.
        metric: The metric by which settings are ranked; None takes the sweep's own.
        reasons: Why jobs failed, by their numbers; None reads it from the parent run.

    Returns:
        The jobs, and the curves by the names of the settings.

    Raises:
        SettingError: No job has finished, or it is not known which values of the metric are better.
    """
    found = read(access, parent, reasons)
    settings = {setting.named: setting for setting in found.settings}
    best = [settings[each.setting] for each in found.ranking(metric or found.metric)[:MOST_CURVES]]
    return found, curves(access, best)


def made_by_writer(
    folder: Path, access: Access, run_id: str, reasons: Mapping[int, str] | None = None
) -> str:
    """Writes the report of a sweep that has just ended, in the writer process.

    Args:
        folder: Where it is written.
        access: The tracking store, as the writer process has opened it.
        run_id: The id of the parent run.
        reasons: Why jobs failed, by their numbers; None reads it from the parent run.

    Returns:
        The answer in one sentence.
    """
    return write(*gather(access, access.client.get_run(run_id), reasons=reasons), folder)[0]


def write(
    found: Jobs, lines: Mapping[str, Curve], folder: Path, metric: str | None = None
) -> tuple[str, list[str]]:
    """Writes the report of a sweep into a folder.

    Args:
        found: Its jobs.
        lines: Learning curves of settings, by their names.
        folder: Where it is written.
        metric: The metric by which settings are ranked; None takes the sweep's own.

    Returns:
        The answer in one sentence, and the ranking as lines for the screen.

    Raises:
        SettingError: No job has the metric.
    """
    metric = metric or found.metric
    ranking = found.ranking(metric)
    if not ranking and found.allowed:
        known = sorted({name for job in found.finished for name in job.scores})
        raise SettingError("metric", metric, f"the runs have {', '.join(known)}")
    tested = not definition(metric).of_run
    sentence = answer(ranking, ", ".join(map(str, found.constraints)), tested)
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in {"ranking": _ranking(found, ranking), "jobs": _jobs(found)}.items():
        frame = pd.DataFrame(rows)
        frame.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    factors = sweep_figures.distinguishing(found.settings, found.factors)
    gridded = len(factors) > 1 and found.goals is None
    measured = effects(found.settings, factors, metric) if gridded else None
    seeds = sum(len(job.seeds) for job in found.finished)
    drawn = _figures(found, ranking, measured, metric, lines)
    images = {name: rendering.save(figure, folder / name) for name, figure in drawn.items()}
    text = ENVIRONMENT.get_template("sweep.md.j2").render(
        answer=sentence,
        effects=measured,
        seeds_drawn=len(factors) < 2
        or (len(factors) == 2 and sweep_figures.gridded(found.settings, factors)),
        found=found,
        images=images,
        importances=found.importances.get(metric, {}),
        interval=_interval,
        metric=metric,
        missing=missing(found.jobs),
        most=MOST_NAMED,
        most_curves=MOST_CURVES,
        most_ranked=MOST_RANKED,
        named=lambda name: definition(name).words,
        number=number,
        p=p_value,
        ranking=ranking,
        safe=safe,
        score=shown,
        seconds=sum(job.seconds for job in found.finished if math.isfinite(job.seconds)),
        seeds=seeds,
        repeated=seeds - _counted(found),
        verdict=_verdict if tested else _untested,
    )
    rendering.write(text, found.name, images, folder)
    return sentence, [*_lines(found, ranking, tested)]


def missing(jobs: Sequence[Job]) -> list[tuple[str, list[Job]]]:
    """Groups the jobs that have not finished by the reason.

    Args:
        jobs: All jobs.
    """
    return failures.grouped(
        (job, ": ".join(filter(None, [job.status, job.error]))) for job in jobs if not job.finished
    )


def _figures(
    found: Jobs,
    ranking: Sequence[Ranked],
    measured: Effects | None,
    metric: str,
    lines: Mapping[str, Curve],
) -> dict[str, Figure]:
    if not ranking:
        return {}
    means = {each.setting: each for each in ranking}
    drawn = {"scores": sweep_figures.scores(found.settings, found.factors, means, metric)}
    if measured is not None:
        drawn["importance"] = sweep_figures.importance(measured)
    elif metric in found.importances:
        drawn["importance"] = sweep_figures.importance_of_search(found.importances[metric])
    if len(found.factors) > 2:
        lined = sweep_figures.parallel(found.settings, found.factors, means, metric)
        drawn |= {"parallel": lined} if lined is not None else {}
    if lines:
        drawn["curves"] = sweep_figures.curves(lines, CURVE)
    return drawn


def _counted(found: Jobs) -> int:
    """Returns the number of seeds of finished jobs that count."""
    counted = [each for setting in found.settings for each in setting.counted]
    return sum(count for job, count in counted if job.finished)


def _ranking(found: Jobs, ranking: Sequence[Ranked]) -> Iterator[dict[str, Any]]:
    values = {setting.named: setting.values for setting in found.settings}
    for each in ranking:
        yield {
            **values[each.setting],
            "mean": each.mean,
            "low": each.low,
            "high": each.high,
            "std": each.std,
            "seeds": each.seeds,
            "failed": each.lost,
            "p_holm": each.p,
        }


def _jobs(found: Jobs) -> Iterator[dict[str, Any]]:
    for job in found.jobs:
        row = {axis: job.parameters.get(axis) for axis in found.axes}
        row |= {"status": job.status, "error": job.error or None, "run": job.run_id}
        scores = sorted(name for name in job.scores if "/" in name or name == "epochs_to_solve")
        for place, seed in enumerate(job.seeds):
            of_seed = {name: float(job.scores[name][place]) for name in scores}
            yield row | {"seed": seed, "seconds": job.seconds} | of_seed
        if not job.seeds:
            yield row


def _lines(found: Jobs, ranking: Sequence[Ranked], tested: bool) -> Iterator[str]:
    """Yields lines for the screen: the ranking, and why jobs are missing."""
    wide = max((len(each.setting) for each in ranking[:MOST_PRINTED]), default=0)
    for each in ranking[:MOST_PRINTED]:
        note = _verdict(each) if tested and each is not ranking[0] else ""
        yield f"  {each.setting:<{wide}}  {each.text}  {note}".rstrip()
    if len(ranking) > MOST_PRINTED:
        yield f"  and {len(ranking) - MOST_PRINTED} more settings"
    for reason, jobs in missing(found.jobs):
        yield f"{len(jobs)} of {len(found.jobs)} jobs: {reason}"


def _interval(each: Ranked) -> str:
    return "–" if math.isnan(each.low) else f"{each.low:.4f} to {each.high:.4f}"


def _verdict(each: Ranked, best: bool = False) -> str:
    if best:
        return "best"
    if math.isnan(each.p):
        return "too few seeds to tell"
    return "worse" if each.worse else "not told apart"


def _untested(_: Ranked, best: bool = False) -> str:
    return "best" if best else ""
