"""The memory of a network's activations, measured by calling it with tensors without content.

On PyTorch's device ``meta`` a tensor has a shape but no memory, so a network that no machine
could hold runs in milliseconds. Each allocation counts until it is freed.
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Activations:
    """The peak memory of one replica beside its weights, in bytes.

    Attributes:
        training: For computing the outputs of a batch and the gradients, but without the gradients
            of the weights; 0 for a network that is only tested.
        evaluation: For computing the outputs of a batch only.
    """

    training: int
    evaluation: int


def measured(
    empty: nn.Module, x: Tensor, present: Tensor | None, trained: bool = True
) -> Activations:
    """Returns the memory that the activations of a network take.

    It is zero for a network of the user's own that cannot be called with such tensors.

    Args:
        empty: The network with no replicas.
        x: Its input for a batch, [1, B, T, F] features or [1, B, T] categories.
        present: [1, B, T], the timesteps that it reads; None for all.
        trained: Whether it is trained, not only tested; measuring that takes twice as long.
    """
    tensors = {
        name: value.new_empty((1, *value.shape[1:]), device="meta").requires_grad_()
        for name, value in empty.named_parameters()
    }
    buffers = {name: value.to("meta") for name, value in empty.named_buffers()}
    given = (x.to("meta"), None, None if present is None else present.to("meta"))
    call = partial(functional_call, empty, tensors | buffers, given)
    try:
        training = _of_training(call, list(tensors.values())) if trained else 0
        with _Peak() as evaluation, torch.no_grad():
            call()
    except Exception:  # a network of the user's own may raise anything
        return Activations(0, 0)
    return Activations(training, evaluation.bytes)


def _of_training(call: Callable[[], tuple[Tensor, Any]], tensors: Sequence[Tensor]) -> int:
    with _Peak() as peak:
        outputs, _ = call()
        forward = peak.bytes
        torch.autograd.grad(outputs.sum(), tensors, allow_unused=True)
    of_weights = sum(int(tensor.nbytes) for tensor in tensors)
    return int(max(forward, peak.bytes - of_weights))


class _Peak(TorchDispatchMode):
    """Counts the bytes that operations in the ``with`` block have allocated and not freed.

    Attributes:
        bytes: The largest count so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes: int = 0
        self._now = 0
        self._alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self._alive:
            return

        def free(_: Any) -> None:
            del self._alive[key]
            self._now -= size

        self._alive[key] = weakref.ref(storage, free)
        self._now += size
        self.bytes = max(self.bytes, self._now)
