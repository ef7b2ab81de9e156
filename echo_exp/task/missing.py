"""What to do with the rows that shifting leaves incomplete: drop them, or train on them too.

With n_in = 5 the first four rows of a sequence miss their leading timesteps. A policy says whether
such rows are kept, and how a network is told that a timestep is missing. Missing targets carry no
weight in the loss or in any score, whatever the policy.
"""

from typing import TYPE_CHECKING, Protocol

from echo_exp.task.problem import MISSING

if TYPE_CHECKING:
    from torch import Tensor


class Missing(Protocol):
    """A policy for missing values."""

    incomplete: bool
    """Whether incomplete rows are kept."""
    sentinel: bool
    """Whether a missing value is encoded as a value of its own."""

    def present(self, windows: "Tensor") -> "Tensor | None":
        """Returns the timesteps that the network is to read.

        Args:
            windows: [..., T] integers.

        Returns:
            [..., T], True where a timestep is to be read; None means all.
        """


class Drop:
    """Incomplete rows are dropped, as the tutorial does."""

    incomplete = False
    sentinel = False

    def present(self, windows: "Tensor") -> None:
        """Returns None: nothing is missing."""


class Mask:
    """A missing timestep is skipped: the state stays untouched, as in `keras.layers.Masking`."""

    incomplete = True
    sentinel = False

    def present(self, windows: "Tensor") -> "Tensor":
        """Returns True where a timestep is not missing, [..., T]."""
        return windows != MISSING


class Sentinel:
    """A missing timestep is read as a value of its own, which the network must learn to ignore."""

    incomplete = True
    sentinel = True

    def present(self, windows: "Tensor") -> None:
        """Returns None: every timestep is read."""
