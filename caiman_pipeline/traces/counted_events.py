"""Events of denoised traces: how often, and how high."""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.numerics.kernels import compiled


@compiled
def _rises(calcium: FloatArray, smallest: float, heights: FloatArray) -> int:
    """Write the heights of maxima over the lowest value since the one before, if at least ``smallest``; count them."""
    n, low, high = 0, np.inf, -np.inf
    for t in range(len(calcium)):
        value = float(calcium[t])
        if np.isnan(value):
            continue
        if value < high and high - low >= smallest:
            heights[n] = high - low
            n += 1
            low, high = value, value
        elif value < low:
            low, high = value, value
        else:
            high = max(high, value)
    if high - low >= smallest:
        heights[n] = high - low
        n += 1
    return n


def events_of(
    denoised: FloatArray, noise: FloatArray, *, height: float, frame_rate_hz: float
) -> tuple[FloatArray, FloatArray]:
    """Return the rate of each trace's events, and their median height over noise.

    Parameters
    ----------
    denoised : float32 (K, T)
        Calcium; missing frames do not count.
    noise : float (K,)
        Standard deviation per frame, in the same unit.
    height : float
        An event is a maximum of the calcium by at least this many of the noise above the lowest value since the event
        before.
    frame_rate_hz : float
        Frames per second.

    Returns
    -------
    rates : float32 (K,)
        Events per second, Hz.
    heights : float32 (K,)
        Median height, in standard deviations of the noise.

    Notes
    -----
    The rate is NaN where no frame is present or the noise is not known, and the height where there is no event.

    Examples
    --------
    >>> import numpy as np
    >>> calcium = np.zeros((1, 100), np.float32)
    >>> calcium[0, 20:24] = calcium[0, 60:64] = 8, 4, 2, 1
    >>> events_of(calcium, np.array([1.0]), height=3.0, frame_rate_hz=10.0)
    (array([0.2], dtype=float32), array([8.], dtype=float32))
    """
    frames = np.isfinite(denoised).sum(1)
    rates, medians = np.full(len(denoised), np.nan, np.float32), np.full(len(denoised), np.nan, np.float32)
    heights = np.empty(denoised.shape[1] // 2 + 1)
    for k in np.flatnonzero((frames > 0) & np.isfinite(noise)):
        count = _rises(denoised[k], height * float(noise[k]), heights) if noise[k] > 0 else 0
        rates[k] = count / frames[k] * frame_rate_hz
        if count:
            medians[k] = np.median(heights[:count]) / noise[k]
    return rates, medians
