"""A laboratory for LSTMs that echo sequences of random integers.

The public names are imported when they are first used: `import echo_exp` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from echo_exp.data import EchoDataModule
    from echo_exp.inspection.inspection import Inspection, inspect
    from echo_exp.missing import Drop, Mask, Sentinel
    from echo_exp.models import EncoderDecoder, ManyToOne, OneToOne, Seq2Seq
    from echo_exp.module import EchoModule
    from echo_exp.optimizer import Adam
    from echo_exp.problem import Problem
    from echo_exp.representation import OneHot, Scaled
    from echo_exp.settings import SettingError
    from echo_exp.tracking import TrackingSettings
    from echo_exp.trained import Echo, TrainedNetwork, load
    from echo_exp.training import train

_HOMES = {
    "Adam": "optimizer",
    "Drop": "missing",
    "Echo": "trained",
    "EchoDataModule": "data",
    "EchoModule": "module",
    "EncoderDecoder": "models",
    "Inspection": "inspection.inspection",
    "ManyToOne": "models",
    "Mask": "missing",
    "OneHot": "representation",
    "OneToOne": "models",
    "Problem": "problem",
    "Scaled": "representation",
    "Sentinel": "missing",
    "Seq2Seq": "models",
    "SettingError": "settings",
    "TrackingSettings": "tracking",
    "TrainedNetwork": "trained",
    "inspect": "inspection.inspection",
    "load": "trained",
    "train": "training",
}

__all__ = [
    "Adam",
    "Drop",
    "Echo",
    "EchoDataModule",
    "EchoModule",
    "EncoderDecoder",
    "Inspection",
    "ManyToOne",
    "Mask",
    "OneHot",
    "OneToOne",
    "Problem",
    "Scaled",
    "Sentinel",
    "Seq2Seq",
    "SettingError",
    "TrackingSettings",
    "TrainedNetwork",
    "inspect",
    "load",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
