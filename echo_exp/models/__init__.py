"""The networks, one topology a file; each is a plain module that anybody could train.

A model takes a batch and a state and returns outputs and the state after them:
``forward(x, state, present) -> (outputs, state)``; without a state it begins at zero. Nothing is
remembered between calls; ``stateful`` says whether whoever calls it should carry the
state from batch to batch. Every tensor has a leading replica axis R: independently seeded copies of
the network that share nothing but the program.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from echo_exp.models.attention import Attention
from echo_exp.models.encoder_decoder import EncoderDecoder
from echo_exp.models.gru import GRU
from echo_exp.models.lstm import LSTM, State
from echo_exp.models.many_to_one import ManyToOne
from echo_exp.models.min_gru import MinGRU
from echo_exp.models.one_to_one import OneToOne
from echo_exp.models.selective_ssm import SelectiveSSM
from echo_exp.models.seq2seq import Seq2Seq
from echo_exp.models.shown import Gated
from echo_exp.models.ssm import SSM
from echo_exp.models.transformer import Transformer

__all__ = [
    "GRU",
    "LSTM",
    "SSM",
    "Attention",
    "EncoderDecoder",
    "Gated",
    "ManyToOne",
    "MinGRU",
    "Model",
    "OneToOne",
    "SelectiveSSM",
    "Seq2Seq",
    "State",
    "Transformer",
    "WithAttention",
    "WithCells",
    "WithGates",
    "WithTeacher",
]


class Model(Protocol):
    """What `EchoModule` asks of a network."""

    stateful: bool
    """Whether the state is carried from batch to batch of a sequence."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Returns what is trained, each parameter [R, ...]."""

    def __call__(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Returns the outputs [R, B, n_out, V] of a batch and the state after it.

        Args:
            x: [R, B, T, F] features or [R, B, T] categories.
            state: What it returned for the batch before; None begins at zero.
            present: [R, B, T], False at the timesteps to skip; None skips none.
        """


@runtime_checkable
class WithCells(Protocol):
    """A network that says which of its states are cells: sums that a tanh reads, as in an LSTM.

    Only of these is told how many are saturated.
    """

    def cell_states(self, state: State) -> State:
        """Returns the cell states among the states that it returned, each [R, B, U]."""


@runtime_checkable
class WithTeacher(Protocol):
    """A network that may be told the right answers while it is trained."""

    teacher: bool
    """Whether it is to be told."""

    def taught(
        self, x: Tensor, state: State | None, present: Tensor | None, right: Tensor
    ) -> tuple[Tensor, State]:
        """Returns what a call does, the right answer before each answer being known.

        Args:
            x: As in a call.
            state: As in a call.
            present: As in a call.
            right: The right answers as the representation has them, [R, B, n_out, F] features or
                [R, B, n_out] categories.
        """


@runtime_checkable
class WithGates(Protocol):
    """A network that shows the hidden states and gates of its layers, where these are no LSTMs."""

    def gates(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> Mapping[str, Gated]:
        """Returns what each layer does in a batch, by the layer's name; arguments as it is called.

        A layer reads the window, or writes the echo where its name begins with ``decoder``.
        """


@runtime_checkable
class WithAttention(Protocol):
    """A network that shows what it looks at: weights over the timesteps that it has read."""

    def attention(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> Mapping[str, Tensor]:
        """Returns the weights of each head by its name, [R, B, Q, T]; arguments as it is called.

        Q is the answers where the name begins with ``decoder``, else the timesteps of the window,
        each of which looks at others. The weights of one of them, over T timesteps, add up to 1.
        """
