"""Statistics of the scores of several replicas."""

import warnings

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def plain(values: Floats) -> list[float]:
    """Returns values, of any shape, as a list of the shortest numbers that equal them in 32 bits.

    The values were computed in 32 bits; further digits would mean nothing.
    """
    with np.errstate(over="ignore"):
        return [float(text) for text in values.ravel().astype(np.float32).astype(str)]


def statistics(name: str, values: Floats) -> dict[str, Floats]:
    """Summarises a metric over the replicas, without those that diverged (NaN).

    Args:
        name: Name of the metric.
        values: [..., R], a value for each replica.

    Returns:
        For one replica, its values under ``name``. For several, their mean under ``name``, and
        their sample standard deviation, minimum and maximum under ``name/std``, ``name/min`` and
        ``name/max``. Each is [...].
    """
    if values.shape[-1] == 1:
        return {name: values[..., 0]}
    with warnings.catch_warnings():  # if no replica is left, there is no mean
        warnings.simplefilter("ignore", RuntimeWarning)
        return {
            name: np.nanmean(values, axis=-1),
            f"{name}/std": np.nanstd(values, axis=-1, ddof=1),
            f"{name}/min": np.nanmin(values, axis=-1),
            f"{name}/max": np.nanmax(values, axis=-1),
        }
