"""The tutorial's second network: one LSTM reads the window, another writes the echo."""

from collections.abc import Sequence

from torch import Tensor

from echo_exp.models import initializers
from echo_exp.models.dense import Dense
from echo_exp.models.gate_biases import GateBiases
from echo_exp.models.lstm import State
from echo_exp.models.lstm_stack import LSTMNetwork, LSTMStack


class EncoderDecoder(LSTMNetwork):
    """The encoder's last output, repeated, is the decoder's input at each of n_out timesteps.

    For the arguments of every network see `~echo_exp.models.layered.Layered`.

    Args:
        decoder_forget_bias: The decoder's ``forget_bias``; that without prefix is the encoder's.
        decoder_chrono: The decoder's ``chrono``.

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
        super().__init__(units, layers, stateful)
        self.n_out = n_out
        generators = initializers.generators(seeds)
        encoder_biases = GateBiases(forget_bias, chrono)
        decoder_biases = GateBiases(decoder_forget_bias, decoder_chrono, part="decoder_")
        self.encoder = LSTMStack(n_features, units, layers, generators, encoder_biases)
        self.decoder = LSTMStack(units, units, layers, generators, decoder_biases)
        self.dense = Dense(units, n_outputs, generators)

    def forward(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Answers a batch of windows.

        Args:
            x: [R, B, T, F] features or [R, B, T] categories.
            state: Hidden and cell state of each layer of the encoder, then of the decoder, each
                [R, B, U]; zero if not given.
            present: [R, B, T], False at the timesteps that the encoder is to skip.

        Returns:
            Outputs [R, B, n_out, V] and the states after the last timesteps.
        """
        half = self.encoder.n_states
        read, encoded = self.encoder(x, state and state[:half], present)  # [R, B, T, U]
        context = self.decoder.first.project(read[:, :, -1:])  # [R, B, 1, 4U]
        repeated = context.expand(-1, -1, self.n_out, -1)  # [R, B, n_out, 4U]
        hidden, decoded = self.decoder.recur(repeated, state and state[half:])  # [R, B, n_out, U]
        return self.dense(hidden), encoded + decoded  # [R, B, n_out, V]
