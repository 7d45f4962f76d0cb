"""Values of the modes of displacement in each frame: from slopes of the likelihood, at the squares, and over time."""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.motion.modes import Modes
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.threads import run_parallel

# Standard deviations, signal and noise together, to which a mode's value is cut before it is smoothed over time.
UNLIKELY = 6.0
# Rows of a product that one task makes; changes no result.
ROWS_TOGETHER = 64


@compiled
def _times_rows(begin: int, end: int, left: FloatArray, right: FloatArray, out: FloatArray) -> None:
    for block in range(begin, end):
        start, stop = block * ROWS_TOGETHER, min((block + 1) * ROWS_TOGETHER, len(right))
        out[:, start:stop] = np.dot(left, right[start:stop].T)


def times(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return ``left @ right.T``, float32, a few rows of ``right`` at a time on all threads.

    Parameters
    ----------
    left : float (N, L)
        Any unit.
    right : float (M, L)
        Any unit.

    Returns
    -------
    float32 (N, M)
        The product, the same for any number of threads.
    """
    out = np.empty((len(left), len(right)), np.float32)
    first, second = np.ascontiguousarray(left, np.float32), np.ascontiguousarray(right, np.float32)
    run_parallel(_times_rows, -(-len(right) // ROWS_TOGETHER), first, second, out)
    return out


def mode_values(slopes: FloatArray, at: FloatArray, modes: Modes, from_squares: FloatArray) -> FloatArray:
    """Return the value of each mode from the slopes of the likelihood.

    Parameters
    ----------
    slopes : float32 (T, squares, 3)
        Slopes of each square's log-likelihood at ``at``, 1 / px.
    at : float32 (T, squares, 3)
        Displacement at which they were taken, pixels.
    modes : Modes
        The modes.
    from_squares : float32 (modes, squares * axes)
        The modes' ``to_squares``, transposed.

    Returns
    -------
    float32 (T, modes)
        Mode values, whose noise has unit variance.
    """
    axes = list(modes.axes)
    place, wanted = at[..., axes], slopes[..., axes].copy()
    for b in range(len(axes)):
        wanted += modes.information[:, :, b] * place[..., b, None]
    return times(wanted.reshape(len(at), -1), from_squares)


def modes_at_squares(values: FloatArray, modes: Modes) -> FloatArray:
    """Return the displacement at the squares that mode values stand for.

    Parameters
    ----------
    values : float32 (T, modes)
        Mode values.
    modes : Modes
        The modes.

    Returns
    -------
    float32 (T, squares, 3)
        Displacement, pixels; 0 along axes that are not corrected.
    """
    flat = times(values, modes.to_squares)
    at = np.zeros((len(values), flat.shape[1] // len(modes.axes), 3), np.float32)
    at[..., list(modes.axes)] = flat.reshape(len(values), -1, len(modes.axes))
    return at


def smooth_values(values: FloatArray, good: BoolArray, modes: Modes) -> FloatArray:
    """Return mode values shrunk and smoothed over time.

    Parameters
    ----------
    values : float32 (T, modes)
        Mode values, with ``reach`` frames more on either side than wanted.
    good : bool (T,)
        Frames to use; the others are bridged from their neighbours.
    modes : Modes
        How to shrink and smooth each.

    Returns
    -------
    float32 (T - 2 reach, modes)
        Mode values to believe.

    Notes
    -----
    A value beyond ``UNLIKELY`` standard deviations of its mode is cut to that before it is smoothed.
    """
    limit = UNLIKELY * np.sqrt(modes.signal + modes.noise)
    usable = np.clip(values, -limit, limit).astype(np.float32)
    if not good.all():
        usable = _bridge(usable, good)
    reach = modes.kernel.shape[1] // 2
    count = len(values) - 2 * reach
    result = np.zeros((count, values.shape[1]), np.float32)
    for lag in range(2 * reach + 1):
        result += modes.kernel[:, lag] * usable[lag : lag + count]
    return result


def _bridge(values: FloatArray, good: BoolArray) -> FloatArray:
    if not good.any():
        return np.zeros_like(values)
    known = np.flatnonzero(good)
    place = np.interp(np.arange(len(values)), known, np.arange(len(known)))
    low = np.floor(place).astype(int)
    part = (place - low)[:, None].astype(np.float32)
    return values[known[low]] * (1 - part) + values[known[np.minimum(low + 1, len(known) - 1)]] * part
