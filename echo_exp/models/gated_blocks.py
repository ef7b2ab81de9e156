"""Residual blocks of a recurrence and a gated layer: the body of the state-space networks."""

from collections.abc import Sequence
from typing import ClassVar, Protocol, cast

from torch import Tensor, nn
from torch.nn import functional

from echo_exp.models import initializers
from echo_exp.models.dense import Dense, project
from echo_exp.models.layered import Layered
from echo_exp.models.lstm import State
from echo_exp.models.norm import Norm
from echo_exp.models.shown import Gated, names

MOST_STATES = 4096
"""The most states of a block (`SSM`), or of each of its units (`SelectiveSSM`)."""


class Recurrence(Protocol):
    """The interface of a block's recurrence."""

    def __call__(
        self, x: Tensor, state: Tensor | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Runs the recurrence over a window.

        Args:
            x: [R, B, T, U].
            state: The state before, [R, B, ...]; zero if not given.
            present: [R, B, T], False where a timestep leaves the state untouched.

        Returns:
            The outputs, [R, B, T, U], and the state after the last timestep, [R, B, ...].
        """

    def shown(self, x: Tensor, state: Tensor | None, present: Tensor | None) -> Gated:
        """Returns its states in a window and what it keeps of them; arguments as in a call."""


class GatedBlocks(nn.Module):
    """Stacked blocks, then a dense layer at each timestep.

    The output of a block with the input x is::

        x + (y @ V + c) * sigmoid(y @ W + b),  y = gelu(recurrence(norm(x)))

    This is the block of S4D and of the LRU (Gu et al. 2022, Orvieto et al. 2023).

    Args:
        n_features: Features, or categories, of an input timestep (F).
        n_outputs: Outputs for one integer (V for one-hot integers).
        units: Width of each block (U).
        recurrences: One per block (L of them).
        generators: One per replica; the initial weights are drawn from them.
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        units: int,
        recurrences: Sequence[nn.Module],
        generators: initializers.Generators,
    ) -> None:
        super().__init__()
        self.kernel = initializers.glorot_uniform(n_features, units, generators)  # [R, F, U]
        self.bias = initializers.zeros(units, generators)  # [R, 1, U]
        self.blocks = nn.ModuleList(GatedBlock(units, each, generators) for each in recurrences)
        self.norm = Norm(units, generators)
        self.dense = Dense(units, n_outputs, generators)

    def forward(
        self, x: Tensor, answers: slice, state: State | None, present: Tensor | None
    ) -> tuple[Tensor, State]:
        """Runs all blocks over a window.

        Args:
            x: [R, B, T, F] features or [R, B, T] categories.
            answers: The timesteps that are answered, n_out of them.
            state: The state of each block, [R, B, ...]; zero if not given.
            present: [R, B, T], False at the timesteps to skip.

        Returns:
            Outputs [R, B, n_out, V] and the states after the last timestep.
        """
        x = project(x, self.kernel) + self.bias.unsqueeze(1)  # [R, B, T, U]
        after: State = ()
        for block, before in zip(self.blocks, state or [None] * len(self.blocks), strict=True):
            x, last = block(x, before, present)  # [R, B, T, U], [R, B, ...]
            after += (last,)
        return self.dense(self.norm(x[:, :, answers])), after  # [R, B, n_out, V]

    def shown(self, x: Tensor, state: State | None, present: Tensor | None) -> list[Gated]:
        """Returns what the recurrence of each block does in a window; arguments as in `forward`."""
        x = project(x, self.kernel) + self.bias.unsqueeze(1)  # [R, B, T, U]
        blocks = cast("Sequence[GatedBlock]", self.blocks)
        found = []
        for block, before in zip(blocks, state or [None] * len(blocks), strict=True):
            found.append(block.shown(x, before, present))
            x, _ = block(x, before, present)  # [R, B, T, U]
        return found


class GatedNetwork(Layered):
    """A network of gated blocks that answers at every timestep.

    A subclass sets ``answers`` and ``body``.
    """

    kind: ClassVar[str]
    """The name of its blocks."""
    answers: slice
    body: GatedBlocks

    def forward(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Answers a batch of windows.

        Args:
            x: [R, B, T, F] features or [R, B, T] categories.
            state: The state of each block, [R, B, ...]; zero if not given.
            present: [R, B, T], False at the timesteps to skip.

        Returns:
            Outputs [R, B, n_out, V] and the states after the last timestep.
        """
        outputs: tuple[Tensor, State] = self.body(x, self.answers, state, present)
        return outputs

    def gates(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> dict[str, Gated]:
        """Returns the states of each block by its name, such as ``ssm`` and ``ssm 2``.

        What a block keeps of its states is shown as a gate. The arguments are those of `forward`.
        """
        found = self.body.shown(x, state, present)
        return dict(zip(names(self.kind, len(found)), found, strict=True))


class GatedBlock(nn.Module):
    """One block of `GatedBlocks`.

    Args:
        units: Its width (U).
        recurrence: Its recurrence.
        generators: One per replica; the initial weights are drawn from them.
    """

    def __init__(
        self, units: int, recurrence: nn.Module, generators: initializers.Generators
    ) -> None:
        super().__init__()
        self.norm = Norm(units, generators)
        self.recurrence = recurrence
        self.gated = Dense(units, 2 * units, generators)

    def forward(
        self, x: Tensor, state: Tensor | None, present: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Runs the block over a window.

        Args:
            x: [R, B, T, U].
            state: The state of the recurrence before, [R, B, ...]; None is zero.
            present: [R, B, T], False at the timesteps to skip.

        Returns:
            The outputs, [R, B, T, U], and the state after the last timestep, [R, B, ...].
        """
        y, after = self.recurrence(self.norm(x), state, present)  # [R, B, T, U], [R, B, ...]
        return x + functional.glu(self.gated(functional.gelu(y)), -1), after

    def shown(self, x: Tensor, state: Tensor | None, present: Tensor | None) -> Gated:
        """Returns what its recurrence does in a window; the arguments are those of `forward`."""
        return cast("Recurrence", self.recurrence).shown(self.norm(x), state, present)
