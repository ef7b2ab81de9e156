"""The recurrence of a GRU over a whole window as one autograd node with a hand-written backward.

As in the LSTM (`echo_exp.models.lstm`), the local derivatives of all timesteps are computed at
once, and only what depends on the next timestep stays in the loop. With the gates z and r, the
candidate n, and d the derivative of the loss with respect to h, in both forms::

    h = z * h_before + (1 - z) * n
    d_n = d * (1 - z),  d_z = d * (h_before - n),  d_before = d * z + what comes through the gates

At a skipped timestep z is 1: the state and its derivative pass unchanged.

The arguments of both forms are the projected inputs [R, B, T, 3U], the recurrent kernel [R, U, 3U],
biases [R, 1, 3U], the hidden state before [R, B, U] or None, and the present timesteps [R, B, T] or
None. They return the hidden states, [R, B, T, U].
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from echo_exp.models.lstm import tanh_for


class _ResetAfter(torch.autograd.Function):
    """n = tanh(x @ W + b + r * kept), with kept = h_before @ U + c."""

    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        kernel: Tensor,
        bias: Tensor,
        recurrent_bias: Tensor,
        hidden: Tensor | None,
        present: Tensor | None,
    ) -> Tensor:
        units = projected.shape[-1] // 3
        sizes = (2 * units, units)
        gates_bias, kept_bias = recurrent_bias.split(sizes, -1)  # [R, 1, 2U], [R, 1, U]
        read, new = _read(projected, bias, sizes)  # [T, R, B, 2U], [T, R, B, U]
        gates = new.new_empty(*new.shape[:-1], 3 * units)  # z, r, kept
        both, kept = gates.split(sizes, -1)  # [T, R, B, 2U], [T, R, B, U]
        torch.add(read, gates_bias, out=both)
        kept.copy_(kept_bias)
        hiddens, absent = _beginning(new, hidden, present)
        h = hiddens.unbind()
        tanh = tanh_for(h[0])
        views = (gates, both, *gates.chunk(3, -1), new)
        for t, (gate, zr, z, r, k, n) in enumerate(
            zip(*(view.unbind() for view in views), strict=True)
        ):
            gate.baddbmm_(h[t], kernel)
            zr.sigmoid_()
            if absent is not None:
                z.masked_fill_(absent[t], 1)
            tanh(n.addcmul_(r, k), out=n)
            torch.lerp(n, h[t], z, out=h[t + 1])
        ctx.save_for_backward(gates, kernel, new, hiddens)
        return hiddens[1:].permute(1, 2, 0, 3)

    @staticmethod
    def backward(ctx: Any, d_outputs: Tensor) -> tuple[Tensor | None, ...]:
        gates, kernel, new, hiddens = ctx.saved_tensors
        units = new.shape[-1]
        z, r, kept = gates.chunk(3, -1)  # [T, R, B, U]
        # Derivatives of h, later of the loss, for kept and the pre-activations of z, r and n.
        d_gates = new.new_empty(*new.shape[:-1], 4 * units)  # [T, R, B, 4U]
        by_z, by_r, by_kept, by_new = d_gates.chunk(4, -1)  # [T, R, B, U]
        slope_r = _by_gates(gates, new, hiddens, by_z, by_new)
        torch.mul(by_new, r, out=by_kept)
        torch.mul(by_new, kept, out=by_r).mul_(slope_r)

        kernel_back = kernel.transpose(1, 2)  # [R, 3U, U]
        views = (z, d_gates[..., : 3 * units], d_gates.unflatten(-1, (4, units)))
        steps = list(zip(*(view.unbind() for view in views), strict=True))
        d_before, d = _outputs_before(d_outputs, ctx.needs_input_grad[4])
        for (z_t, d_kept, d_gate), d_output in zip(reversed(steps), d_before, strict=True):
            d_gate.mul_(d.unsqueeze(2))
            if d_output is not None:
                d = torch.baddbmm(torch.addcmul(d_output, d, z_t), d_kept, kernel_back)

        after = _rows(d_gates)  # [R, T*B, 4U]
        d_kernel = torch.bmm(_rows(hiddens[:-1]).transpose(1, 2), after[..., : 3 * units])
        d_recurrent_bias, d_new_bias = after.sum(1, keepdim=True).split((3 * units, units), -1)
        d_bias = torch.cat([d_recurrent_bias[..., : 2 * units], d_new_bias], -1)  # [R, 1, 3U]
        parts = d_gates.permute(1, 2, 0, 3).split((2 * units, units, units), -1)
        d_projected = torch.cat([parts[0], parts[2]], -1)  # [R, B, T, 3U]
        d_hidden = d if ctx.needs_input_grad[4] else None
        return d_projected, d_kernel, d_bias, d_recurrent_bias, d_hidden, None


class _ResetBefore(torch.autograd.Function):
    """n = tanh(x @ W + b + kept @ U), with kept = r * h_before."""

    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        kernel: Tensor,
        bias: Tensor,
        hidden: Tensor | None,
        present: Tensor | None,
    ) -> Tensor:
        units = projected.shape[-1] // 3
        sizes = (2 * units, units)
        gates, new = _read(projected, bias, sizes)  # [T, R, B, 2U], [T, R, B, U]
        to_gates, to_new = kernel.split(sizes, -1)  # [R, U, 2U], [R, U, U]
        hiddens, absent = _beginning(new, hidden, present)
        kept = torch.empty_like(new)  # [T, R, B, U]
        h = hiddens.unbind()
        tanh = tanh_for(h[0])
        views = (gates, *gates.chunk(2, -1), kept, new)
        for t, (zr, z, r, k, n) in enumerate(zip(*(view.unbind() for view in views), strict=True)):
            zr.baddbmm_(h[t], to_gates).sigmoid_()
            if absent is not None:
                z.masked_fill_(absent[t], 1)
            torch.mul(r, h[t], out=k)
            tanh(n.baddbmm_(k, to_new), out=n)
            torch.lerp(n, h[t], z, out=h[t + 1])
        ctx.save_for_backward(gates, kernel, new, hiddens, kept)
        return hiddens[1:].permute(1, 2, 0, 3)

    @staticmethod
    def backward(ctx: Any, d_outputs: Tensor) -> tuple[Tensor | None, ...]:
        gates, kernel, new, hiddens, kept = ctx.saved_tensors
        units = new.shape[-1]
        z, r = gates.chunk(2, -1)  # [T, R, B, U]
        # Derivatives for the pre-activations: of h for z and n, of kept for r; later of the loss.
        d_gates = new.new_empty(*new.shape[:-1], 3 * units)  # [T, R, B, 3U]
        by_z, by_r, by_new = d_gates.chunk(3, -1)  # [T, R, B, U]
        slope_r = _by_gates(gates, new, hiddens, by_z, by_new)
        torch.mul(slope_r, hiddens[:-1], out=by_r)

        gates_back, new_back = kernel.transpose(1, 2).split((2 * units, units), 1)
        by_zn = d_gates.unflatten(-1, (3, units))[..., ::2, :]  # [T, R, B, 2, U]
        views = (z, r, by_zn, by_r, by_new, d_gates[..., : 2 * units])
        steps = list(zip(*(view.unbind() for view in views), strict=True))
        d_before, d = _outputs_before(d_outputs, ctx.needs_input_grad[3])
        for (z_t, r_t, d_zn, d_r, d_new, d_zr), d_output in zip(
            reversed(steps), d_before, strict=True
        ):
            d_zn.mul_(d.unsqueeze(2))
            d_kept = torch.bmm(d_new, new_back)  # [R, B, U]
            d_r.mul_(d_kept)
            if d_output is not None:
                d_carried = torch.addcmul(d_output, d, z_t).addcmul_(d_kept, r_t)
                d = torch.baddbmm(d_carried, d_zr, gates_back)  # [R, B, U]

        after = _rows(d_gates)  # [R, T*B, 3U]
        parts = zip((hiddens[:-1], kept), after.split((2 * units, units), -1), strict=True)
        d_kernel = torch.cat(
            [torch.bmm(_rows(read).transpose(1, 2), d_read) for read, d_read in parts], -1
        )
        d_hidden = d if ctx.needs_input_grad[3] else None
        return (
            d_gates.permute(1, 2, 0, 3),
            d_kernel,
            after.sum(1, keepdim=True),
            d_hidden,
            None,
        )


def _read(projected: Tensor, bias: Tensor, sizes: tuple[int, int]) -> list[Tensor]:
    """Adds the bias and splits, [R, B, T, 3U] -> gates [T, R, B, 2U], candidate [T, R, B, U]."""
    x = projected.permute(2, 0, 1, 3)  # [T, R, B, 3U]
    rooms = [x.new_empty(*x.shape[:-1], size) for size in sizes]  # plain + would keep x's strides
    parts = zip(x.split(sizes, -1), bias.split(sizes, -1), rooms, strict=True)
    return [torch.add(part, to, out=room) for part, to, room in parts]


def _beginning(
    new: Tensor, hidden: Tensor | None, present: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Allocates the hidden states and writes the first.

    Args:
        new: [T, R, B, U], for its size.
        hidden: The hidden state before, [R, B, U]; None is zero.
        present: [R, B, T], or None.

    Returns:
        Hidden states, [T+1, R, B, U], and the timesteps to skip, [T, R, B, 1], or None.
    """
    hiddens = new.new_empty(len(new) + 1, *new.shape[1:])  # [T+1, R, B, U]
    if hidden is None:
        hiddens[0].zero_()
    else:
        hiddens[0].copy_(hidden)
    return hiddens, None if present is None else ~present.permute(2, 0, 1).unsqueeze(-1)


