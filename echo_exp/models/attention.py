"""The encoder-decoder with attention: for each answer, the decoder weighs all that was read."""

from collections.abc import Sequence

import torch
from torch import Tensor

from echo_exp import settings
from echo_exp.models import initializers
from echo_exp.models.dense import Dense, project
from echo_exp.models.lstm import State
from echo_exp.models.lstm_stack import LSTMNetwork, LSTMStack

OWN, TEACHER = "own", "teacher"


class Attention(LSTMNetwork):
    """An encoder and a decoder of LSTM layers with additive attention (Bahdanau et al. 2015).

    With h_1 ... h_T the encoder's outputs and s the decoder's last hidden state, the decoder's
    input for the next output is the context::

        score_t = tanh(s @ W + h_t @ U) @ v
        context = sum over t of softmax(score)_t * h_t

    Unlike the paper's, the encoder reads in one direction only. With ``feedback`` the decoder, like
    the paper's, reads the previous answer beside the context: a learnt vector for each integer or,
    if answers are numbers, one learnt vector times the number. Before the first answer it reads
    zero. No gradient flows through an answer that is read.

    For the arguments of every network see `~echo_exp.models.layered.Layered`.

    Args:
        feedback: Which previous answer the decoder reads in training: None, its ``own``, or the
            right one, from a ``teacher`` (Williams & Zipser 1989). After training it reads its own.

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
        feedback: str | None = None,
    ) -> None:
        super().__init__(units, layers, stateful)
        settings.choice("model.feedback", feedback, (None, OWN, TEACHER))
        self.n_out, self.teacher = n_out, feedback == TEACHER
        generators = initializers.generators(seeds)
        self.encoder = LSTMStack(n_features, units, layers, generators)
        reads = units if feedback is None else 2 * units
        self.decoder = LSTMStack(reads, units, layers, generators)
        self.query_kernel = initializers.glorot_uniform(units, units, generators)  # [R, U, U]
        self.key_kernel = initializers.glorot_uniform(units, units, generators)  # [R, U, U]
        self.score_kernel = initializers.glorot_uniform(units, 1, generators)  # [R, U, 1]
        self.dense = Dense(units, n_outputs, generators)
        self.answer_kernel = (
            None
            if feedback is None
            else initializers.glorot_uniform(n_outputs, units, generators)  # [R, V, U]
        )

    def forward(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Answers a batch of windows.

        Args:
            x: [R, B, T, F] features or [R, B, T] categories.
            state: Hidden and cell state of each layer of the encoder, then of the decoder, each
                [R, B, U]; zero if not given.
            present: [R, B, T], False at the timesteps that are neither read nor attended to.

        Returns:
            Outputs [R, B, n_out, V] and the states after the last timesteps.
        """
        outputs, state, _ = self._answered(x, state, present)
        return outputs, state

    def taught(
        self, x: Tensor, state: State | None, present: Tensor | None, right: Tensor
    ) -> tuple[Tensor, State]:
        """Answers a batch of windows, and reads the right previous answer before each.

        Args:
            x: As in `forward`.
            state: As in `forward`.
            present: As in `forward`.
            right: The right answers, [R, B, n_out, F] features, of which the first V are used, or
                [R, B, n_out] categories.

        Returns:
            What `forward` returns.
        """
        outputs, state, _ = self._answered(x, state, present, right)
        return outputs, state

    def attention(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Returns the attention weights of each answer, [R, B, n_out, T], as ``decoder``."""
        return {"decoder": torch.stack(self._answered(x, state, present)[2], 2)}

    def _answered(
        self, x: Tensor, state: State | None, present: Tensor | None, right: Tensor | None = None
    ) -> tuple[Tensor, State, list[Tensor]]:
        """Returns what `forward` returns, and the attention weights of each answer, [R, B, T]."""
        half = self.encoder.n_states
        read, encoded = self.encoder(x, state and state[:half], present)  # [R, B, T, U]
        keys = project(read, self.key_kernel)  # [R, B, T, U]
        zero = torch.zeros_like(read[:, :, 0])  # [R, B, U]
        decoded = state[half:] if state else (zero,) * half
        previous = zero.unsqueeze(2)  # [R, B, 1, U]
        hiddens, looks = [], []
        for answer in range(self.n_out):
            weights = self.weights(keys, decoded[-2], present)  # [R, B, T]
            context = weights.unsqueeze(2) @ read  # [R, B, 1, U]
            if self.answer_kernel is not None:
                context = torch.cat([context, previous], -1)  # [R, B, 1, 2U]
            hidden, decoded = self.decoder(context, decoded)  # [R, B, 1, U]
            if self.answer_kernel is not None and answer < self.n_out - 1:
                known = self._own(hidden) if right is None else right[:, :, answer : answer + 1]
                previous = self._as_read(known, self.answer_kernel)  # [R, B, 1, U]
            hiddens.append(hidden)
            looks.append(weights)
        return self.dense(torch.cat(hiddens, 2)), encoded + decoded, looks

    def _own(self, hidden: Tensor) -> Tensor:
        """Returns its own answer, [R, B, 1, U] -> [R, B, 1, 1] a number or [R, B, 1] a category."""
        outputs: Tensor = self.dense(hidden).detach()  # [R, B, 1, V]
        return outputs if outputs.shape[-1] == 1 else outputs.argmax(-1)

    def _as_read(self, answer: Tensor, kernel: Tensor) -> Tensor:
        """Returns an answer as the decoder reads it, [R, B, 1, F] or [R, B, 1] -> [R, B, 1, U]."""
        features = answer[..., : kernel.shape[1]] if answer.is_floating_point() else answer
        return project(features, kernel)

    def weights(self, keys: Tensor, hidden: Tensor, present: Tensor | None = None) -> Tensor:
        """Returns the decoder's attention weights, [R, B, T], which add up to 1.

        Args:
            keys: The encoder's outputs times the key kernel, [R, B, T, U].
            hidden: The decoder's last hidden state, [R, B, U].
            present: [R, B, T], False at the timesteps that are not attended to.
        """
        query = torch.bmm(hidden, self.query_kernel)  # [R, B, U]
        seen = (keys + query.unsqueeze(2)).tanh_()  # [R, B, T, U]; two tensors fragment the heap
        scores = project(seen, self.score_kernel).squeeze(-1)  # [R, B, T]
        if present is not None:  # if no timestep is present, all weigh the same
            scores = scores.masked_fill(~present, torch.finfo(scores.dtype).min)
        return scores.softmax(-1)
