"""A causal transformer: each timestep attends to those before it, and no state is carried."""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from echo_exp import settings
from echo_exp.models import initializers
from echo_exp.models.dense import Dense, project
from echo_exp.models.layered import Layered
from echo_exp.models.lstm import State
from echo_exp.models.norm import Norm
from echo_exp.models.rotation import Rotation
from echo_exp.models.seq2seq import answered

NONE, SINUSOIDAL, LEARNED, ROTARY = POSITIONS = ("none", "sinusoidal", "learned", "rotary")


class Transformer(Layered):
    """Causal self-attention (Vaswani et al. 2017) in place of recurrent layers.

    It answers at every timestep, as `Seq2Seq` does. Each block normalises its input and adds to it
    (pre-norm, Xiong et al. 2020). Kernels start with Glorot's uniform initialisation, as in
    `torch.nn.Transformer`.

    ``position`` determines how it knows the place of a timestep in the window: ``sinusoidal``
    (Vaswani et al.) and ``learned`` vectors are added to the input, ``rotary`` turns queries and
    keys (Su et al. 2021), and with ``none`` only the causal mask tells timesteps apart.

    For the arguments of every network see `~echo_exp.models.layered.Layered`.

    Args:
        heads: Heads of the attention (H); must divide ``units``.
        position: How it knows the place of a timestep.
        stateful: Must be False: there is no state to carry.

    Raises:
        SettingError: A setting is not allowed.
    """

    angles: Tensor  # [T, D/2 or U/2]

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
        heads: int = 1,
        position: str = ROTARY,
        stateful: bool = False,
        padding: str | None = None,
    ) -> None:
        super().__init__(units, layers, stateful)
        _check(units, heads, position, stateful)
        self.answers = answered(n_in, n_out, padding)
        self.scale = math.sqrt(units)  # makes an input about as large as a sinusoid
        generators = initializers.generators(seeds)
        self.kernel = initializers.glorot_uniform(n_features, units, generators)  # [R, F, U]
        if position == LEARNED:
            self.place_kernel = initializers.glorot_uniform(n_in, units, generators)  # [R, T, U]
        self.position = position
        self.width = units // heads if position == ROTARY else units
        self.register_buffer("angles", growing(n_in, self.width), persistent=False)
        self.blocks = nn.ModuleList(Block(units, heads, generators) for _ in range(layers))
        self.norm = Norm(units, generators)
        self.dense = Dense(units, n_outputs, generators)

    def forward(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Answers a batch of windows.

        Args:
            x: [R, B, T, F] features or [R, B, T] categories.
            state: Not used.
            present: [R, B, T], False at the timesteps that no other may attend to.

        Returns:
            Outputs [R, B, n_out, V] and no states.
        """
        x, seen, angles = self._placed(x, present)
        for block in self.blocks:
            x = block(x, seen, angles)  # [R, B, T, U]
        return self.dense(self.norm(x[:, :, self.answers])), ()  # [R, B, n_out, V]

    def attention(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Returns the attention weights between timesteps, [R, B, T, T], by block and head.

        The arguments are those of `forward`.
        """
        x, seen, angles = self._placed(x, present)
        found = {}
        blocks = cast("Sequence[Block]", self.blocks)
        for number, block in enumerate(blocks, start=1):
            for head, weights in enumerate(block.weights(x, seen, angles).unbind(2), start=1):
                found[f"block {number} head {head}"] = weights
            x = block(x, seen, angles)  # [R, B, T, U]
        return found

    def _placed(self, x: Tensor, present: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Returns the input of the lowest block, [R, B, T, U], and the blocks' other arguments."""
        x = project(x, self.kernel) * self.scale  # [R, B, T, U]
        angles = self._angles(x.shape[2])  # [T, D/2 or U/2]
        if self.position == SINUSOIDAL:
            x = x + torch.cat([angles.sin(), angles.cos()], -1)[:, : x.shape[-1]]
        if self.position == LEARNED:
            x = x + self.place_kernel.unsqueeze(1)  # [R, B, T, U]
        timesteps = torch.arange(x.shape[2], device=x.device)  # [T]
        seen = timesteps <= timesteps.unsqueeze(1)  # [T, T]: those that each may attend to
        if present is not None:  # a missing timestep sees itself, or it might see nothing
            seen = seen & (present.unsqueeze(2) | (timesteps == timesteps.unsqueeze(1)))
            seen = seen.unsqueeze(2)  # [R, B, 1, T, T]
        return x, seen, angles if self.position == ROTARY else None

    def _angles(self, timesteps: int) -> Tensor:
        """Returns the angles of a window of any length, [T, D/2 or U/2]."""
        if timesteps > len(self.angles):
            self.angles = growing(timesteps, self.width).to(self.angles)
        return self.angles[:timesteps]


class Block(nn.Module):
    """Adds the output of attention to each timestep, then that of two dense layers.

    Args:
        units: Width (U).
        heads: Heads of the attention (H), each of U/H units (D).
        generators: One per replica; the initial weights are drawn from them.
    """

    def __init__(self, units: int, heads: int, generators: initializers.Generators) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_dense = Norm(units, generators), Norm(units, generators)
        self.query_kernel = initializers.glorot_uniform(units, units, generators)  # [R, U, U]
        self.key_kernel = initializers.glorot_uniform(units, units, generators)  # [R, U, U]
        self.value_kernel = initializers.glorot_uniform(units, units, generators)  # [R, U, U]
        self.found_kernel = initializers.glorot_uniform(units, units, generators)  # [R, U, U]
        self.wide = Dense(units, 4 * units, generators)
        self.narrow = Dense(4 * units, units, generators)

    def forward(self, x: Tensor, seen: Tensor, angles: Tensor | None = None) -> Tensor:
        """Runs the block over a window, [R, B, T, U] -> [R, B, T, U].

        Args:
            x: [R, B, T, U].
            seen: [T, T] or [R, B, 1, T, T], True where a timestep may attend to another.
            angles: By how much queries and keys are turned at each timestep, [T, D/2]; None does
                not turn them.
        """
        x = x + project(self._found(self.norm_attention(x), seen, angles), self.found_kernel)
        made: Tensor = self.narrow(self.wide(self.norm_dense(x)).relu())  # [R, B, T, U]
        return x + made

    def weights(self, x: Tensor, seen: Tensor, angles: Tensor | None = None) -> Tensor:
        """Returns the attention weights, [R, B, H, T, T]; the arguments are those of `forward`."""
        q, k, _ = self._read(self.norm_attention(x), angles)
        return self._weights(q, k, seen)

    def _found(self, x: Tensor, seen: Tensor, angles: Tensor | None) -> Tensor:
        """Returns the output of attention, [R, B, T, U] -> [R, B, T, U]."""
        q, k, v = self._read(x, angles)
        found = self._weights(q, k, seen) @ v  # [R, B, H, T, D]
        return found.transpose(2, 3).flatten(3)  # [R, B, T, U]

    def _read(self, x: Tensor, angles: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Returns queries, keys and values, [R, B, T, U] -> [R, B, H, T, D] each."""
        kernel = torch.cat([self.query_kernel, self.key_kernel, self.value_kernel], -1)
        # kernel [R, U, 3U], read [R, B, 3H, T, D]
        read = project(x, kernel).unflatten(-1, (3 * self.heads, -1)).transpose(2, 3)
        qk, v = read.split((2 * self.heads, self.heads), 2)  # [R, B, 2H, T, D], [R, B, H, T, D]
        if angles is not None:
            qk = Rotation(angles)(qk)
        q, k = qk.chunk(2, 2)  # [R, B, H, T, D]
        return q, k, v

    def _weights(self, q: Tensor, k: Tensor, seen: Tensor) -> Tensor:
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # [R, B, H, T, T]
        return scores.masked_fill(~seen, -math.inf).softmax(-1)


def growing(timesteps: int, width: int) -> Tensor:
    """Returns angles that grow with the timestep t, t / 10000^(2i/width), [T, ceil(width/2)].

    These are the frequencies of Vaswani et al. 2017, section 3.5.
    """
    frequencies = 10_000.0 ** (-torch.arange(0, width, 2) / width)  # [ceil(width/2)]
    return torch.arange(timesteps).unsqueeze(1) * frequencies


def _check(units: int, heads: int, position: str, stateful: bool) -> None:
    settings.integer("model.heads", heads, 1, units)
    settings.choice("model.position", position, POSITIONS)
    if stateful:
        reason = "a transformer has no state that could be carried; it must be false"
        raise settings.SettingError("model.stateful", stateful, reason)
    if units % heads:
        reason = f"it must be a multiple of model.heads={heads}"
        raise settings.SettingError("model.units", units, reason)
    if position == ROTARY and units // heads % 2:
        reason = f"model.position={ROTARY} needs an even number for each of {heads} heads"
        raise settings.SettingError("model.units", units, reason)
