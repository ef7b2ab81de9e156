"""`pytest --quick`: a test that begins what takes long is skipped at that moment.

What takes long says so itself: nobody keeps a list of tests, and none can be forgotten.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest

from echo_exp.tracking import Store

QUICK = "ECHO_EXP_TESTS_QUICK"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option."""
    reason = (
        "skip each test that begins a training, an export or a figure, starts the program, a "
        "server or a browser, or goes through hundreds of configurations"
    )
    parser.addoption("--quick", action="store_true", help=reason)


def pytest_configure(config: pytest.Config) -> None:
    """Tells all that asks, in the processes of pytest-xdist too."""
    if config.getoption("--quick"):
        os.environ[QUICK] = "1"


def begins(what: str) -> None:
    """In quick tests, skips the test or the whole file that is about to begin something long."""
    if QUICK in os.environ:
        pytest.skip(f"begins {what}", allow_module_level=True)


@pytest.fixture(scope="session", autouse=True)
def _nothing_long() -> Iterator[None]:
    """Lets nothing long begin in this process, where the tests are to be quick."""
    if QUICK not in os.environ:
        yield
        return
    import pytorch_lightning as pl
    import torch
    from matplotlib.figure import Figure

    long = (
        (pl.Trainer, "fit", "a training"),
        (torch.export, "export", "an export"),
        (torch.onnx, "export", "an export"),
        (Figure, "savefig", "a figure"),
        (Store, "__init__", "a writer process"),
    )
    with pytest.MonkeyPatch.context() as patch:
        for owner, name, what in long:
            patch.setattr(owner, name, _beginning(what))
        yield


def _beginning(what: str) -> Callable[..., NoReturn]:
    def begin(*_: Any, **__: Any) -> NoReturn:
        pytest.skip(f"begins {what}")

    return begin
