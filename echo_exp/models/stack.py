"""LSTM layers on top of one another."""

from torch import Tensor, nn

from echo_exp import settings
from echo_exp.models import initializers
from echo_exp.models.gate_biases import UNIT_FORGET, GateBiases
from echo_exp.models.lstm import LSTM, MOST_UNITS, State
from echo_exp.models.shown import Gated, names

MOST_LAYERS = 64


class Stack(nn.Module):
    """Each layer reads the hidden states of the one below it.

    Args:
        n_features: Features, or categories, of the input (F).
        units: Units of each layer (U).
        layers: Number of layers (L).
        generators: One a replica; the initial weights are drawn from them.
        biases: What the gates of each layer begin with.

    Raises:
        SettingError: ``model.units`` or ``model.layers`` is not allowed.
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
        check_sizes(units, layers)
        self.first = LSTM(n_features, units, generators, biases)
        self.others = nn.ModuleList(
            LSTM(units, units, generators, biases) for _ in range(layers - 1)
        )

    def forward(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Runs all layers over a window.

        Args:
            x: [R, B, T, F] features, or [R, B, T] integers, each a category out of F.
            state: Hidden and cell state of each layer in turn, 2L tensors [R, B, U]; zero where not
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
        """Runs over what the lowest layer has projected, [R, B, T, 4U], as `forward` does."""
        hidden, after = self.first.recur(projected, state and state[:2], present)  # [R, B, T, U]
        for number, layer in enumerate(self.others, start=1):
            before = state and state[2 * number : 2 * number + 2]
            hidden, above = layer(hidden, before, present)
            after += above
        return hidden, after


def check_sizes(units: int, layers: int) -> None:
    """Checks the sizes that all networks with layers have.

    Raises:
        SettingError: ``model.units`` or ``model.layers`` is not allowed.
    """
    settings.integer("model.units", units, 1, MOST_UNITS)
    settings.integer("model.layers", layers, 1, MOST_LAYERS)


def run(
    layers: nn.ModuleList, x: Tensor, state: State | None, present: Tensor | None
) -> tuple[Tensor, State]:
    """Runs layers whose state is their hidden one over a window, each on top of the one before.

    Args:
        layers: L of them, each [R, B, T, F] -> [R, B, T, U].
        x: [R, B, T, F] features, or [R, B, T] integers, each a category out of F.
        state: Hidden state of each layer, [R, B, U]; zero where not given.
        present: [R, B, T], False where a timestep leaves all states untouched.

    Returns:
        The hidden states of the highest layer, [R, B, T, U], and those of all layers after the
        last timestep.
    """
    after: State = ()
    for layer, before in zip(layers, state or [None] * len(layers), strict=True):
        x = layer(x, before, present)  # [R, B, T, U]
        after += (x[:, :, -1],)  # [R, B, U]
    return x, after


def shown(
    kind: str, layers: nn.ModuleList, x: Tensor, state: State | None, present: Tensor | None
) -> dict[str, Gated]:
    """Returns what each of the layers does when they are `run`, by names that begin with a kind."""
    found: dict[str, Gated] = {}
    befores = state or [None] * len(layers)
    for name, layer, before in zip(names(kind, len(layers)), layers, befores, strict=True):
        found[name] = layer.shown(x, before, present)  # type: ignore[operator]
        x = found[name].hidden[:, :, 1:]  # [R, B, T, U]
    return found
