"""`pytest --quick`: a test that begins what takes long is skipped at that moment.

What takes long says so itself: nobody keeps a list of tests, and none can be forgotten.
"""

import os
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from echo_exp.tracking import Store

QUICK = "ECHO_EXP_TESTS_QUICK"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option."""
    reason = (
        "skip each test that begins a training or an export, starts the program, a server or a "
        "browser, or goes through hundreds of configurations"
    )
    parser.addoption("--quick", action="store_true", help=reason)


def pytest_configure(config: pytest.Config) -> None:
    """Tells all that asks, in the processes of pytest-xdist too."""
    if config.getoption("--quick"):
        os.environ[QUICK] = "1"


def begins(what: str) -> None:
    """Skips the test that is about to begin something long, where it is to be quick."""
    if QUICK in os.environ:
        pytest.skip(f"begins {what}")


@pytest.fixture(scope="session", autouse=True)
def _nothing_long() -> Iterator[None]:
    """Lets no training, export or store of this process begin, where the tests are to be quick."""
    if QUICK not in os.environ:
        yield
        return
    import pytorch_lightning as pl
    import torch

    def fit(*_: Any, **__: Any) -> NoReturn:
        pytest.skip("begins a training")

    def export(*_: Any, **__: Any) -> NoReturn:
        pytest.skip("begins an export")

    def start(*_: Any, **__: Any) -> NoReturn:
        pytest.skip("starts the writer process")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pl.Trainer, "fit", fit)
        patch.setattr(torch.export, "export", export)
        patch.setattr(Store, "__init__", start)
        yield
