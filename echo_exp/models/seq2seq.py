"""The tutorial's first network: an LSTM that answers at every timestep."""

from collections.abc import Sequence

from torch import Tensor

from echo_exp import settings
from echo_exp.models import initializers
from echo_exp.models.dense import Dense
from echo_exp.models.gate_biases import GateBiases
from echo_exp.models.lstm import State
from echo_exp.models.lstm_stack import LSTMNetwork, LSTMStack


class Seq2Seq(LSTMNetwork):
    """LSTM returning every timestep, then a dense layer applied at each.

    It echoes the whole window. To echo a part of it, the targets are padded to the length of the
    window; the answers at padded timesteps carry no weight and are not computed.

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
        padding: str | None = None,
    ) -> None:
        super().__init__(units, layers, stateful)
        self.answers = answered(n_in, n_out, padding)
        generators = initializers.generators(seeds)
        biases = GateBiases(forget_bias, chrono)
        self.lstm = LSTMStack(n_features, units, layers, generators, biases)
        self.dense = Dense(units, n_outputs, generators)

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
        hidden, state = self.lstm(x, state, present)  # [R, B, T, U]
        return self.dense(hidden[:, :, self.answers]), state  # [R, B, n_out, V]


def answered(n_in: int, n_out: int, padding: str | None) -> slice:
    """Returns the timesteps whose answers count, for a network that answers at every one.

    They are the same in windows of any length, counted from the beginning or from the end.

    Args:
        n_in: Timesteps of the input (T).
        n_out: Integers to echo.
        padding: On which side of the targets the padding is: ``post``, ``pre`` or None.

    Raises:
        SettingError: There is no such padding, or there is none and ``n_out`` is not ``n_in``.
    """
    settings.choice("model.padding", padding, (None, "post", "pre"))
    if padding is None and n_out != n_in:
        raise settings.SettingError(
            "problem.n_out",
            n_out,
            f"without padding this network answers at every timestep, so it must equal "
            f"problem.n_in={n_in}; model.padding=post (as in model=seq2seq_padded) or pre echoes "
            "fewer, as do networks that write the echo at the end",
        )
    return {None: slice(None), "post": slice(n_out), "pre": slice(-n_out, None)}[padding]
