"""What all commands share: they compose their settings, and explain errors."""

import atexit
import contextlib
import gc
import io
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator

import hydra
from omegaconf import DictConfig

from echo_exp import configuration
from echo_exp.commands import arguments
from echo_exp.commands.streams import heard
from echo_exp.configuration import exits
from echo_exp.tracking.environment import IMPATIENT, QUIET


def run(
    body: Callable[[DictConfig], None],
    settings: str,
    several: bool = False,
    unnamed: str | None = None,
) -> None:
    """Runs a command and exits: 0 done, 1 failed, 2 a setting is wrong, 128 + n a signal.

    Args:
        body: The command's own work on its composed settings.
        settings: Name of the file in ``conf`` that has them.
        several: Whether one call may be many runs.
        unnamed: The setting that takes the arguments without a name as a list, if one does.
    """
    atexit.register(gc.freeze)  # else Python looks through all of torch once more as it ends
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may have no ± or →
        sys.stdout.reconfigure(errors="replace")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them
    for name, value in (QUIET | IMPATIENT).items():
        os.environ.setdefault(name, value)

    @hydra.main(version_base="1.3", config_path=str(configuration.FOLDER), config_name=settings)
    def composed(config: DictConfig) -> None:
        with exits.explained(settings):  # here too: Hydra prints its own line for what leaves it
            if settings not in configuration.WHOLE_PROGRAM:
                configuration.check_keys(config, settings)
            body(config)

    with heard(), exits.explained(settings):
        flags, sys.argv[1:] = arguments.read(sys.argv[1:], several, unnamed)
        with _answering(flags):
            composed()


@contextlib.contextmanager
def _answering(flags: Namespace) -> Iterator[None]:
    """Makes Hydra's own answers end as this program's do."""
    if flags.shell_completion:
        # A line that is not whole yet has nothing to complete; who types it is not disturbed.
        with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(Exception, SystemExit):
            yield
        return
    try:
        yield
    except SystemExit as end:
        if flags.cfg and end.code == exits.FAILED:  # there is no such package
            sys.exit(exits.WRONG_SETTING)
        raise
