"""Many seeds as one program: what their scores say together."""

import warnings

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def plain(values: Floats) -> list[float]:
    """Returns values, of any shape, as the shortest numbers that mean the same in 32 bits.

    They were computed in 32 bits; what more digits would show is no part of them.
    """
    with np.errstate(over="ignore"):
        return [float(text) for text in values.ravel().astype(np.float32).astype(str)]


def statistics(name: str, values: Floats) -> dict[str, Floats]:
    """Summarises a metric over the replicas; those that diverged (NaN) do not count.

    Args:
        name: Name of the metric.
        values: [..., R], one value a replica.

    Returns:
        For one replica its values under ``name``. For more their mean under ``name`` and the
        sample's standard deviation, least and greatest value as ``name/std``, ``name/min`` and
        ``name/max``; each [...].
    """
    if values.shape[-1] == 1:
        return {name: values[..., 0]}
    with warnings.catch_warnings():  # of no replica left there is no mean
        warnings.simplefilter("ignore", RuntimeWarning)
        return {
            name: np.nanmean(values, axis=-1),
            f"{name}/std": np.nanstd(values, axis=-1, ddof=1),
            f"{name}/min": np.nanmin(values, axis=-1),
            f"{name}/max": np.nanmax(values, axis=-1),
        }
