"""The section of a study's report on all its tasks together."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from echo_exp.metrics import definition
from echo_exp.reports import aggregate_figures, aggregates
from echo_exp.reports.aggregates import Aggregate, Ranking
from echo_exp.reports.answers import Answers
from echo_exp.reports.estimates import Estimate
from echo_exp.reports.rendering import ENVIRONMENT, estimated, safe, told
from echo_exp.reports.sections import Section
from echo_exp.reports.statistics import LEAST

NOTHING = Estimate(math.nan, math.nan, math.nan)


def section(found: Answers) -> Section | None:
    """Returns the section on all tasks together.

    Args:
        found: What the study's runs say.

    Returns:
        The section; None if the study names no tasks, or nothing can be ranked over them.
    """
    ranked = aggregates.rankings(found)
    if not ranked:
        return None
    text = ENVIRONMENT.get_template("aggregates.md.j2").render(
        study=found.study,
        ranked=ranked,
        place=lambda ranking: _place(found, ranking),
        safe=safe,
        estimate=estimated,
        least=LEAST,
        told=told,
    )
    figures = {
        "interquartile": aggregate_figures.interquartile(found, ranked),
        "profiles": aggregate_figures.profiles(found, ranked),
    }
    tables = {
        "aggregates": pd.DataFrame(_aggregate_rows(found, ranked)),
        "profiles": pd.DataFrame(_profile_rows(found, ranked)),
    }
    return Section(aggregates.sentence(found, ranked), text, figures, tables)


def _place(found: Answers, ranking: Ranking) -> str:
    where = safe(aggregates.place(found.study, ranking))
    title = definition(ranking.metric).title
    return f"{title}, {where}" if where else title


def _aggregate_rows(found: Answers, ranked: Sequence[Ranking]) -> Iterator[dict[str, Any]]:
    for ranking, aggregate in _aggregates(ranked):
        yield {
            **_group(found, ranking, aggregate),
            "tasks": len(ranking.tasks),
            "seeds": aggregate.seeds,
            **aggregate.iqm.row("iqm"),
            "reference": ranking.reference,
            **(aggregate.improvement or NOTHING).row("improvement"),
            **(aggregate.behind or NOTHING).row("behind"),
        }


def _profile_rows(found: Answers, ranked: Sequence[Ranking]) -> Iterator[dict[str, Any]]:
    for ranking, aggregate in _aggregates(ranked):
        p = aggregate.profile
        for threshold, *values in zip(aggregates.THRESHOLDS, p.share, p.low, p.high, strict=True):
            yield {
                **_group(found, ranking, aggregate),
                "threshold": threshold,
                **Estimate(*values).row("share"),
            }


def _aggregates(ranked: Sequence[Ranking]) -> Iterator[tuple[Ranking, Aggregate]]:
    return ((ranking, aggregate) for ranking in ranked for aggregate in ranking.aggregates)


def _group(found: Answers, ranking: Ranking, aggregate: Aggregate) -> dict[str, Any]:
    group = {found.study.group: ranking.group} if found.study.group else {}
    return {"measure": ranking.metric, **group, found.study.compare: aggregate.level}
