"""The tutorial's second network: one LSTM reads the window, another writes the echo."""

from collections.abc import Sequence

from torch import Tensor, nn

from echo_exp import settings
from echo_exp.models import initializers
from echo_exp.models.dense import Dense
from echo_exp.models.gate_biases import GateBiases
from echo_exp.models.lstm import State, cells
from echo_exp.models.stack import Stack


class EncoderDecoder(nn.Module):
    """The encoder's last output, repeated, is the decoder's input at each of n_out timesteps.

    Args:
        n_features: Features, or categories, of an input timestep (F).
        n_outputs: Outputs for one integer (V for one-hot integers).
        n_in: Timesteps of the input (T).
        n_out: Timesteps of the output.
        units: Units of each LSTM (U).
        seeds: One seed a replica (R of them); each fixes the initial weights of its replica.
        layers: LSTM layers of the encoder (L), and as many of the decoder.
        stateful: Whether the states are carried from batch to batch of a sequence.
        forget_bias: The bias that the encoder's forget gates begin with.
        chrono: Timesteps of the encoder's longest dependency, for which its gates' biases are
            drawn, see `~echo_exp.models.gate_biases.GateBiases`; None draws none.
        decoder_forget_bias: The same of the decoder.
        decoder_chrono: The same of the decoder.

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
        decoder_forget_bias: float = 1.0,
        decoder_chrono: int | None = None,
    ) -> None:
        super().__init__()
        settings.choice("model.stateful", stateful, (True, False))
        self.n_in, self.n_out, self.stateful = n_in, n_out, stateful
        generators = initializers.generators(seeds)
        encoder_biases = GateBiases(forget_bias, chrono)
        decoder_biases = GateBiases(decoder_forget_bias, decoder_chrono, part="decoder_")
        self.encoder = Stack(n_features, units, layers, generators, encoder_biases)
        self.decoder = Stack(units, units, layers, generators, decoder_biases)
        self.dense = Dense(units, n_outputs, generators)

    def forward(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Answers a batch of windows.

        Args:
            x: [R, B, T, F] features or [R, B, T] categories.
            state: Hidden and cell state of each layer of the encoder, then of the decoder, each
                [R, B, U]; zero where not given.
            present: [R, B, T], False at the timesteps that the encoder is to skip.

        Returns:
            Outputs [R, B, n_out, V] and the states after the last timesteps.
        """
        half = 2 * (1 + len(self.encoder.others))
        read, encoded = self.encoder(x, state and state[:half], present)  # [R, B, T, U]
        context = self.decoder.first.project(read[:, :, -1:])  # [R, B, 1, 4U]
        repeated = context.expand(-1, -1, self.n_out, -1)  # [R, B, n_out, 4U]
        hidden, decoded = self.decoder.recur(repeated, state and state[half:])  # [R, B, n_out, U]
        return self.dense(hidden), encoded + decoded  # [R, B, n_out, V]

    def cell_states(self, state: State) -> State:
        """Returns the cell states among its states, one [R, B, U] a layer."""
        return cells(state)
