"""One run: from a checked configuration to a finished entry in the tracking store.

`execution` decides whether and where the run starts, `training_run` carries it out. Only the latter
imports torch, when a training starts.
"""

from echo_exp.running.directions import directions, undelivered, where
from echo_exp.running.execution import claim, execute
from echo_exp.running.opening import open_store, reached
from echo_exp.running.result import (
    INSPECTION,
    AlreadyFinishedError,
    Callbacks,
    ClaimedError,
    PrunedError,
    Result,
)

__all__ = [
    "INSPECTION",
    "AlreadyFinishedError",
    "Callbacks",
    "ClaimedError",
    "PrunedError",
    "Result",
    "claim",
    "directions",
    "execute",
    "open_store",
    "reached",
    "undelivered",
    "where",
]
