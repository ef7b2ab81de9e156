"""A callback of one's own: how far the forget gates are open when nothing is read."""

import pytorch_lightning as pl
from pytorch_lightning import Callback

from echo_exp import EchoModule


class ForgetGate(Callback):
    """Adds ``val/forget_gate``, the mean over a network's units, to each validation."""

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Puts a score of each replica, [R], beside those of the module."""
        assert isinstance(pl_module, EchoModule)
        bias = pl_module.get_parameter("model.lstm.first.bias")  # [R, 1, 4U]
        _, _, forget, _ = bias.detach().sigmoid().chunk(4, -1)  # output, input, forget, candidate
        pl_module.scores["val/forget_gate"] = forget.mean((1, 2))
