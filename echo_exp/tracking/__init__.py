"""What a run leaves in MLflow.

All of MLflow lives in a process of its own, the writer. It is imported and its store is opened
while the program imports torch and Lightning; its database work takes no time from the training
loop; and it outlives a killed program, so that the end of a run is told by somebody who saw it.
Where the store is away, what was measured waits in a file: `outbox` holds it, `delivery` brings it
to the store, `client` knows MLflow's errors, `lifecycle` those of what people have deleted.

`store` is the program's side of the pipe and imports nothing heavy; `writer` is the other side.
"""

from echo_exp.tracking.store import (
    PRUNED_TAG,
    DeletedError,
    Run,
    Series,
    Store,
    StoredRun,
    TrackingError,
    TrackingSettings,
    UnreachableError,
    Waiting,
)

__all__ = [
    "PRUNED_TAG",
    "DeletedError",
    "Run",
    "Series",
    "Store",
    "StoredRun",
    "TrackingError",
    "TrackingSettings",
    "UnreachableError",
    "Waiting",
]
