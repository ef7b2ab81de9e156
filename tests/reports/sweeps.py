"""Made-up jobs of a sweep."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from echo_exp import configuration
from echo_exp.reports.jobs import Job, Jobs
from echo_exp.reports.records import FAILED, FINISHED

Accuracy = Callable[[Mapping[str, Any]], float]


def job(values: Mapping[str, Any], accuracy: float | None, axes: Sequence[str]) -> Job:
    """A job with an accuracy, or one that failed."""
    named = configuration.words(values, axes)
    if accuracy is None:
        return Job(FAILED, named, values, "x", error="DivergedError: the loss is not finite")
    scores = {"test/accuracy": np.array([accuracy]), "test/loss": np.array([1 - accuracy])}
    return Job(FINISHED, named, values, f"run of {named}", [values["seed"]], scores, 2.0)


def sweep(accuracy: Callable[[Mapping[str, Any]], float | None], **axes: Sequence[Any]) -> Jobs:
    """A sweep over the full grid of some values; `__` stands for the dot of a setting's name."""
    names = [name.replace("__", ".") for name in axes]
    every = [dict(zip(names, values, strict=True)) for values in itertools.product(*axes.values())]
    jobs = [job({"batch_size": 7} | values, accuracy(values), names) for values in every]
    return Jobs("abc", "sweep of some", "echo-exp -m ...", names, jobs)
