"""A network of one's own: a gated recurrent unit (Cho et al. 2014) that answers at the end."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from echo_exp.models import State, initializers
from echo_exp.models.dense import Dense


class GRU(nn.Module):
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
        self.stateful, self.n_features, self.n_out, self.units = stateful, n_features, n_out, units
        generators = initializers.generators(seeds)
        self.kernel = initializers.glorot_uniform(n_features, 3 * units, generators)  # [R, F, 3U]
        self.recurrent = initializers.orthogonal(units, 3 * units, generators)  # [R, U, 3U]
        self.bias = initializers.zeros(3 * units, generators)  # [R, 1, 3U]
        self.dense = Dense(units, n_outputs, generators)

    def forward(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """[R, B, T, F], or [R, B, T] categories -> [R, B, n_out, V] and the hidden state."""
        if not x.is_floating_point():
            x = nn.functional.one_hot(x, self.n_features).float()  # [R, B, T, F]
        hidden = state[0] if state else x.new_zeros(*x.shape[:2], self.units)  # [R, B, U]
        hiddens = []
        for t in range(x.shape[2]):
            read = x[:, :, t] @ self.kernel + self.bias  # [R, B, 3U]
            kept = hidden @ self.recurrent  # [R, B, 3U]
            (z, r, new), (z_kept, r_kept, new_kept) = read.chunk(3, -1), kept.chunk(3, -1)
            update, reset = (z + z_kept).sigmoid(), (r + r_kept).sigmoid()  # [R, B, U]
            new = torch.tanh(new + reset * new_kept)  # [R, B, U]
            after = torch.lerp(new, hidden, update)  # [R, B, U]
            hidden = after if present is None else after.where(present[:, :, t, None], hidden)
            hiddens.append(hidden)
        return self.dense(torch.stack(hiddens[-self.n_out :], 2)), (hidden,)
