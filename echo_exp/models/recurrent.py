"""Networks of recurrent layers without cell states, which answer at every timestep."""

from collections.abc import Sequence
from typing import ClassVar, Protocol, cast

from torch import Tensor, nn

from echo_exp.models.dense import Dense
from echo_exp.models.layered import Layered
from echo_exp.models.lstm import State
from echo_exp.models.shown import Gated, names


class RecurrentLayer(Protocol):
    """A layer that returns its hidden states, and shows what it does in a window."""

    def __call__(
        self, x: Tensor, hidden: Tensor | None = None, present: Tensor | None = None
    ) -> Tensor:
        """Returns the hidden states of all timesteps, [R, B, T, U].

        Args:
            x: [R, B, T, F] features or [R, B, T] categories.
            hidden: The hidden state before, [R, B, U]; zero if not given.
            present: [R, B, T], False where a timestep leaves the state untouched.
        """

    def shown(self, x: Tensor, hidden: Tensor | None, present: Tensor | None) -> Gated:
        """Returns its hidden states and gates; the arguments are those of a call."""


class Recurrent(Layered):
    """Stacked layers, then a dense layer at each timestep that is answered.

    A subclass sets ``answers``, ``layers`` and ``dense``.
    """

    kind: ClassVar[str]
    """The name of its layers."""
    answers: slice
    layers: nn.ModuleList
    dense: Dense

    def forward(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Answers a batch of windows.

        Args:
            x: [R, B, T, F] features or [R, B, T] categories.
            state: Hidden state of each layer, [R, B, U]; zero if not given.
            present: [R, B, T], False at the timesteps to skip.

        Returns:
            Outputs [R, B, n_out, V] and the states after the last timestep.
        """
        after: State = ()
        for layer, before in zip(self._layers, state or [None] * len(self.layers), strict=True):
            x = layer(x, before, present)  # [R, B, T, U]
            after += (x[:, :, -1],)  # [R, B, U]
        return self.dense(x[:, :, self.answers]), after  # [R, B, n_out, V]

    def gates(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> dict[str, Gated]:
        """Returns the hidden states and gates of each layer by its name: ``gru``, ``gru 2``.

        The arguments are those of `forward`.
        """
        found: dict[str, Gated] = {}
        befores = state or [None] * len(self.layers)
        each = zip(names(self.kind, len(self.layers)), self._layers, befores, strict=True)
        for name, layer, before in each:
            found[name] = layer.shown(x, before, present)
            x = found[name].hidden[:, :, 1:]  # [R, B, T, U]
        return found

    @property
    def _layers(self) -> Sequence[RecurrentLayer]:
        return cast("Sequence[RecurrentLayer]", self.layers)
