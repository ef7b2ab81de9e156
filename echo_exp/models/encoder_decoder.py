"""The tutorial's second network: one LSTM reads the window, another writes the echo."""

from collections.abc import Sequence

from torch import Tensor, nn

from echo_exp import settings
from echo_exp.models import initializers
from echo_exp.models.dense import Dense
from echo_exp.models.lstm import LSTM, MOST_UNITS, State


class EncoderDecoder(nn.Module):
    """The encoder's last output, repeated, is the decoder's input at each of n_out timesteps.

    Args:
        n_features: Features, or categories, of an input timestep (F).
        n_outputs: Outputs of a timestep (V for one-hot integers).
        n_in: Timesteps of the input (T).
        n_out: Timesteps of the output.
        units: Units of each LSTM (U).
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
        generators = initializers.generators(seeds)
        self.n_out = n_out
        self.encoder = LSTM(n_features, units, generators)
        self.decoder = LSTM(units, units, generators)
        self.dense = Dense(units, n_outputs, generators)

    def initial_state(self, batch: int) -> State:
        """Returns zero states for a batch: encoder's hidden and cell, decoder's, each [R, B, U]."""
        return self.encoder.initial_state(batch) + self.decoder.initial_state(batch)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Answers a batch of windows.

        Args:
            x: [R, B, T, F] features or [R, B, T] categories.
            state: Hidden and cell states of encoder and decoder, each [R, B, U].

        Returns:
            Outputs [R, B, n_out, V] and the states after the last timesteps.
        """
        _, encoded = self.encoder(x, state[:2])
        context = encoded[0].unsqueeze(2)  # the last hidden state, [R, B, 1, U]
        repeated = self.decoder.project(context).expand(-1, -1, self.n_out, -1)  # [R, B, n_out, 4U]
        hidden, decoded = self.decoder.recur(repeated, state[2:])  # [R, B, n_out, U]
        return self.dense(hidden), encoded + decoded  # [R, B, n_out, V]
