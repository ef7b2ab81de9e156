"""What runs leave in MLflow, which has a process of its own.

All of MLflow lives in a process of its own, the writer. It is imported and its store is opened
while the program imports torch and Lightning; its database work takes no time from the training
loop; and it outlives a killed program, so that the end of a run is told by somebody who saw it.

`store` is the program's side of the pipe and imports nothing heavy; `writer` is the other side.
Where the store is away, what was measured waits in a file: `writer.outbox` holds it and
`writer.delivery` brings it to the store. `access` reads from stores, in either process.
"""

from echo_exp.tracking.errors import DeletedError, TrackingError, UnreachableError
from echo_exp.tracking.settings import TrackingSettings
from echo_exp.tracking.store import PRUNED_TAG, Run, Series, Store, StoredRun, Waiting

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
