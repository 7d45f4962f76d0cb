"""Weights of a Gaussian; without compiled code, for jobs that do without it."""

from __future__ import annotations

from math import ceil

import numpy as np

from caiman_pipeline.model.arrays import FloatArray

# Where a Gaussian is cut off, in standard deviations: a share of 0.003 lies beyond.
TRUNCATE = 3.0


def gaussian_weights(sigma: float) -> FloatArray:
    """Return the weights of a Gaussian, cut at three standard deviations.

    Parameters
    ----------
    sigma : float
        Standard deviation, in samples.

    Returns
    -------
    float64 (n,)
        The weights, of unit sum; n is odd, at least 3.

    Examples
    --------
    >>> gaussian_weights(1.0).round(3).tolist()
    [0.004, 0.054, 0.242, 0.399, 0.242, 0.054, 0.004]
    """
    half = max(ceil(TRUNCATE * sigma), 1)
    weights = np.exp(-0.5 * (np.arange(-half, half + 1) / max(sigma, 1e-6)) ** 2)
    return np.asarray(weights / weights.sum())
