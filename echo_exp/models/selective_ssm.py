"""The seq2seq network with a linear recurrence whose input selects what to keep, as in Mamba."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from echo_exp import settings
from echo_exp.models import initializers
from echo_exp.models.dense import project
from echo_exp.models.gated_blocks import MOST_STATES, GatedBlocks, GatedNetwork
from echo_exp.models.scan import scan
from echo_exp.models.seq2seq import answered
from echo_exp.models.shown import Gated, gated

STEPS = (1e-3, 1e-1)
"""The range of the initial steps; their logarithms are uniform."""
UNITS_A_RANK = 16
"""The steps of all units are computed from a sixteenth as many numbers."""


class SelectiveSSM(GatedNetwork):
    """Blocks of selective state-space layers (Gu & Dao 2023), which answer at every timestep.

    It has the recurrence of Mamba, but not the convolution before it.

    For the arguments of every network see `~echo_exp.models.layered.Layered`.

    Args:
        states: States of each unit (S).

    Raises:
        SettingError: A setting is not allowed.
    """

    kind = "selective_ssm"

    def __init__(
        self,
        *,
        n_features: int,
        n_outputs: int,
        n_in: int,
        n_out: int,
        units: int,
        seeds: Sequence[int],
        layers: int = 1,
        states: int = 8,
        stateful: bool = True,
        padding: str | None = None,
    ) -> None:
        super().__init__(units, layers, stateful)
        settings.integer("model.states", states, 1, MOST_STATES)
        self.answers = answered(n_in, n_out, padding)
        generators = initializers.generators(seeds)
        recurrences = [SelectiveRecurrence(units, states, generators) for _ in range(layers)]
        self.body = GatedBlocks(n_features, n_outputs, units, recurrences, generators)


class SelectiveRecurrence(nn.Module):
    """Selective state-space layer (S6, Gu & Dao 2023, arXiv:2312.00752).

    Each unit has S states. The input determines the step of the unit, what is written to its states
    and what is read from them::

        s = exp(-step * rate) * s_before + step * x * (x @ W)
        y = s @ (x @ C) + d * x,  step = softplus(x @ P @ Q + b)

    Before training the rates of each unit are 1, 2, ..., S, and its step is between 0.001 and 0.1.

    Args:
        units: Features of the input and the output (U).
        states: States of each unit (S).
        generators: One per replica; the initial weights are drawn from them.
    """

    def __init__(self, units: int, states: int, generators: initializers.Generators) -> None:
        super().__init__()
        rank = math.ceil(units / UNITS_A_RANK)
        self.write_kernel = initializers.glorot_uniform(units, states, generators)  # [R, U, S]
        self.read_kernel = initializers.glorot_uniform(units, states, generators)  # [R, U, S]
        self.narrow_kernel = initializers.glorot_uniform(units, rank, generators)  # [R, U, rank]
        self.step_kernel = initializers.glorot_uniform(rank, units, generators)  # [R, rank, U]
        low, high = map(math.log, STEPS)
        step = (low + (high - low) * initializers.fractions(units, generators)).exp()
        self.step_bias = nn.Parameter(step.expm1().log())  # its softplus is the step, [R, 1, U]
        rates = torch.arange(1, states + 1).log().repeat(len(generators), units, 1)  # [R, U, S]
        self.rate_log = nn.Parameter(rates)  # [R, U, S]
        self.skip = nn.Parameter(torch.ones(len(generators), 1, units))  # d, [R, 1, U]

    def forward(
        self, x: Tensor, state: Tensor | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Runs the recurrence over a window.

        Args:
            x: [R, B, T, U].
            state: The states before, [R, B, U*S]; zero if not given.
            present: [R, B, T], False where a timestep leaves the states untouched.

        Returns:
            The outputs [R, B, T, U] and the states after the last timestep, [R, B, U*S].
        """
        states, _ = self._run(x, state, present)  # [R, B, T, U*S]
        read = project(x, self.read_kernel).unsqueeze(-1)  # [R, B, T, S, 1]
        outputs = (states.unflatten(-1, (x.shape[-1], -1)) @ read).squeeze(-1)  # [R, B, T, U]
        return torch.addcmul(outputs, self.skip.unsqueeze(1), x), states[:, :, -1]

    def shown(self, x: Tensor, state: Tensor | None, present: Tensor | None) -> Gated:
        """Returns the states of a window and what is ``kept`` of each, exp(-step * rate).

        The arguments are those of `forward`.
        """
        states, kept = self._run(x, state, present)  # [R, B, T, U*S]
        return gated(states, state, {"kept": kept})

    def _run(
        self, x: Tensor, state: Tensor | None, present: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Returns the states after each timestep and what it keeps, [R, B, T, U*S] each."""
        step = project(project(x, self.narrow_kernel), self.step_kernel)  # [R, B, T, U]
        step = functional.softplus(step + self.step_bias.unsqueeze(1))  # [R, B, T, U]
        if present is not None:
            step = step * present.unsqueeze(-1)
        written = project(x, self.write_kernel).unsqueeze(-2)  # [R, B, T, 1, S]
        new = (step * x).unsqueeze(-1) * written  # [R, B, T, U, S]
        rate = self.rate_log.exp().unsqueeze(1).unsqueeze(1)  # [R, 1, 1, U, S]
        kept = (-step.unsqueeze(-1) * rate).exp().flatten(3)  # [R, B, T, U*S]
        return scan(kept, new.flatten(3), state), kept
