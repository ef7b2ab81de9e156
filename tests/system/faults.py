"""What a fault costs: measurements made, found afterwards and found twice.

`benchmarks.faults` makes a table of what the tests leave here.
"""

from collections import Counter
from collections.abc import Callable

from mlflow.tracking import MlflowClient

Record = Callable[[str, object], None]
"""pytest's `record_property`."""


def counted(client: MlflowClient, run_id: str, keys: tuple[str, ...]) -> tuple[int, int]:
    """Counts the measurements of a run in the store, and those that are there more than once."""
    points = [p for key in keys for p in client.get_metric_history(run_id, key)]
    times = Counter((point.key, point.step) for point in points)
    return len(times), sum(count > 1 for count in times.values())


def tell(record: Record, fault: str, *counts: tuple[int, int, int]) -> None:
    """Leaves a row for `benchmarks.faults`, and asserts that nothing was lost or doubled."""
    made, found, doubled = (sum(column) for column in zip(*counts, strict=True))
    for name, value in (("fault", fault), ("made", made), ("found", found), ("doubled", doubled)):
        record(name, value)
    assert (found, doubled) == (made, 0)
