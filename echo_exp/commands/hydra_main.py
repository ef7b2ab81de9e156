"""What all commands share: composing their settings and explaining errors."""

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
    """Runs a command and exits with 0 if it succeeds.

    It exits with 1 if the command failed, 2 if a setting is wrong, and 128 + n at signal n.

    Args:
        body: The command's own work, which gets the composed settings.
        settings: Name of the file in ``conf`` with these settings.
        several: Whether the command can make several runs.
        unnamed: The setting that gets a list of the arguments without a name, if there is one.
    """
    atexit.register(gc.freeze)  # saves a last garbage collection of all of torch
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may lack ± or →
        sys.stdout.reconfigure(errors="replace")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them
    for name, value in (QUIET | IMPATIENT).items():
        os.environ.setdefault(name, value)

    @hydra.main(version_base="1.3", config_path=str(configuration.FOLDER), config_name=settings)
    def composed(config: DictConfig) -> None:
        with exits.explained(settings):  # here too: Hydra adds a line to errors that reach it
            if settings not in configuration.WHOLE_PROGRAM:
                configuration.check_keys(config, settings)
            body(config)

    with heard(), exits.explained(settings):
        flags, sys.argv[1:] = arguments.read(sys.argv[1:], several, unnamed)
        with _answering(flags):
            composed()


@contextlib.contextmanager
def _answering(flags: Namespace) -> Iterator[None]:
    """Makes flags that Hydra itself answers exit as this program does."""
    if flags.shell_completion:
        # An unfinished line may be wrong; an error must not disturb the user who is typing it.
        with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(Exception, SystemExit):
            yield
        return
    try:
        yield
    except SystemExit as end:
        if flags.cfg and end.code == exits.FAILED:  # there is no such package
            sys.exit(exits.WRONG_SETTING)
        raise
