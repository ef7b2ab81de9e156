"""What all tests share."""

import os

import hypothesis

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

pytest_plugins = ["tests.places", "tests.quick"]
