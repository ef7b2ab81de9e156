"""What all tests share."""

import os

# A test's arithmetic is small; two threads would fight for the cores with the processes it starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")
