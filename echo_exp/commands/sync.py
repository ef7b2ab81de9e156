"""The command `echo-exp-sync`: delivers measurements that an unreachable store missed."""

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from echo_exp import configuration
from echo_exp.commands import hydra_main as command
from echo_exp.settings import SettingError, redacted
from echo_exp.tracking import DeletedError, TrackingError, UnreachableError
from echo_exp.tracking.settings import absolute, check_uri
from echo_exp.tracking.writer.outbox import Outbox, named, waiting

if TYPE_CHECKING:
    from echo_exp.tracking.access.connection import Access


def main() -> None:
    """Runs `echo-exp-sync`: exits with 0, 1 if something is left, 2 if a setting is wrong."""
    command.run(_sync, "sync")


def _sync(config: DictConfig) -> None:
    warnings.simplefilter("ignore")
    logging.disable()  # MLflow logs the errors that it raises, with tracebacks
    settings = configuration.tracking(config)
    if settings.uri is None:
        raise SettingError("tracking.uri", None, "it must name the store that could not be reached")
    uri = absolute(check_uri(settings.uri))
    named = any(o.startswith("output_dir=") for o in configuration.overrides(HydraConfig.get()))
    if named and not Path(config.output_dir).exists():
        raise SettingError("output_dir", config.output_dir, "there is no such folder")
    left = _left(Path(settings.spool), uri)
    if left:
        _deliver_all(left, uri, settings.artifacts)
    else:
        print(f"nothing waits in {settings.spool} for {redacted(uri)}")


def _left(spool: Path, uri: str) -> list[Outbox]:
    """Returns the outboxes that wait for this store and that no other process holds."""
    # An outbox has no name of a store if its process was killed before writing it.
    names = ("", redacted(uri), named(uri, spool))
    found = [Outbox.left(spool, run_id) for run_id in waiting(spool)]
    ours = []
    for outbox in filter(None, found):
        if outbox.store in names:
            ours.append(outbox)
        else:
            outbox.leave()
    return ours


def _deliver_all(left: list[Outbox], uri: str, artifacts: str | None) -> None:
    """Delivers one run after the other, and prints a line for each.

    Raises:
        SettingError: The URI is not that of a tracking store.
        UnreachableError: The store cannot be reached.
        TrackingError: The store refused something.
    """
    from echo_exp.tracking.access.connection import mends, reach, reason
    from echo_exp.tracking.writer.delivery import kept

    try:
        access = reach(uri, artifacts)
    except Exception as error:
        if mends(error):
            raise _unreachable(left, reason(error)) from error
        raise SettingError("tracking.uri", uri, f"it cannot be used ({reason(error)})") from error
    refused = 0
    for position, outbox in enumerate(left):
        try:
            refused += not _deliver(access, outbox)
        except DeletedError as error:
            print(kept(outbox, error))
            outbox.leave()
            refused += 1
        except Exception as error:
            if mends(error):
                raise _unreachable(left[position:], reason(error)) from error
            print(f"run {outbox.run_id}: kept in {outbox.path}, refused ({reason(error)})")
            refused += 1
    if refused:
        raise TrackingError(f"the store refused measurements of {refused} of {len(left)} runs")


def _deliver(access: "Access", outbox: Outbox) -> bool:
    """Delivers the measurements of a run; returns whether the store took all of them."""
    from echo_exp.tracking.writer.delivery import deliver

    measurements = outbox.measurements
    failures = deliver(access, outbox)
    delivered = f"run {outbox.run_id}: {measurements:,} measurements delivered"
    print("; ".join([delivered, *(f"refused: {failure}" for failure in failures)]))
    return not failures


def _unreachable(left: list[Outbox], reason: str) -> UnreachableError:
    count = sum(outbox.measurements for outbox in left)
    return UnreachableError(
        f"{count:,} measurements of {len(left)} runs still wait in {left[0].path.parent}: "
        f"the tracking store cannot be reached ({reason})"
    )


if __name__ == "__main__":
    main()
