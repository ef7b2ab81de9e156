"""Runs as rows, as both a database and a server provide them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from echo_exp.tracking.access.connection import Access

KIND = "kind"
"""The tag that tells trainings (``run``) from what they are nested under."""
RUN = "run"
PAGE = 1000
"""Runs in one answer."""
WORDS: dict[str, bool | None] = {"None": None, "True": True, "False": False}


class Info(NamedTuple):
    """A run without its measurements; times are in milliseconds since 1970."""

    run_id: str
    name: str | None
    status: str
    start: int | None
    end: int | None


class Tagged(NamedTuple):
    """A run that a tag has been looked for with; it began so many milliseconds after 1970."""

    value: str
    run_id: str
    status: str
    start: int | None


Param = tuple[str, str, str]
"""A run's id, the name of a setting, and its value as MLflow keeps it: as a word."""
Score = tuple[str, str, float | None]
"""A run's id, the name of a metric, and its last value; None for NaN."""


@dataclass(frozen=True)
class Rows:
    """What a store says of some runs.

    Attributes:
        infos: The runs, in the order in which they began.
        params: Their settings; read once, while the store is open.
        scores: The last values of their metrics; the same.
    """

    infos: Sequence[Info]
    params: Iterable[Param]
    scores: Iterable[Score]


class History(NamedTuple):
    """Points of a run, in any order: their metrics, steps, and values, None for NaN."""

    run_id: str
    metrics: Sequence[str]
    steps: Sequence[int]
    values: Sequence[float | None]


@dataclass(frozen=True)
class Query:
    """Which trainings are read; what is deleted never is.

    Attributes:
        access: The store.
        experiments: MLflow's numbers of the experiments in which they are.
        filter: What they must be like, in the syntax of MLflow's search; empty for all.
        ids: Their ids, where these are known.
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
    """Returns the value of a text that MLflow has stored: the inverse of `str`."""
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
    """Yields ids, so many at a time."""
    return (ids[first : first + size] for first in range(0, len(ids), size))
