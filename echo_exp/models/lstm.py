"""An LSTM layer with one bias per gate and a leading replica axis.

`torch.nn.LSTM` has two biases that receive the same gradient, so Adam moves their sum twice as fast
as the one bias of Keras. Nor can it hold many independent copies of the weights.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from echo_exp.models import initializers
from echo_exp.models.dense import project
from echo_exp.models.gate_biases import UNIT_FORGET, GateBiases

State = tuple[Tensor, ...]
"""What a model carries from batch to batch; of LSTM layers hidden and cell states, [R, B, U]."""


MANY = 2048
"""From this many elements on, a tanh made of PyTorch's sigmoid (vectorised on a CPU) is faster.

It takes three more calls.
"""

MOST_UNITS = 8192
"""A recurrent kernel of more units would take more than a gibibyte."""


class Steps(NamedTuple):
    """The gates and states of a layer at each timestep of a window.

    Attributes:
        gates: Output, input, forget and candidate after their nonlinearities, [R, B, T, 4U].
        hidden: The hidden state, [R, B, T, U].
        cell: The cell state, [R, B, T, U].
    """

    gates: Tensor
    hidden: Tensor
    cell: Tensor


class LSTM(nn.Module):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; forget gates: Gers et al. 2000).

    The gates are in the order output, input, forget, candidate: the three sigmoids are adjacent,
    and so are the three that act on the cell state.

    Args:
        n_features: Features of the input (F), or number of categories for an input of integers.
        units: Size of the hidden and the cell state (U).
        generators: One per replica; the initial weights are drawn from them.
        biases: Initial biases of the gates.
    """

    def __init__(
        self,
        n_features: int,
        units: int,
        generators: initializers.Generators,
        biases: GateBiases = UNIT_FORGET,
    ) -> None:
        super().__init__()
        self.units = units
        self.kernel = initializers.glorot_uniform(n_features, 4 * units, generators)  # [R, F, 4U]
        self.recurrent_kernel = initializers.orthogonal(units, 4 * units, generators)  # [R, U, 4U]
        self.bias = biases.draw(units, generators)  # [R, 1, 4U]

    def forward(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Runs the layer over a window.

        Args:
            x: [R, B, T, F] features, or [R, B, T] integers, each a category out of F.
            state: Hidden and cell state, each [R, B, U]; zero if not given.
            present: [R, B, T], False where a timestep leaves the state untouched.

        Returns:
            The hidden states of all timesteps, [R, B, T, U], and the state after the last.
        """
        return self.recur(self.project(x), state, present)

    def project(self, x: Tensor) -> Tensor:
        """Returns the product of the input with the kernel at each timestep, [R, B, T, 4U]."""
        return project(x, self.kernel)

    def recur(
        self, projected: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Runs over projected inputs as `forward` does over inputs.

        Args:
            projected: [R, B, T, 4U].
            state: As in `forward`.
            present: As in `forward`.

        Returns:
            What `forward` returns.
        """
        kernel, bias = self.recurrent_kernel, self.bias
        if torch.compiler.is_exporting():
            _, outputs, cells = self.unrolled(projected, state, present)
            return outputs, (outputs[:, :, -1], cells[:, :, -1])
        if present is None:
            outputs, hidden, cell = _recurrence(projected, kernel, bias, *(state or (None, None)))
            return outputs, (hidden, cell)
        zero = projected.new_zeros(*projected.shape[:2], self.units)  # [R, B, U]
        hidden, cell = state or (zero, zero)
        hiddens = []
        for x, here in zip(projected.split(1, 2), present.unbind(2), strict=True):
            _, *after = _recurrence(x, kernel, bias, hidden, cell)  # [R, B, U] each
            hidden = torch.where(here.unsqueeze(-1), after[0], hidden)  # [R, B, U]
            cell = torch.where(here.unsqueeze(-1), after[1], cell)  # [R, B, U]
            hiddens.append(hidden)
        return torch.stack(hiddens, 2), (hidden, cell)

    def unrolled(
        self, projected: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> Steps:
        """Runs over projected inputs timestep by timestep, and returns gates and states.

        It computes the same as `recur`, as an LSTM is defined and in plain operations: for
        inspection, and for graphs that cannot contain `_Recurrence`.

        Args:
            projected: [R, B, T, 4U].
            state: Hidden and cell state, each [R, B, U]; zero if not given.
            present: [R, B, T], False where a timestep leaves the state untouched.
        """
        zero = projected.new_zeros(*projected.shape[:2], self.units)  # [R, B, U]
        hidden, cell = state or (zero, zero)
        sigmoids, candidates, hiddens, cells = [], [], [], []
        for t, x in enumerate((projected + self.bias.unsqueeze(1)).unbind(2)):  # [R, B, 4U]
            gates = torch.baddbmm(x, hidden, self.recurrent_kernel)  # [R, B, 4U]
            sigmoid, g = gates[..., : 3 * self.units].sigmoid(), gates[..., 3 * self.units :].tanh()
            o, i, f = sigmoid.chunk(3, -1)  # [R, B, U]
            new_cell = torch.addcmul(f * cell, i, g)  # [R, B, U]
            new_hidden = o * new_cell.tanh()  # [R, B, U]
            if present is not None:
                here = present[:, :, t].unsqueeze(-1)  # [R, B, 1]
                new_cell = torch.where(here, new_cell, cell)
                new_hidden = torch.where(here, new_hidden, hidden)
            hidden, cell = new_hidden, new_cell
            sigmoids.append(sigmoid)
            candidates.append(g)
            hiddens.append(hidden)
            cells.append(cell)
        parts = (torch.stack(values, 2) for values in (sigmoids, candidates, hiddens, cells))
        sigmoid, candidate, hidden, cell = parts  # [R, B, T, ...]
        return Steps(torch.cat([sigmoid, candidate], -1), hidden, cell)


class _Recurrence(torch.autograd.Function):
    """The recurrence of a whole window as one autograd node with a hand-written backward.

    Autograd through the elementwise gates takes half as long again: it keeps a node, an output and
    a Python object for each of some forty small operations. Here the local derivatives of all
    timesteps are computed at once, and only what depends on the next timestep stays in the loop.
    Neither products with a zero state (None) nor gradients that are not needed are computed.

    With o, i, f = sigmoid and g = tanh of the gates, at each timestep
        c = f * c_before + i * g
        h = o * tanh(c)

    The arguments are the projected inputs [R, B, T, 4U], the recurrent kernel [R, U, 4U], the bias
    [R, 1, 4U], and the hidden and the cell state before, [R, B, U] or None. It returns the hidden
    states, [R, B, T, U], and the last hidden and cell state, [R, B, U].
    """

    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        kernel: Tensor,
        bias: Tensor,
        hidden: Tensor | None,
        cell: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        replicas, batch, timesteps, width = projected.shape
        units = width // 4
        gates = projected.new_empty(timesteps, replicas, batch, width)  # [T, R, B, 4U]
        torch.add(projected.permute(2, 0, 1, 3), bias, out=gates)
        hiddens = gates.new_empty(timesteps + 1, replicas, batch, units)  # [T+1, R, B, U]
        cells = torch.empty_like(hiddens)  # [T+1, R, B, U]
        squashed = torch.empty_like(hiddens[1:])  # tanh(cells), [T, R, B, U]
        h, c, tanh_c = hiddens.unbind(), cells.unbind(), squashed.unbind()
        for first, given in ((h[0], hidden), (c[0], cell)):
            first.zero_() if given is None else first.copy_(given)
        tanh = tanh_for(h[0])
        views = (gates, gates[..., : 3 * units], *gates.chunk(4, -1))
        for t, (gate, oif, o, i, f, g) in enumerate(
            zip(*(view.unbind() for view in views), strict=True)
        ):
            if t > 0 or hidden is not None:
                gate.baddbmm_(h[t], kernel)
            oif.sigmoid_()
            tanh(g, out=g)
            torch.mul(f, c[t], out=c[t + 1]).addcmul_(i, g)
            tanh(c[t + 1], out=tanh_c[t])
            torch.mul(o, tanh_c[t], out=h[t + 1])
        ctx.save_for_backward(gates, kernel, hiddens, cells, squashed)
        ctx.first = 0 if hidden is not None else 1  # the first timestep with a product
        return hiddens[1:].permute(1, 2, 0, 3), h[-1].clone(), c[-1].clone()

    @staticmethod
    def backward(
        ctx: Any, d_outputs: Tensor, d_hidden: Tensor, d_cell: Tensor
    ) -> tuple[Tensor | None, ...]:
        gates, kernel, hiddens, cells, squashed = ctx.saved_tensors
        timesteps, replicas, batch, width = gates.shape
        units = width // 4
        o, i, f, g = gates.chunk(4, -1)  # [T, R, B, U]
        sigmoids = gates[..., : 3 * units]  # [T, R, B, 3U]

        # First d_gates holds the derivatives of h (for o) and of c (for i, f, g), then of the loss.
        d_gates = torch.empty_like(gates)  # [T, R, B, 4U]
        slope_o, slope_i, slope_f = torch.addcmul(sigmoids, sigmoids, sigmoids, value=-1).chunk(
            3, -1
        )
        by_o, by_i, by_f, by_g = d_gates.chunk(4, -1)  # [T, R, B, U]
        torch.mul(slope_o, squashed, out=by_o)
        torch.mul(slope_i, g, out=by_i)
        torch.mul(slope_f, cells[:-1], out=by_f)
        torch.addcmul(i, i, g.square(), value=-1, out=by_g)
        h_by_c = torch.addcmul(o, o, squashed.square(), value=-1)  # [T, R, B, U]

        kernel_back = kernel.transpose(1, 2)  # [R, 4U, U]
        by_ifg = d_gates.view(timesteps, replicas, batch, 4, units)[..., 1:, :]
        views = (d_outputs.permute(2, 0, 1, 3), h_by_c, f, d_gates, by_o, by_ifg)
        steps = list(zip(*(view.unbind() for view in views), strict=True))
        asked = ctx.needs_input_grad[3] or ctx.needs_input_grad[4]
        for t, (d_output, h_c, f_t, d_gate, d_o, d_ifg) in reversed(list(enumerate(steps))):
            d_hidden = d_output + d_hidden  # [R, B, U]
            d_cell = torch.addcmul(d_cell, d_hidden, h_c)  # [R, B, U]
            d_o.mul_(d_hidden)
            d_ifg.mul_(d_cell.unsqueeze(2))
            if t > 0 or asked:
                d_hidden = torch.bmm(d_gate, kernel_back)
                d_cell = d_cell * f_t

        before = hiddens[ctx.first : -1].transpose(0, 1).flatten(1, 2)  # [R, T*B, U]
        after = d_gates.transpose(0, 1).flatten(1, 2)  # [R, T*B, 4U]
        d_kernel = torch.bmm(before.transpose(1, 2), after[:, ctx.first * batch :])  # [R, U, 4U]
        d_bias = after.sum(1, keepdim=True)  # [R, 1, 4U]
        d_state = (d_hidden, d_cell) if asked else (None, None)
        return d_gates.permute(1, 2, 0, 3), d_kernel, d_bias, *d_state


def tanh_for(x: Tensor) -> Callable[..., Tensor]:
    """Returns the fastest ``tanh(x, out=)`` for tensors like ``x``."""
    return _tanh_of_many if x.is_cpu and x.numel() >= MANY else torch.tanh


def _tanh_of_many(x: Tensor, out: Tensor) -> Tensor:
    """Writes tanh(x) as 2 sigmoid(2 x) - 1, to 1e-7: for many elements, in a fifth of the time."""
    return torch.mul(x, 2, out=out).sigmoid_().mul_(2).sub_(1)


_recurrence: Callable[..., tuple[Tensor, Tensor, Tensor]] = _Recurrence.apply
