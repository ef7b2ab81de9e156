"""Many timesteps in, one vector out."""

from collections.abc import Sequence

from torch import Tensor

from echo_exp.models import initializers
from echo_exp.models.dense import Dense
from echo_exp.models.gate_biases import GateBiases
from echo_exp.models.lstm import State
from echo_exp.models.lstm_stack import LSTMNetwork, LSTMStack


class ManyToOne(LSTMNetwork):
    """The LSTM's last output predicts all integers of the echo at once.

    For the arguments of every network see `~echo_exp.models.layered.Layered`.

    Raises:
        SettingError: A setting is not allowed.
    """

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
        stateful: bool = True,
        forget_bias: float = 1.0,
        chrono: int | None = None,
    ) -> None:
        super().__init__(units, layers, stateful)
        self.n_out = n_out
        generators = initializers.generators(seeds)
        biases = GateBiases(forget_bias, chrono)
        self.lstm = LSTMStack(n_features, units, layers, generators, biases)
        self.dense = Dense(units, n_out * n_outputs, generators)

    def forward(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Answers a batch of windows.

        Args:
            x: [R, B, T, F] features or [R, B, T] categories.
            state: Hidden and cell state of each layer, each [R, B, U]; zero if not given.
            present: [R, B, T], False at the timesteps to skip.

        Returns:
            Outputs [R, B, n_out, V] and the states after the last timestep.
        """
        hidden, state = self._read(x, state, present)  # [R, B, T, U]
        vector = self.dense(hidden[:, :, -1:])  # [R, B, 1, n_out*V]
        return vector.unflatten(-1, (self.n_out, -1)).squeeze(2), state  # [R, B, n_out, V]

    def _read(self, x: Tensor, state: State | None, present: Tensor | None) -> tuple[Tensor, State]:
        """Returns the hidden states of the window, [R, B, T, U], and the states after it."""
        read: tuple[Tensor, State] = self.lstm(x, state, present)
        return read
