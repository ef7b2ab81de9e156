"""Stacked LSTM layers, and the networks that they make."""

from torch import Tensor, nn

from echo_exp.models import initializers
from echo_exp.models.gate_biases import UNIT_FORGET, GateBiases
from echo_exp.models.layered import Layered
from echo_exp.models.lstm import LSTM, State


class LSTMStack(nn.Module):
    """Stacked LSTM layers; each reads the hidden states of the one below it.

    Args:
        n_features: Features, or categories, of the input (F).
        units: Units of each layer (U).
        layers: Number of layers (L).
        generators: One per replica; the initial weights are drawn from them.
        biases: Initial biases of the gates of each layer.
    """

    def __init__(
        self,
        n_features: int,
        units: int,
        layers: int,
        generators: initializers.Generators,
        biases: GateBiases = UNIT_FORGET,
    ) -> None:
        super().__init__()
        self.first = LSTM(n_features, units, generators, biases)
        self.others = nn.ModuleList(
            LSTM(units, units, generators, biases) for _ in range(layers - 1)
        )

    @property
    def n_states(self) -> int:
        """The number of tensors of a state: the hidden and the cell state of each layer."""
        return 2 * (1 + len(self.others))

    def forward(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Runs all layers over a window.

        Args:
            x: [R, B, T, F] features, or [R, B, T] integers, each a category out of F.
            state: Hidden and cell state of each layer in turn, 2L tensors [R, B, U]; zero if not
                given.
            present: [R, B, T], False where a timestep leaves all states untouched.

        Returns:
            The hidden states of the highest layer, [R, B, T, U], and the states after the last
            timestep.
        """
        return self.recur(self.first.project(x), state, present)

    def recur(
        self, projected: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Runs all layers, as `forward` does, over the projected input of the lowest.

        Args:
            projected: [R, B, T, 4U].
            state: As in `forward`.
            present: As in `forward`.

        Returns:
            What `forward` returns.
        """
        hidden, after = self.first.recur(projected, state and state[:2], present)  # [R, B, T, U]
        for number, layer in enumerate(self.others, start=1):
            before = state and state[2 * number : 2 * number + 2]
            hidden, above = layer(hidden, before, present)  # [R, B, T, U]
            after += above
        return hidden, after


class LSTMNetwork(Layered):
    """A network of LSTM layers, whose states are the hidden and cell state of each in turn."""

    def cell_states(self, state: State) -> State:
        """Returns the cell states among its states, one per layer, each [R, B, U]."""
        return state[1::2]
