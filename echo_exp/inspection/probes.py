"""Linear probes: how well a linear classifier reads an integer from a network's state.

The probe is linear discriminant analysis (Fisher 1936; Rao 1948): it chooses the most probable
value, given that the states of each value are normally distributed around their mean, all with the
same covariance. It has a closed form and nothing to tune. Unlike a regression on one-hot targets,
it does not miss values whose means lie between those of others, as a hundred values in twenty units
do (Hastie, Tibshirani & Friedman 2009, section 4.2).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

RIDGE = 1e-3
"""Added to the covariance, in variances of a unit: states may be exact functions of a value."""


@dataclass(frozen=True)
class Reader:
    """States to learn from and states to read, prepared once for the probes of many labels.

    Attributes:
        states: To learn from, standardised, [N, D].
        held_out: To read, in the same scale, [M, D].
        scatter: ``states^T states``, [D, D].
    """

    states: Tensor
    held_out: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, states: Tensor, held_out: Tensor) -> "Reader":
        """Prepares states to learn from, [N, D], and states to read, [M, D]."""
        states = states.double()
        mean, deviation = states.mean(0), states.std(0)
        scale = torch.where(deviation > 0, deviation, 1.0)
        states = (states - mean) / scale
        return cls(states, (held_out.double() - mean) / scale, states.T @ states)

    def read(self, labels: Tensor, n_values: int) -> Tensor:
        """Learns to read values from the states, and reads those of the held-out states.

        Args:
            labels: Values of the states to learn from, [N] integers from 0 to ``n_values - 1``.
            n_values: Number of different values (V).

        Returns:
            The most probable values, [M]; never one that is not among the labels.
        """
        counts = labels.bincount(minlength=n_values).double()  # [V]
        sums = self.states.new_zeros(n_values, self.states.shape[1])  # [V, D]
        sums.index_add_(0, labels, self.states)
        means = sums / counts.clamp(min=1).unsqueeze(1)  # [V, D]
        within = (self.scatter - sums.T @ means) / len(labels)  # [D, D]
        within.diagonal().add_(RIDGE)
        weights = torch.cholesky_solve(means.T, torch.linalg.cholesky(within))  # [D, V]
        bias = (counts / len(labels)).log() - 0.5 * (means.T * weights).sum(0)  # [V]
        told: Tensor = torch.addmm(bias, self.held_out, weights).argmax(1)
        return told
