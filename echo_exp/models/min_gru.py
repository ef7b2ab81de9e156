"""The seq2seq network with minimal gated recurrent units, whose state is a linear recurrence."""

from collections.abc import Sequence

from torch import Tensor, nn

from echo_exp.models import initializers
from echo_exp.models.dense import Dense, project
from echo_exp.models.recurrent import Recurrent
from echo_exp.models.scan import scan
from echo_exp.models.seq2seq import answered
from echo_exp.models.shown import Gated, gated


class MinGRU(Recurrent):
    """Layers of minimal GRUs returning every timestep, then a dense layer applied at each.

    For the arguments of every network see `~echo_exp.models.layered.Layered`.

    Raises:
        SettingError: A setting is not allowed.
    """

    kind = "min_gru"

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
        padding: str | None = None,
    ) -> None:
        super().__init__(units, layers, stateful)
        self.answers = answered(n_in, n_out, padding)
        generators = initializers.generators(seeds)
        widths = [n_features] + [units] * (layers - 1)  # what each layer reads
        self.layers = nn.ModuleList(MinGRULayer(width, units, generators) for width in widths)
        self.dense = Dense(units, n_outputs, generators)


class MinGRULayer(nn.Module):
    """Minimal GRU (Feng et al. 2024): the gate and the candidate read the input only.

    At each timestep::

        h = (1 - z) * h_before + z * candidate
        z = sigmoid(x @ W + b),  candidate = x @ V + c

    So each state depends linearly on the one before, and a scan computes all timesteps at once. The
    paper scans logarithms and therefore has to make the candidate positive; this scan need not.

    Args:
        n_features: Features of the input (F), or number of categories for an input of integers.
        units: Size of the hidden state (U).
        generators: One per replica; the initial weights are drawn from them.
    """

    def __init__(self, n_features: int, units: int, generators: initializers.Generators) -> None:
        super().__init__()
        self.kernel = initializers.glorot_uniform(n_features, 2 * units, generators)  # [R, F, 2U]
        self.bias = initializers.zeros(2 * units, generators)  # [R, 1, 2U]

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
        return self._run(x, hidden, present)[0]

    def shown(self, x: Tensor, hidden: Tensor | None, present: Tensor | None) -> Gated:
        """Returns the hidden states and the only gate, ``update`` (z), in a window.

        Args:
            x: As in `forward`.
            hidden: The hidden state before, [R, B, U]; zero if not given.
            present: [R, B, T], False where a timestep leaves the state untouched.
        """
        hiddens, z = self._run(x, hidden, present)
        return gated(hiddens, hidden, {"update": z})

    def _run(
        self, x: Tensor, hidden: Tensor | None, present: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Returns the hidden states and the gates of all timesteps, [R, B, T, U] each."""
        read = project(x, self.kernel) + self.bias.unsqueeze(1)  # [R, B, T, 2U]
        gate, candidate = read.chunk(2, -1)  # [R, B, T, U]
        z = gate.sigmoid()  # [R, B, T, U]
        if present is not None:
            z = z * present.unsqueeze(-1)
        return scan(1 - z, z * candidate, hidden), z
