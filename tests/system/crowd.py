"""One of many writers; it imports little, because it is started many times."""

from echo_exp.tracking.writer.commands import Writer

from .waiting import TIMEOUT

POINTS = 300


def write(uri: str, experiment: str, folder: str, number: int) -> None:
    """Writes a run with a metric, as the writer process of a program does."""
    writer = Writer(uri, experiment, f"{folder}/artifacts", f"{folder}/spool", TIMEOUT)
    run = writer.create(f"{number}", {"number": f"{number}"}, {}, {}, None)
    for first in range(0, POINTS, 50):
        steps = list(range(first, first + 50))
        writer.metrics(run.run_id, [("m", steps, steps, [step / 7 for step in steps])])
    writer.end(run.run_id, "FINISHED", None)
    assert writer.ended(run.run_id) is None
