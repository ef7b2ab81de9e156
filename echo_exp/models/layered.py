"""What all networks have in common: layers, and a state that may be carried."""

from torch import nn

from echo_exp import settings
from echo_exp.models.lstm import MOST_UNITS

MOST_LAYERS = 64


class Layered(nn.Module):
    """A network of layers; each topology is a subclass.

    The arguments of a network's constructor are its settings, so each network names all of its own.
    These mean the same in every network:

    - ``n_features``: features, or categories, of an input timestep (F);
    - ``n_outputs``: outputs for one integer (V for one-hot integers);
    - ``n_in``: timesteps of the input (T), the integers of a window;
    - ``n_out``: integers to echo;
    - ``units``: units of each layer, or the width of each block (U);
    - ``seeds``: one seed per replica (R of them), which fixes the initial weights of its replica;
    - ``layers``: stacked layers, or blocks (L); an encoder and its decoder have as many each;
    - ``stateful``: whether the state is carried from batch to batch of a sequence;
    - ``forget_bias`` and ``chrono``: the initial biases of the gates of LSTM layers, see
      `~echo_exp.models.gate_biases.GateBiases`;
    - ``padding``: for a network that answers at every timestep, the side on which the targets are
      padded: ``post`` (an integer is echoed at its own timestep), ``pre`` (the integers are echoed
      at the end of the window) or None (``n_out`` must be ``n_in``).

    Args:
        units: Units of each layer (U).
        layers: Number of layers (L).
        stateful: Whether the state is carried from batch to batch of a sequence.

    Raises:
        SettingError: A setting is not allowed.
    """

    def __init__(self, units: int, layers: int, stateful: bool) -> None:
        super().__init__()
        settings.integer("model.units", units, 1, MOST_UNITS)
        settings.integer("model.layers", layers, 1, MOST_LAYERS)
        settings.choice("model.stateful", stateful, (True, False))
        self.stateful = stateful
