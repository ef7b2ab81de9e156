"""How long an LSTM remembers before training: the initial biases of its gates."""

from dataclasses import dataclass

from torch import nn

from echo_exp import settings
from echo_exp.models import initializers

MOST = 1_000_000
"""The largest bias, and the longest dependency in timesteps: far more than makes a difference."""


@dataclass(frozen=True)
class GateBiases:
    """The initial biases of LSTM layers: zero, except in the gates that set how long to remember.

    A forget gate with bias b keeps sigmoid(b) of the cell state at each timestep, so what was read
    is remembered for 1 + exp(b) timesteps. The chrono initialisation of Tallec & Ollivier 2018
    spreads these spans evenly over those of the task: each unit has a forget gate with
    ``b_f = log(u), u ~ U([1, T_max - 1])``, and an input gate with ``b_i = -b_f``.

    Args:
        forget: The bias of all forget gates (1: Jozefowicz et al. 2015; Keras' unit_forget_bias).
        chrono: T_max, the timesteps of the longest dependency; None gives all units the same bias.
        part: Prefix of the settings' names, for messages.

    Raises:
        SettingError: A value is not allowed.
    """

    forget: float = 1.0
    chrono: int | None = None
    part: str = ""

    def __post_init__(self) -> None:
        key, chrono_key = f"model.{self.part}forget_bias", f"model.{self.part}chrono"
        settings.number(key, self.forget, -MOST, MOST)
        if self.chrono is None:
            return
        settings.integer(chrono_key, self.chrono, 2, MOST)
        if self.forget != 1:
            reason = f"{chrono_key}={self.chrono} draws the forget gates' biases; it must be 1"
            raise settings.SettingError(key, self.forget, reason)

    def draw(self, units: int, generators: initializers.Generators) -> nn.Parameter:
        """Returns initial biases, [R, 1, 4U], in the order output, input, forget, candidate."""
        bias = initializers.zeros(4 * units, generators)
        _, i, f, _ = bias.detach().chunk(4, -1)  # [R, 1, U]
        f.fill_(self.forget)
        if self.chrono is not None:
            f.copy_(initializers.uniform(units, generators, 1, self.chrono - 1).log())
            i.copy_(-f)
        return bias


UNIT_FORGET = GateBiases()
"""Keras' defaults."""
