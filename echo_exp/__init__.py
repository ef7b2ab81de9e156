"""A laboratory for networks that repeat sequences of random integers.

The public names are imported when they are first used: `import echo_exp` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from echo_exp.commands.python import train
    from echo_exp.inspection.inspect_network import Inspection, inspect
    from echo_exp.models import (
        GRU,
        SSM,
        Attention,
        EncoderDecoder,
        ManyToOne,
        MinGRU,
        OneToOne,
        SelectiveSSM,
        Seq2Seq,
        Transformer,
    )
    from echo_exp.network import Echo, TrainedNetwork, load
    from echo_exp.reports.frames import curves, runs
    from echo_exp.settings import SettingError
    from echo_exp.task.associative_recall import AssociativeRecall
    from echo_exp.task.data import EchoDataModule
    from echo_exp.task.delayed_echo import DelayedEcho
    from echo_exp.task.echo import EchoProblem
    from echo_exp.task.missing import Drop, Mask, Sentinel
    from echo_exp.task.problem import Problem
    from echo_exp.task.representation import OneHot, Scaled
    from echo_exp.task.selective_echo import SelectiveEcho
    from echo_exp.tracking import TrackingSettings
    from echo_exp.training.module import EchoModule
    from echo_exp.training.optimizer import Adam

_HOMES = {
    "Adam": "training.optimizer",
    "AssociativeRecall": "task.associative_recall",
    "Attention": "models",
    "DelayedEcho": "task.delayed_echo",
    "Drop": "task.missing",
    "Echo": "network",
    "EchoDataModule": "task.data",
    "EchoModule": "training.module",
    "EchoProblem": "task.echo",
    "EncoderDecoder": "models",
    "GRU": "models",
    "Inspection": "inspection.inspect_network",
    "ManyToOne": "models",
    "MinGRU": "models",
    "Mask": "task.missing",
    "OneHot": "task.representation",
    "OneToOne": "models",
    "Problem": "task.problem",
    "SSM": "models",
    "Scaled": "task.representation",
    "SelectiveEcho": "task.selective_echo",
    "SelectiveSSM": "models",
    "Sentinel": "task.missing",
    "Seq2Seq": "models",
    "SettingError": "settings",
    "TrackingSettings": "tracking",
    "TrainedNetwork": "network",
    "Transformer": "models",
    "curves": "reports.frames",
    "inspect": "inspection.inspect_network",
    "load": "network",
    "runs": "reports.frames",
    "train": "commands.python",
}

__all__ = [
    "GRU",
    "SSM",
    "Adam",
    "AssociativeRecall",
    "Attention",
    "DelayedEcho",
    "Drop",
    "Echo",
    "EchoDataModule",
    "EchoModule",
    "EchoProblem",
    "EncoderDecoder",
    "Inspection",
    "ManyToOne",
    "Mask",
    "MinGRU",
    "OneHot",
    "OneToOne",
    "Problem",
    "Scaled",
    "SelectiveEcho",
    "SelectiveSSM",
    "Sentinel",
    "Seq2Seq",
    "SettingError",
    "TrackingSettings",
    "TrainedNetwork",
    "Transformer",
    "curves",
    "inspect",
    "load",
    "runs",
    "train",
]


MOVED = {
    "data": "task.data",
    "missing": "task.missing",
    "module": "training.module",
    "optimizer": "training.optimizer",
    "problem": "task.problem",
    "representation": "task.representation",
    "trainer": "training.settings",
}
"""Modules whose classes older configurations name, and where those classes are now."""


def __getattr__(name: str) -> Any:
    if name in MOVED:
        return import_module(f"{__name__}.{MOVED[name]}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
