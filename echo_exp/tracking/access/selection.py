"""Selects runs by their sweep, study, experiment or ids, or by a filter."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from echo_exp.settings import SettingError, redacted
from echo_exp.tracking.access.connection import Access, mends
from echo_exp.tracking.access.deletions import check_experiment, check_run
from echo_exp.tracking.access.rows import KIND, RUN, Query, pages
from echo_exp.tracking.errors import DeletedError
from echo_exp.tracking.settings import LAST
from echo_exp.tracking.store import PARENT_TAG
from echo_exp.tracking.ui.view import MEMBER, SWEPT_TAG, member

STUDY = "study/"
"""Prefix of the names of studies' experiments."""
PARENTS = f"tags.{KIND} != '{RUN}'"
NEWEST = ("attributes.start_time DESC",)
MOST_NAMED = 3
ELSEWHERE = "tracking_uri= names another store"


@dataclass(frozen=True)
class Selection:
    """A selection of training runs.

    Attributes:
        sweep: The id of a sweep's parent run, or ``last`` for the store's newest sweep.
        study: The name of a study.
        scale: A scale of the study; None for all.
        experiment: The name of an MLflow experiment.
        runs: The ids of runs.
        filter: A condition in the syntax of MLflow's search.

    Raises:
        SettingError: Nothing is selected, two selections exclude each other, or one is of the wrong
            type.
    """

    sweep: str | None = None
    study: str | None = None
    scale: str | None = None
    experiment: str | None = None
    runs: Sequence[str] | None = None
    filter: str | None = None

    def __post_init__(self) -> None:
        names = ("sweep", "study", "experiment", "runs")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) > 1:
            reason = f"it cannot be combined with {given[0]}=; only filter= can"
            raise SettingError(given[1], getattr(self, given[1]), reason)
        if self.scale is not None and self.study is None:
            raise SettingError(
                "scale", self.scale, "it needs study=, because only studies have scales"
            )
        if not given and self.filter is None:
            reason = "sweep=, study=, experiment=, runs= or filter= must select the runs"
            raise SettingError("sweep", None, reason)
        for name in ("sweep", "study", "scale", "experiment", "filter"):
            value = getattr(self, name)
            if not (value is None or isinstance(value, str)):
                raise SettingError(name, value, "it must be a string")
        if isinstance(self.runs, str):
            raise SettingError("runs", self.runs, "it must be a list of ids")


def queries(access: Access, selection: Selection) -> Iterator[Query]:
    """Yields the queries that find the runs of a selection.

    Args:
        access: The store.
        selection: The selection.

    Raises:
        SettingError: There is no such sweep, study, scale or experiment, or it was deleted.
    """
    every: list[Experiment] = list(pages(access.client.search_experiments))
    numbers = [found.experiment_id for found in every]
    if selection.sweep is not None:
        parents = [_sweep(access, numbers, selection.sweep)]
    elif selection.study is not None and selection.scale is not None:
        parents = _scale(access.client, _study(access, every, selection.study), selection)
    else:
        if selection.study is not None:
            numbers = [_study(access, every, selection.study).experiment_id]
        elif selection.experiment is not None:
            numbers = [_experiment(access, every, selection.experiment).experiment_id]
        yield Query(access, numbers, selection.filter or "", selection.runs)
        return
    for parent in parents:
        both = " and ".join(filter(None, [of_sweep(parent), selection.filter]))
        yield Query(access, [parent.info.experiment_id], both)


def of_sweep(parent: Run) -> str:
    """Returns MLflow's filter for the runs of a sweep, including those shared with other sweeps."""
    run_id = parent.info.run_id
    if SWEPT_TAG in parent.data.tags:
        return f"tags.`{member(run_id)}` = '{MEMBER}'"
    return f"tags.`{PARENT_TAG}` = '{run_id}'"  # written by a version without such tags


def _sweep(access: Access, numbers: Sequence[str], which: str) -> Run:
    client = access.client
    newest = client.search_runs(
        list(numbers), PARENTS, max_results=MOST_NAMED, order_by=list(NEWEST)
    )
    if which == LAST and newest:
        return newest[0]
    try:
        if which == LAST:
            raise LookupError
        run = client.get_run(which)
        check_run(client, run)
    except DeletedError as error:
        raise SettingError("sweep", which, str(error)) from error
    except (LookupError, MlflowException) as error:
        if isinstance(error, MlflowException) and mends(error):
            raise
        names = ", ".join(parent.info.run_id for parent in newest) or "none"
        reason = (
            f"it must be `last` or the id of a sweep of {redacted(access.uri)}, where the newest "
            f"are: {names}; {ELSEWHERE}"
        )
        raise SettingError("sweep", which, reason) from None
    if run.data.tags.get(KIND, RUN) == RUN:
        parent = run.data.tags.get(PARENT_TAG)
        hint = f"sweep={parent} selects its sweep" if parent else "runs=[...] selects it"
        raise SettingError("sweep", which, f"it is a single run; {hint}")
    return run


def _experiment(access: Access, every: Sequence[Experiment], name: str) -> Experiment:
    return _named(access, every, name, ("experiment", name), "")


def _study(access: Access, every: Sequence[Experiment], name: str) -> Experiment:
    return _named(access, every, STUDY + name, ("study", name), STUDY)


def _named(
    access: Access, every: Sequence[Experiment], name: str, asked: tuple[str, str], prefix: str
) -> Experiment:
    """Returns the experiment with this name; an error lists those that begin with the prefix."""
    for found in every:
        if found.name == name:
            return found
    deleted = access.client.get_experiment_by_name(name)
    if deleted is not None:
        try:
            check_experiment(access.client, deleted)
        except DeletedError as error:
            raise SettingError(*asked, str(error)) from error
    names = [e.name.removeprefix(prefix) for e in every if e.name.startswith(prefix)]
    there = ", ".join(sorted(names)) or "none"
    reason = f"{redacted(access.uri)} has no such {asked[0]}; it has {there}; {ELSEWHERE}"
    raise SettingError(*asked, reason)


def _scale(client: MlflowClient, study: Experiment, selection: Selection) -> list[Run]:
    """Returns the parent runs of a study at one scale."""
    parents = client.search_runs([study.experiment_id], PARENTS, order_by=list(NEWEST))
    found = [parent for parent in parents if parent.data.tags.get("scale") == selection.scale]
    if not found:
        scales = sorted({parent.data.tags.get("scale", "") for parent in parents} - {""})
        reason = f"study {selection.study} has runs of the scales {', '.join(scales) or 'none'}"
        raise SettingError("scale", selection.scale, reason)
    return found