def _by_gates(gates: Tensor, new: Tensor, hiddens: Tensor, by_z: Tensor, by_new: Tensor) -> Tensor:
    """Writes the derivatives of h for the pre-activations of z and n.

    Args:
        gates: z and r, perhaps followed by kept, [T, R, B, 2U or 3U].
        new: n, [T, R, B, U].
        hiddens: [T+1, R, B, U].
        by_z: Where the derivative for z is written, [T, R, B, U].
        by_new: Where the derivative for n is written, [T, R, B, U].

    Returns:
        The slope of r, [T, R, B, U].
    """
    zr = gates[..., : 2 * new.shape[-1]]  # [T, R, B, 2U]
    slope_z, slope_r = torch.addcmul(zr, zr, zr, value=-1).chunk(2, -1)
    torch.sub(hiddens[:-1], new, out=by_z).mul_(slope_z)
    rest = 1 - gates[..., : new.shape[-1]]  # [T, R, B, U]
    torch.addcmul(rest, rest, new.square(), value=-1, out=by_new)
    return slope_r


def _outputs_before(d_outputs: Tensor, asked: bool) -> tuple[list[Tensor | None], Tensor]:
    """Returns the derivatives for the outputs before each timestep, and for the last output.

    The former are in reverse, from the last timestep to the first.

    Args:
        d_outputs: [R, B, T, U].
        asked: Whether the derivative for the state before the first timestep is needed.

    Returns:
        T tensors, [R, B, U], the last of which may be None; and one, [R, B, U].
    """
    *before, last = d_outputs.permute(2, 0, 1, 3).unbind()
    return [*reversed(before), torch.zeros_like(last) if asked else None], last


def _rows(values: Tensor) -> Tensor:
    """Joins timesteps and batch, [T, R, B, U] -> [R, T*B, U]."""
    return values.transpose(0, 1).flatten(1, 2)


reset_after: Callable[..., Tensor] = _ResetAfter.apply
reset_before: Callable[..., Tensor] = _ResetBefore.apply
