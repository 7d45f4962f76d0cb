"""Saturation: pixel values pile up where the detector or the file's type ends.

A largest value that is hit again and again is not enough. Hot pixels sit at it in every frame, and of whole numbers the
largest comes up a few times by chance. Of a detector that is saturated, many different pixels come to the same value,
far more than the counts of the values just below it let expect.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, label

from caiman_pipeline.model.arrays import BoolArray, FloatArray, NumberArray
from caiman_pipeline.movies.readers.open import RawMovie

# Frames that are read again: a megapixel's pile-up is plain in far fewer.
FRAMES_LOOKED_AT = 64
# Counts at the top over what the values below let expect; pixels that must be there; and the smallest patch of pixels
# always at the top that is a part of the scene by itself.
PILE_UP, FEWEST_PIXELS, SCENE_PIXELS = 4.0, 12, 25
# The values below the top that tell what is to be expected: so many, within this share of the range.
TAIL_LEVELS, TAIL_SHARE = 16, 0.1


def saturated_counts(movie: RawMovie, counts: FloatArray, high: FloatArray, *, kept: BoolArray) -> FloatArray:
    """Return how many pixels of each frame are saturated.

    Parameters
    ----------
    movie : RawMovie
        The frames.
    counts : float64 (T,)
        Pixels at each frame's largest value.
    high : float64 (T,)
        That value, raw; one that is not finite does not count.
    kept : bool (T,)
        Frames that take part.

    Returns
    -------
    float64 (T,)
        Pixels; all 0 where nothing is saturated.

    Notes
    -----
    Up to 64 frames that reach the movie's largest value are looked at, spread over the recording.
    """
    top = high[kept & np.isfinite(high)].max(initial=-np.inf)
    reaching = kept & (high == top)
    found = np.where(reaching, counts, 0.0)
    if found.sum() <= max(2.0, 1.5 * np.count_nonzero(reaching)):
        return np.zeros_like(found)
    at = np.flatnonzero(reaching)
    chosen = np.unique(at[np.linspace(0, len(at) - 1, min(FRAMES_LOOKED_AT, len(at))).round().astype(int)])
    every = bool(len(at) > 0.9 * np.count_nonzero(kept))
    hot = _hot_pixels(movie.read_frames(chosen), top, every=every)
    return np.zeros_like(found) if hot is None else np.where(reaching, np.maximum(found - hot, 0.0), 0.0)


def _hot_pixels(frames: NumberArray, top: float, *, every: bool) -> int | None:
    """Return how many hot pixels there are besides saturated ones; None if nothing is saturated.

    ``every``: nearly all frames reach the top, so that a pixel that does so in each of these may be hot.
    """
    reached, around = frames == top, np.ones((3,) * (frames.ndim - 1))
    always = reached.mean(0) > 0.9 if every and len(frames) > 1 else np.zeros(frames.shape[1:], bool)
    sometimes = reached.any(0) & ~always
    patches, n_patches = label(always, around)
    sizes = np.bincount(patches.ravel(), minlength=n_patches + 1)[1:]
    # The core of a saturated cell lies amid pixels that come and go, hot pixels do not.
    touched = np.isin(np.arange(1, n_patches + 1), patches[binary_dilation(sometimes, around)])
    scene = touched | (sizes >= SCENE_PIXELS)
    many = np.count_nonzero(sometimes) + sizes[scene].sum() >= FEWEST_PIXELS
    if many and ((sizes >= SCENE_PIXELS).any() or _piles_up(frames, reached & ~always, top, always)):
        return int(sizes[~scene].sum())
    return None


def _piles_up(frames: NumberArray, reached: BoolArray, top: float, always: BoolArray) -> bool:
    """Tell whether pixels come to the top and go far more often than the values below it let expect."""
    low = float(np.nanmedian(frames[:: max(1, len(frames) // 8)]))
    near = (frames > top - TAIL_SHARE * (top - low)) & (frames < top) & ~always
    _, tail = np.unique(frames[near], return_counts=True)
    expected = tail[-TAIL_LEVELS:].mean() if len(tail) else 1.0
    return bool(reached.sum() > PILE_UP * max(expected, 1.0))
