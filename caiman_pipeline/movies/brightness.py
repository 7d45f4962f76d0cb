"""Steps of brightness from one file of a recording to the next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.movie import MovieInfo
from caiman_pipeline.numerics.noise import robust_deviation

# Levels are compared over so many frames on either side of where a file begins.
EDGE_FRAMES, FEWEST_EDGE_FRAMES = 100, 10
# A step is larger than frames differ, and than activity and bleaching make of the mean.
STEP_DEVIATIONS, STEP_SHARE = 6.0, 0.05


def brightness_steps(
    lengths: list[int], means: FloatArray, bad_frames: Sequence[int]
) -> list[tuple[int, float, float]]:
    """Return where the mean of frames jumps from one file to the next.

    Parameters
    ----------
    lengths : list of int
        Frames of each file.
    means : float64 (T,)
        Mean of each frame, raw pixel values; NaN does not count.
    bad_frames : sequence of int
        Frames that do not count.

    Returns
    -------
    list of (int, float, float)
        Number of the file after the step, from 0, and the median of the means before and after.

    Examples
    --------
    >>> import numpy as np
    >>> means = np.r_[np.full(50, 100.0), np.full(30, 140.0)]
    >>> brightness_steps([50, 30], means, [])
    [(1, 100.0, 140.0)]
    """
    good = np.isfinite(means)
    good[list(bad_frames)] = False
    found, stops = [], np.cumsum(lengths)
    for file, stop in enumerate(stops[:-1], start=1):
        before = np.arange(max(stop - EDGE_FRAMES, stop - lengths[file - 1]), stop)
        after = np.arange(stop, min(stop + EDGE_FRAMES, stop + lengths[file]))
        sides = [means[side[good[side]]] for side in (before, after)]
        if min(map(len, sides)) < FEWEST_EDGE_FRAMES:
            continue
        low, high = (float(np.median(side)) for side in sides)
        noise = max(robust_deviation(side) for side in sides)
        if abs(high - low) > max(STEP_DEVIATIONS * noise, STEP_SHARE * abs(low)):
            found.append((file, low, high))
    return found


def step_text(info: MovieInfo, file: int, low: float, high: float) -> str:
    """Say where the brightness steps, and what may be the reason.

    Parameters
    ----------
    info : MovieInfo
        The recording.
    file : int
        Number of the file after the step, from 0.
    low : float
        Median of the means before it, raw pixel values.
    high : float
        Median of the means after it.

    Returns
    -------
    str
        One sentence.
    """
    return (
        f"the mean of frames steps from {low:.4g} to {high:.4g} where {Path(info.files[file].path).name} begins: was "
        "the gain, the laser or the field changed? Files that do not belong together are recordings of their own"
    )
