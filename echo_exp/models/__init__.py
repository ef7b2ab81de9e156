"""The networks, one topology per file; each is a plain module that anybody could train.

A model takes a batch and a state, and returns the outputs and the state after the batch:
``forward(x, state, present) -> (outputs, state)``. Without a state it starts at zero. It remembers
nothing between calls; ``stateful`` tells the caller whether to carry the state from batch to batch.
Every tensor has a leading replica axis R: independently seeded copies of the network, computed
together.
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
    """The interface of a network, as `EchoModule` uses it."""

    stateful: bool
    """Whether the state is carried from batch to batch of a sequence."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Returns the trained parameters, each [R, ...]."""

    def __call__(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Returns the outputs [R, B, n_out, V] of a batch and the state after it.

        Args:
            x: [R, B, T, F] features or [R, B, T] categories.
            state: The state after the batch before; None starts at zero.
            present: [R, B, T], False at the timesteps to skip; None skips none.
        """


@runtime_checkable
class WithCells(Protocol):
    """A network with cell states: sums that pass through a tanh, as in an LSTM.

    Saturation is measured for these only.
    """

    def cell_states(self, state: State) -> State:
        """Returns the cell states among the states that a call returned, each [R, B, U]."""


@runtime_checkable
class WithTeacher(Protocol):
    """A network that can read the right answers in training: teacher forcing."""

    teacher: bool
    """Whether it is to read them."""

    def taught(
        self, x: Tensor, state: State | None, present: Tensor | None, right: Tensor
    ) -> tuple[Tensor, State]:
        """Does what a call does, but reads the right previous answer before it gives the next.

        Args:
            x: As in a call.
            state: As in a call.
            present: As in a call.
            right: The right answers as the representation encodes them, [R, B, n_out, F] features
                or [R, B, n_out] categories.

        Returns:
            What a call returns.
        """


@runtime_checkable
class WithGates(Protocol):
    """A network that shows the hidden states and gates of its layers that are not LSTMs."""

    def gates(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> Mapping[str, Gated]:
        """Returns the hidden states and gates of each layer in a batch, by the layer's name.

        The arguments are those of a call. A layer whose name starts with ``decoder`` writes the
        echo; any other layer reads the window.
        """


@runtime_checkable
class WithAttention(Protocol):
    """A network that shows its attention: weights over the timesteps that it has read."""

    def attention(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> Mapping[str, Tensor]:
        """Returns the attention weights of each head, [R, B, Q, T], by its name.

        The arguments are those of a call. The Q queries are the answers if the name starts with
        ``decoder``, otherwise the timesteps of the window. The weights of a query over the T
        timesteps add up to 1.
        """
