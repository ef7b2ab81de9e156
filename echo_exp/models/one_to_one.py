"""One timestep in, one vector out: the timesteps of the window become features."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from echo_exp import settings
from echo_exp.models import initializers
from echo_exp.models.dense import Dense
from echo_exp.models.gate_biases import GateBiases
from echo_exp.models.lstm import State, cells
from echo_exp.models.stack import Stack


class OneToOne(nn.Module):
    """The LSTM reads the whole window as the features of a single timestep and answers at once.

    There is no timestep to skip: a missing integer contributes nothing instead, as a feature of
    zero does. (Scaled, that is what the integer 0 contributes.)

    Args:
        n_features: Features, or categories, of one integer (F).
        n_outputs: Outputs for one integer (V for one-hot integers).
        n_in: Integers in the window (T).
        n_out: Integers to echo.
        units: Units of the LSTM (U).
        seeds: One seed a replica (R of them); each fixes the initial weights of its replica.
        layers: LSTM layers.
        stateful: Whether the state is carried from batch to batch of a sequence.
        forget_bias: The bias that the forget gates begin with.
        chrono: Timesteps of the longest dependency, for which the gates' biases are drawn, see
            `~echo_exp.models.gate_biases.GateBiases`; None draws none.

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
        super().__init__()
        settings.choice("model.stateful", stateful, (True, False))
        self.n_in, self.n_out, self.stateful = n_in, n_out, stateful
        generators = initializers.generators(seeds)
        biases = GateBiases(forget_bias, chrono)
        self.lstm = Stack(n_in * n_features, units, layers, generators, biases)
        self.dense = Dense(units, n_out * n_outputs, generators)
        positions = n_features * torch.arange(n_in)  # where the features of each integer begin, [T]
        self.register_buffer("positions", positions, persistent=False)

    def forward(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Answers a batch of windows.

        Args:
            x: [R, B, T, F] features or [R, B, T] categories.
            state: Hidden and cell state of each layer, each [R, B, U]; zero where not given.
            present: [R, B, T], False where an integer is missing.

        Returns:
            Outputs [R, B, n_out, V] and the states after the only timestep.
        """
        hidden, state = self.lstm.recur(self._project(x, present), state)  # [R, B, 1, U]
        vector = self.dense(hidden)  # [R, B, 1, n_out*V]
        return vector.unflatten(-1, (self.n_out, -1)).squeeze(2), state  # [R, B, n_out, V]

    def cell_states(self, state: State) -> State:
        """Returns the cell states among its states, one [R, B, U] a layer."""
        return cells(state)

    def _project(self, x: Tensor, present: Tensor | None) -> Tensor:
        """Returns the product of the window with the lowest kernel, [R, B, 1, 4U]."""
        if x.is_floating_point():
            if present is not None:
                x = x * present.unsqueeze(-1)
            return self.lstm.first.project(x.flatten(2).unsqueeze(2))
        rows = self.lstm.first.project(x + self.positions)  # [R, B, T, 4U]
        if present is not None:
            rows = rows * present.unsqueeze(-1)
        return rows.sum(2, keepdim=True)
