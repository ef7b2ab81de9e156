"""Which of MLflow's errors say that something was deleted."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException, RestException
from mlflow.tracking import MlflowClient

from echo_exp.tracking import DeletedError
from echo_exp.tracking.access.deletions import check_experiment, deletion


def test_other_errors_are_not_taken_for_deletions() -> None:
    client = cast("MlflowClient", SimpleNamespace())
    for error in (ValueError("The run a must be"), MlflowException("no such metric")):
        assert deletion(client, error) is None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Run with id=0a not found", "run 0a"),
        ("No Experiment with id=77 exists", "experiment 77"),
    ],
)
@pytest.mark.parametrize("served", [False, True])
def test_a_permanent_deletion_is_recognised_on_a_database_and_on_a_server(
    text: str, what: str, served: bool
) -> None:
    code = "RESOURCE_DOES_NOT_EXIST"
    error: Any = MlflowException(text)
    if served:
        error = RestException({"error_code": code, "message": text})
    found = deletion(cast("MlflowClient", SimpleNamespace()), error)
    assert found is not None
    assert found.for_good
    assert str(found).startswith(f"{what} is no longer in the store")


def test_no_password_is_in_the_command() -> None:
    client = SimpleNamespace(tracking_uri="postgresql://echo:secret@here/echo")
    deleted = Experiment("1", "echo", "", "deleted")
    with pytest.raises(DeletedError) as caught:
        check_experiment(cast("MlflowClient", client), deleted)
    assert "secret" not in str(caught.value)
    assert "MLFLOW_TRACKING_URI='postgresql://echo:***@here/echo' " in str(caught.value)
