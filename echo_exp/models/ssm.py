"""The seq2seq network with diagonal linear recurrences: a state-space model."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from echo_exp import settings
from echo_exp.models import initializers
from echo_exp.models.dense import project
from echo_exp.models.gated_blocks import MOST_STATES, GatedBlocks, GatedNetwork
from echo_exp.models.rotation import Rotation
from echo_exp.models.scan import scan
from echo_exp.models.seq2seq import answered
from echo_exp.models.shown import Gated, gated

LEAST_SQUARE = 1e-8
"""The smallest square of an initial decay, and the smallest phase: their logarithms are taken."""
MOST_SQUARE = 1 - 2**-24
"""The largest: the largest number below 1 in single precision, as log(1 - square) is taken."""


class SSM(GatedNetwork):
    """Blocks of linear recurrent units (Orvieto et al. 2023), which answer at every timestep.

    For the arguments of every network see `~echo_exp.models.layered.Layered`.

    Args:
        states: Complex states of each block (S).
        r_min: The smallest share of a state that is kept at each timestep, before training.
        r_max: The largest.
        max_phase: The largest angle, in radians, by which a state turns at each timestep, before
            training.

    Raises:
        SettingError: A setting is not allowed.
    """

    kind = "ssm"

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
        states: int = 32,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
        stateful: bool = True,
        padding: str | None = None,
    ) -> None:
        super().__init__(units, layers, stateful)
        settings.integer("model.states", states, 1, MOST_STATES)
        _check_ring(r_min, r_max, max_phase)
        self.answers = answered(n_in, n_out, padding)
        generators = initializers.generators(seeds)
        recurrences = [
            LinearRecurrence(units, states, generators, (r_min, r_max), max_phase)
            for _ in range(layers)
        ]
        self.body = GatedBlocks(n_features, n_outputs, units, recurrences, generators)


class LinearRecurrence(nn.Module):
    """Linear recurrent unit (LRU, Orvieto et al. 2023, arXiv:2303.06349).

    Each of the S complex states decays and turns by itself; its input is normalised::

        s = a * s_before + g * (x @ B),  a = exp(-exp(n) + i * exp(p))
        y = Re(s @ C) + d * x

    Before training, the a are uniform on the ring between the radii ``r_min`` and ``r_max``, with
    phases from 0 to ``max_phase``, and g = sqrt(1 - abs(a)^2).

    Complex numbers are pairs of real ones. In a frame that turns with each state, only the decay is
    left. It is real, so one scan of real numbers computes it.

    Args:
        units: Features of the input and the output (U).
        states: Complex states (S).
        generators: One per replica; the initial weights are drawn from them.
        ring: ``r_min`` and ``r_max``.
        max_phase: The largest phase.
    """

    def __init__(
        self,
        units: int,
        states: int,
        generators: initializers.Generators,
        ring: tuple[float, float],
        max_phase: float,
    ) -> None:
        super().__init__()
        low, high = (radius**2 for radius in ring)
        square = low + (high - low) * initializers.fractions(states, generators)  # [R, 1, S]
        square = square.clamp(LEAST_SQUARE, MOST_SQUARE)
        phase = max_phase * initializers.fractions(states, generators)  # [R, 1, S]
        self.decay_log = nn.Parameter((-square.log() / 2).log())  # n, [R, 1, S]
        self.phase_log = nn.Parameter(phase.clamp(min=LEAST_SQUARE).log())  # p, [R, 1, S]
        self.gain_log = nn.Parameter((1 - square).log() / 2)  # log g, [R, 1, S]
        self.kernel = initializers.normal(  # real parts of B, then imaginary ones, [R, U, 2S]
            units, 2 * states, generators, math.sqrt(1 / (2 * units))
        )
        self.read_kernel = initializers.normal(  # real parts of C, then -imaginary ones, [R, 2S, U]
            2 * states, units, generators, math.sqrt(1 / states)
        )
        self.skip = initializers.normal(1, units, generators, 1.0)  # d, [R, 1, U]

    def forward(
        self, x: Tensor, state: Tensor | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Runs the recurrence over a window.

        Args:
            x: [R, B, T, U].
            state: The state before, real parts and then imaginary ones, [R, B, 2S]; zero if not
                given.
            present: [R, B, T], False where a timestep leaves the state untouched.

        Returns:
            The outputs [R, B, T, U] and the state after the last timestep, [R, B, 2S].
        """
        states, _ = self._run(x, state, present)  # [R, B, T, 2S]
        read = project(states, self.read_kernel)  # [R, B, T, U]
        return torch.addcmul(read, self.skip.unsqueeze(1), x), states[:, :, -1]

    def shown(self, x: Tensor, state: Tensor | None, present: Tensor | None) -> Gated:
        """Returns the states of a window and what is ``kept`` of their magnitudes, abs(a).

        The arguments are those of `forward`.
        """
        states, kept = self._run(x, state, present)  # [R, B, T, 2S]
        return gated(states, state, {"kept": kept})

    def _run(
        self, x: Tensor, state: Tensor | None, present: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Returns the states after each timestep and what it keeps, [R, B, T, 2S] each."""
        gain = self.gain_log.exp()  # [R, 1, S]
        decay = (-self.decay_log.exp()).exp()  # [R, 1, S]
        driven = project(x, self.kernel) * _of_pairs(gain)  # [R, B, T, 2S]
        turns = torch.arange(1, x.shape[2] + 1, device=x.device).view(1, 1, -1, 1)  # [1, 1, T, 1]
        kept = _of_pairs(decay).expand_as(driven)  # [R, B, T, 2S]
        if present is not None:
            there = present.unsqueeze(-1)  # [R, B, T, 1]
            turns = there.cumsum(2)  # [R, B, T, 1]
            kept = torch.where(there, kept, 1.0)
            driven = driven * there
        rotation = Rotation(turns * self.phase_log.exp().unsqueeze(1))  # by [R, B or 1, T, S]
        decayed = scan(kept, rotation.back(driven), state)  # [R, B, T, 2S]
        return rotation(decayed), kept


def _of_pairs(x: Tensor) -> Tensor:
    """Gives real and imaginary parts the same factors, [R, 1, S] -> [R, 1, 1, 2S]."""
    return torch.cat([x, x], -1).unsqueeze(1)


def _check_ring(r_min: float, r_max: float, max_phase: float) -> None:
    if not (settings.is_number(r_max) and 0 < r_max <= 1):
        raise settings.SettingError("model.r_max", r_max, "it must be a number above 0, at most 1")
    if not (settings.is_number(r_min) and 0 <= r_min < r_max):
        reason = f"it must be a number from 0 on, below model.r_max={r_max:g}"
        raise settings.SettingError("model.r_min", r_min, reason)
    settings.number("model.max_phase", max_phase, above=0)
