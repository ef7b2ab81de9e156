"""A network of one's own: a simple recurrent network (Elman 1990) that answers at the end."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from echo_exp.models import State, initializers
from echo_exp.models.dense import Dense, project


class Elman(nn.Module):
    """Reads the window; its hidden states at the last ``n_out`` timesteps are the answers."""

    def __init__(
        self,
        *,
        n_features: int,
        n_outputs: int,
        n_in: int,
        n_out: int,
        seeds: Sequence[int],
        units: int,
        stateful: bool = True,
    ) -> None:
        super().__init__()
        self.stateful, self.n_out, self.units = stateful, n_out, units
        generators = initializers.generators(seeds)
        self.kernel = initializers.glorot_uniform(n_features, units, generators)  # [R, F, U]
        self.recurrent = initializers.orthogonal(units, units, generators)  # [R, U, U]
        self.bias = initializers.zeros(units, generators)  # [R, 1, U]
        self.dense = Dense(units, n_outputs, generators)

    def forward(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """[R, B, T, F], or [R, B, T] categories -> [R, B, n_out, V] and the hidden state."""
        read = project(x, self.kernel)  # [R, B, T, U]
        hidden = state[0] if state else torch.zeros_like(read[:, :, 0])  # [R, B, U]
        hiddens = []
        for t, now in enumerate(read.unbind(2)):  # [R, B, U]
            after = torch.tanh(now + hidden @ self.recurrent + self.bias)  # [R, B, U]
            hidden = after if present is None else after.where(present[:, :, t, None], hidden)
            hiddens.append(hidden)
        return self.dense(torch.stack(hiddens[-self.n_out :], 2)), (hidden,)
