"""The seq2seq network with gated recurrent units in place of the LSTM."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from echo_exp import settings
from echo_exp.models import initializers
from echo_exp.models.dense import Dense, project
from echo_exp.models.gru_recurrences import reset_after, reset_before
from echo_exp.models.recurrent import Recurrent
from echo_exp.models.seq2seq import answered
from echo_exp.models.shown import Gated, gated

AFTER, BEFORE = "after", "before"


class GRU(Recurrent):
    """GRU layers returning every timestep, then a dense layer applied at each.

    For the arguments of every network see `~echo_exp.models.layered.Layered`.

    Args:
        reset: Whether the reset gate acts ``after`` the product with the recurrent kernel or
            ``before`` it, see `GRULayer`.

    Raises:
        SettingError: A setting is not allowed.
    """

    kind = "gru"

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
        reset: str = AFTER,
        stateful: bool = True,
        padding: str | None = None,
    ) -> None:
        super().__init__(units, layers, stateful)
        settings.choice("model.reset", reset, (AFTER, BEFORE))
        self.answers = answered(n_in, n_out, padding)
        generators = initializers.generators(seeds)
        widths = [n_features] + [units] * (layers - 1)  # what each layer reads
        self.layers = nn.ModuleList(GRULayer(w, units, generators, reset) for w in widths)
        self.dense = Dense(units, n_outputs, generators)


class GRULayer(nn.Module):
    """Gated recurrent units (Cho et al. 2014): two gates, and no cell beside the hidden state.

    With the gates z and r, sigmoids of the input and the hidden state, at each timestep::

        h = z * h_before + (1 - z) * candidate

    Cho et al. (Keras' ``GRU(reset_after=False)``) apply r before the product with the recurrent
    kernel::

        candidate = tanh(x @ W + (r * h_before) @ U + b)

    Keras' default, PyTorch and cuDNN apply it after, so that one product serves the gates and the
    candidate; it has a bias of its own::

        candidate = tanh(x @ W + b + r * (h_before @ U + c))

    The gates are in Keras' order: update (z), reset (r), candidate.

    Args:
        n_features: Features of the input (F), or number of categories for an input of integers.
        units: Size of the hidden state (U).
        generators: One per replica; the initial weights are drawn from them.
        reset: ``after`` or ``before`` the product.
    """

    def __init__(
        self,
        n_features: int,
        units: int,
        generators: initializers.Generators,
        reset: str = AFTER,
    ) -> None:
        super().__init__()
        self.units, self.reset = units, reset
        self.kernel = initializers.glorot_uniform(n_features, 3 * units, generators)  # [R, F, 3U]
        self.recurrent_kernel = initializers.orthogonal(units, 3 * units, generators)  # [R, U, 3U]
        self.bias = initializers.zeros(3 * units, generators)  # [R, 1, 3U]
        if reset == AFTER:
            self.recurrent_bias = initializers.zeros(3 * units, generators)  # [R, 1, 3U]

    def forward(
        self, x: Tensor, hidden: Tensor | None = None, present: Tensor | None = None
    ) -> Tensor:
        """Runs the layer over a window.

        Args:
            x: [R, B, T, F] features, or [R, B, T] integers, each a category out of F.
            hidden: The hidden state before, [R, B, U]; zero if not given.
            present: [R, B, T], False where a timestep leaves the state untouched.

        Returns:
            The hidden states of all timesteps, [R, B, T, U].
        """
        projected = project(x, self.kernel)  # [R, B, T, 3U]
        if torch.compiler.is_exporting():
            return self.unrolled(projected, hidden, present)
        weights = (self.recurrent_kernel, self.bias)
        if self.reset == AFTER:
            return reset_after(projected, *weights, self.recurrent_bias, hidden, present)
        return reset_before(projected, *weights, hidden, present)

    def unrolled(
        self, projected: Tensor, hidden: Tensor | None = None, present: Tensor | None = None
    ) -> Tensor:
        """Runs over projected inputs timestep by timestep, as the layer is defined.

        It computes the same as `forward`, for graphs that cannot have a hand-written backward.

        Args:
            projected: [R, B, T, 3U].
            hidden: The hidden state before, [R, B, U]; zero if not given.
            present: [R, B, T], False where a timestep leaves the state untouched.

        Returns:
            The hidden states of all timesteps, [R, B, T, U].
        """
        steps = self._steps(projected, hidden, present)
        return torch.stack([hidden for hidden, *_ in steps], 2)

    def shown(self, x: Tensor, hidden: Tensor | None, present: Tensor | None) -> Gated:
        """Returns the hidden states and the gates ``update`` (z) and ``reset`` (r) in a window.

        Args:
            x: As in `forward`.
            hidden: The hidden state before, [R, B, U]; zero if not given.
            present: [R, B, T], False where a timestep leaves the state untouched.
        """
        hiddens, z, r = (  # [R, B, T, U]
            torch.stack(each, 2)
            for each in zip(*self._steps(project(x, self.kernel), hidden, present), strict=True)
        )
        return gated(hiddens, hidden, {"update": z, "reset": r})

    def _steps(
        self, projected: Tensor, hidden: Tensor | None, present: Tensor | None
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yields the hidden state and the two gates, z and r, of each timestep, [R, B, U] each."""
        if hidden is None:
            hidden = projected.new_zeros(*projected.shape[:2], self.units)  # [R, B, U]
        step = self._reset_after if self.reset == AFTER else self._reset_before
        for t, now in enumerate((projected + self.bias.unsqueeze(1)).unbind(2)):  # [R, B, 3U]
            new, z, r = step(now, hidden)  # [R, B, U]
            hidden = new if present is None else new.where(present[:, :, t, None], hidden)
            yield hidden, z, r

    def _reset_after(self, now: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns h, z and r of a timestep, [R, B, 3U] and [R, B, U] -> [R, B, U] each."""
        kept = torch.baddbmm(self.recurrent_bias, hidden, self.recurrent_kernel)  # [R, B, 3U]
        sizes = (2 * self.units, self.units)
        (gates, new), (gates_kept, new_kept) = now.split(sizes, -1), kept.split(sizes, -1)
        z, r = (gates + gates_kept).sigmoid().chunk(2, -1)  # [R, B, U]
        return torch.lerp(torch.addcmul(new, r, new_kept).tanh(), hidden, z), z, r

    def _reset_before(self, now: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns h, z and r of a timestep, [R, B, 3U] and [R, B, U] -> [R, B, U] each."""
        sizes = (2 * self.units, self.units)
        gates, new = now.split(sizes, -1)  # [R, B, 2U], [R, B, U]
        to_gates, to_new = self.recurrent_kernel.split(sizes, -1)  # [R, U, 2U], [R, U, U]
        z, r = torch.baddbmm(gates, hidden, to_gates).sigmoid().chunk(2, -1)  # [R, B, U]
        return torch.lerp(torch.baddbmm(new, r * hidden, to_new).tanh(), hidden, z), z, r
