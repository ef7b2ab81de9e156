"""Runs and experiments deleted in MLflow: how to recognise them, and how to restore them.

A run or an experiment deleted in MLflow's UI is only marked as deleted: it can still be read and
restored, but not written. `mlflow gc` permanently deletes what is marked.
"""

import re
import shlex

from mlflow.entities import Experiment, LifecycleStage, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from echo_exp.settings import program, redacted
from echo_exp.tracking.errors import DeletedError

_MARKED = re.compile(r"The (run|experiment) (\w+) must be in the 'active' state")
_PURGED = re.compile(r"(?:No )?(Run|Experiment) with id=(\w+) (?:not found|exists)")
"""MLflow's messages for both cases; it has no error codes for them."""


def check_run(client: MlflowClient, run: Run) -> None:
    """Checks that a run is not deleted.

    Raises:
        DeletedError: It is deleted.
    """
    if run.info.lifecycle_stage == LifecycleStage.DELETED:
        raise _deleted_run(client, run)


def check_experiment(client: MlflowClient, experiment: Experiment) -> None:
    """Checks that an experiment is not deleted.

    Raises:
        DeletedError: It is deleted.
    """
    if experiment.lifecycle_stage == LifecycleStage.DELETED:
        raise _deleted_experiment(client, experiment)


def deletion(client: MlflowClient, error: Exception) -> DeletedError | None:
    """Returns an error of MLflow as a `DeletedError`; None if it is not about a deletion.

    Raises:
        Exception: The store cannot be reached.
    """
    if isinstance(error, DeletedError):
        return error
    if not isinstance(error, MlflowException):
        return None
    if purged := _PURGED.search(str(error)):
        what, name = purged.groups()
        reason = f"{what.lower()} {name} is no longer in the store: `mlflow gc` deletes for good"
        return DeletedError(reason, for_good=True)
    if marked := _MARKED.search(str(error)):
        what, name = marked.groups()
        if what == "run":
            return _deleted_run(client, client.get_run(name))
        return _deleted_experiment(client, client.get_experiment(name))
    return None


def _deleted_run(client: MlflowClient, run: Run) -> DeletedError:
    run_id = run.info.run_id
    experiment = client.get_experiment(run.info.experiment_id)
    if experiment.lifecycle_stage == LifecycleStage.DELETED:
        command = _restoring(client, "experiments", "--experiment-id", experiment.experiment_id)
        what = f"run {run_id} was deleted in MLflow, with its experiment {experiment.name}"
        return DeletedError(f"{what}; {command} restores both")
    command = _restoring(client, "runs", "--run-id", run_id)
    return DeletedError(f"run {run_id} was deleted in MLflow; {command} restores it")


def _deleted_experiment(client: MlflowClient, experiment: Experiment) -> DeletedError:
    command = _restoring(client, "experiments", "--experiment-id", experiment.experiment_id)
    what = f"experiment {experiment.name} was deleted in MLflow"
    return DeletedError(f"{what}; {command} restores it")


def _restoring(client: MlflowClient, *arguments: str) -> str:
    what, option, name = arguments
    store = shlex.quote(redacted(client.tracking_uri))
    command = shlex.join([program("mlflow"), what, "restore", option, name])
    return f"`MLFLOW_TRACKING_URI={store} {command}`"
