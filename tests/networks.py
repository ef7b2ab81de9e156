"""Small networks, as if loaded from a run."""

from hydra import compose
from hydra.initialize import initialize_config_dir

from echo_exp import configuration
from echo_exp.configuration.assembly import assemble
from echo_exp.network import TrainedNetwork

from . import matrix

SMALL = ("problem.length=9", "problem.n_values=7", "problem.n_in=3", "problem.n_out=2")
"""A problem that every network can have that need not echo the whole window."""


def untrained(*overrides: str) -> TrainedNetwork:
    """A network with its initial weights."""
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        config = compose("config", list(overrides))
    settings = configuration.read(config)
    module = assemble(config, settings).module.eval().requires_grad_(False)
    return TrainedNetwork(module, config, settings, int(config.seed), 0, None, {})


def small(model: str = "encoder_decoder", *overrides: str) -> TrainedNetwork:
    """A small network of a topology; its state is carried over the windows of a sequence."""
    whole = ("problem.n_out=3",) if matrix.unpadded(model) else ()
    small = (*SMALL, "model.units=4", "batch_size=1", *whole)
    return untrained(f"model={model}", *small, *overrides)
