"""One timestep in, one vector out: the timesteps of the window become features."""

from collections.abc import Sequence

import torch
from torch import Tensor

from echo_exp.models.lstm import State
from echo_exp.models.many_to_one import ManyToOne


class OneToOne(ManyToOne):
    """The LSTM reads the whole window as the features of a single timestep and answers at once.

    There is no timestep to skip, so a missing integer contributes nothing, like a feature that is
    zero. (In the scaled representation, the integer 0 contributes the same.)

    For the arguments of every network see `~echo_exp.models.layered.Layered`.

    Raises:
        SettingError: A setting is not allowed.
    """

    positions: Tensor

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
        forget_bias: float = 1.0,
        chrono: int | None = None,
    ) -> None:
        super().__init__(
            n_features=n_in * n_features,
            n_outputs=n_outputs,
            n_in=1,
            n_out=n_out,
            units=units,
            seeds=seeds,
            layers=layers,
            stateful=stateful,
            forget_bias=forget_bias,
            chrono=chrono,
        )
        positions = n_features * torch.arange(n_in)  # where the features of each integer begin, [T]
        self.register_buffer("positions", positions, persistent=False)

    def _read(self, x: Tensor, state: State | None, present: Tensor | None) -> tuple[Tensor, State]:
        """Returns the hidden state of the only timestep, [R, B, 1, U], and the states after it."""
        return self.lstm.recur(self._project(x, present), state)

    def _project(self, x: Tensor, present: Tensor | None) -> Tensor:
        """Returns the product of the window with the first layer's kernel, [R, B, 1, 4U]."""
        if x.is_floating_point():
            if present is not None:
                x = x * present.unsqueeze(-1)
            return self.lstm.first.project(x.flatten(2).unsqueeze(2))
        rows = self.lstm.first.project(x + self.positions)  # [R, B, T, 4U]
        if present is not None:
            rows = rows * present.unsqueeze(-1)
        return rows.sum(2, keepdim=True)
