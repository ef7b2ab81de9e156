"""Runs as rows, which both databases and servers provide."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from echo_exp.tracking.access.connection import Access

KIND = "kind"
"""The tag that distinguishes trainings (``run``) from their parent runs."""
RUN = "run"
PAGE = 1000
"""Results in one response."""
WORDS: dict[str, bool | None] = {"None": None, "True": True, "False": False}


def of_tags(tags: Mapping[str, str]) -> str:
    """Returns MLflow's query for runs with some tags.

    Args:
        tags: The tags, whose values are hashes and names.
    """
    return " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())


class Info(NamedTuple):
    """A run without its measurements; times are in milliseconds since 1970."""

    run_id: str
    name: str | None
    status: str
    start: int | None
    end: int | None


class Tagged(NamedTuple):
    """A run that was found by a tag's value; its start is in milliseconds since 1970."""

    value: str
    run_id: str
    status: str
    start: int | None


Param = tuple[str, str, str]
"""A run's id, the name of a setting, and its value as a string, as MLflow stores it."""
Score = tuple[str, str, float | None]
"""A run's id, the name of a metric, and its last value; None for NaN."""


@dataclass(frozen=True)
class Rows:
    """What a store knows about some runs.

    Attributes:
        infos: The runs, in the order in which they began.
        params: Their settings; can be read once, while the store is open.
        scores: The last values of their metrics; likewise.
    """

    infos: Sequence[Info]
    params: Iterable[Param]
    scores: Iterable[Score]


class History(NamedTuple):
    """Points of a run, in any order: the metric, step and value of each; None for NaN."""

    run_id: str
    metrics: Sequence[str]
    steps: Sequence[int]
    values: Sequence[float | None]


@dataclass(frozen=True)
class Query:
    """Which trainings to read; deleted ones are never read.

    Attributes:
        access: The store.
        experiments: The ids of their experiments.
        filter: A condition in the syntax of MLflow's search; empty for all.
        ids: Their ids, if these are known.
    """

    access: Access
    experiments: Sequence[str]
    filter: str = ""
    ids: Sequence[str] | None = None


def pages(search: Callable[..., Any]) -> Iterator[Any]:
    """Yields all results of a search of MLflow's client, which returns them page by page."""
    token = None
    while True:
        page = search(max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def typed(word: str) -> Any:
    """Converts a string that MLflow has stored to its value: the inverse of `str`."""
    if word in WORDS:
        return WORDS[word]
    for kind in (int, float):
        try:
            value = kind(word)
        except ValueError:
            continue
        if str(value) == word:
            return value
    return word


def chunks(ids: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    """Yields ids in chunks of at most ``size``."""
    return (ids[first : first + size] for first in range(0, len(ids), size))
