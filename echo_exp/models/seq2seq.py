"""The tutorial's first network: an LSTM that answers at every timestep."""

from collections.abc import Sequence

from torch import Tensor, nn

from echo_exp import settings
from echo_exp.models import initializers
from echo_exp.models.dense import Dense
from echo_exp.models.lstm import LSTM, MOST_UNITS, State


class Seq2Seq(nn.Module):
    """LSTM returning every timestep, then a dense layer applied at each: it echoes the whole input.

    Args:
        n_features: Features, or categories, of an input timestep (F).
        n_outputs: Outputs of a timestep (V for one-hot integers).
        n_in: Timesteps of the input (T).
        n_out: Integers to echo; must be ``n_in``.
        units: Units of the LSTM (U).
        seeds: One seed a replica (R of them); each fixes the initial weights of its replica.

    Raises:
        SettingError: A size is not allowed.
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
    ) -> None:
        super().__init__()
        settings.integer("model.units", units, 1, MOST_UNITS)
        if n_out != n_in:
            raise settings.SettingError(
                "problem.n_out",
                n_out,
                f"model=seq2seq answers at every timestep, so it must equal problem.n_in={n_in}; "
                "model=encoder_decoder echoes fewer",
            )
        generators = initializers.generators(seeds)
        self.lstm = LSTM(n_features, units, generators)
        self.dense = Dense(units, n_outputs, generators)

    def initial_state(self, batch: int) -> State:
        """Returns the zero state for a batch: hidden and cell, each [R, B, U]."""
        return self.lstm.initial_state(batch)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Answers a batch of windows.

        Args:
            x: [R, B, T, F] features or [R, B, T] categories.
            state: Hidden and cell state, each [R, B, U].

        Returns:
            Outputs [R, B, T, V] and the state after the last timestep.
        """
        hidden, state = self.lstm(x, state)  # [R, B, T, U]
        return self.dense(hidden), state  # [R, B, T, V]
