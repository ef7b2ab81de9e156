"""What all tests share."""

import gc
import os
from collections.abc import Iterator

import hypothesis
import pytest
from hydra.core.hydra_config import HydraConfig

# A test's arithmetic is small; two threads would fight for the cores with the processes it starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples in each session, and none of them judged by its time.
hypothesis.settings.register_profile(
    "echo_exp",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("echo_exp")


def pytest_collection_finish() -> None:
    """Has the garbage collector look no more at what was imported: it takes a second each time."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_command() -> Iterator[None]:
    """Has a command that a test runs in its own process be over with the test, also for Hydra."""
    yield
    HydraConfig.instance().cfg = None


pytest_plugins = ["tests.places", "tests.quick"]
