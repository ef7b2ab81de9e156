"""Records runs in MLflow, through a process of its own, and reads them back.

A training does all its work with MLflow in a separate process, the writer. It imports MLflow and
opens the store while the program imports torch and Lightning; its database work takes no time from
the training loop; and it outlives a killed program, so it can still record that the run failed.

`store` is the program's side of the pipe and imports nothing heavy; `writer` is the other side.
While the store is unavailable, measurements wait in a file: `writer.outbox` manages it, and
`writer.delivery` delivers it to the store. `access` reads from stores, in either process.
"""

from echo_exp.tracking.errors import DeletedError, TrackingError, UnreachableError
from echo_exp.tracking.settings import TrackingSettings
from echo_exp.tracking.store import PRUNED_TAG, Run, Series, Store, StoredRun, Trained, Waiting

__all__ = [
    "PRUNED_TAG",
    "DeletedError",
    "Run",
    "Series",
    "Store",
    "StoredRun",
    "TrackingError",
    "TrackingSettings",
    "Trained",
    "UnreachableError",
    "Waiting",
]
