"""Bidirectional scanning: rows scanned on the way back that lie beside those scanned on the way there."""

from __future__ import annotations

import numpy as np
import scipy.fft as fft

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.numerics.cubic import cubic_weights
from caiman_pipeline.numerics.peaks import parabola_vertex


def find_scan_offset(frames: FloatArray, *, max_offset_px: int) -> float:
    """Return how far odd rows lie to the right of even ones, in pixels, by phase correlation of neighbouring rows.

    Parameters
    ----------
    frames : float32 (T, *dims)
        Frames or their means, finite.
    max_offset_px : int
        Largest offset to look for; at most a quarter of a row is.

    Returns
    -------
    float
        Offset, pixels, between pixels by a parabola.

    Examples
    --------
    >>> import numpy as np
    >>> frames = np.random.default_rng(0).normal(size=(3, 1, 64)).repeat(20, axis=1)  # all rows alike
    >>> frames[:, 1::2] = np.roll(frames[:, 1::2], 2, axis=-1)
    >>> bool(abs(find_scan_offset(frames, max_offset_px=5) - 2) < 0.1)
    True
    """
    image = frames.reshape(-1, *frames.shape[-2:]).astype(np.float64)
    rows, columns = image.shape[-2] // 2 * 2, image.shape[-1]
    taper = np.hanning(columns + 2)[1:-1]
    spectra = fft.rfft((image - image.mean(-1, keepdims=True))[:, :rows] * taper, axis=-1)
    even, odd = spectra[:, 0::2], spectra[:, 1::2]
    both = (
        (odd[:, :-1] * np.conj(even[:, :-1] + even[:, 1:])).sum((0, 1))
        if rows > 2
        else (odd * np.conj(even)).sum((0, 1))
    )
    both /= np.abs(both) + 1e-3 * np.abs(both).max() + 1e-30
    smooth = np.exp(-0.5 * (np.arange(len(both)) / (0.25 * len(both))) ** 2)
    surface = fft.irfft(both * smooth, columns)
    reach = min(max_offset_px, columns // 4)
    lags = np.arange(-reach, reach + 1)
    near = surface[lags]
    top = int(np.argmax(near))
    if not 0 < top < len(near) - 1:
        return float(lags[top])
    return float(lags[top] + parabola_vertex.py_func(*near[top - 1 : top + 2]))


def shift_odd_rows(frames: FloatArray, offset_px: float) -> FloatArray:
    """Return frames with odd rows moved right, cubic between pixels, edges repeated.

    Parameters
    ----------
    frames : float32 (T, *dims)
        Any unit.
    offset_px : float
        Pixels to the right; to the left where negative.

    Returns
    -------
    float32 (T, *dims)
        A copy; even rows as they were.

    Examples
    --------
    >>> import numpy as np
    >>> shift_odd_rows(np.arange(8, dtype=np.float32).reshape(1, 2, 4), -1.0).tolist()
    [[[0.0, 1.0, 2.0, 3.0], [5.0, 6.0, 7.0, 7.0]]]
    """
    whole = int(np.floor(offset_px))
    weights = cubic_weights(np.array(offset_px - whole))
    columns = np.arange(frames.shape[-1])
    odd = frames[..., 1::2, :]
    moved = np.zeros_like(odd)
    for tap, weight in zip((-1, 0, 1, 2), weights, strict=True):
        if weight:
            moved += np.float32(weight) * odd[..., np.clip(columns - whole - tap, 0, len(columns) - 1)]
    result = frames.copy()
    result[..., 1::2, :] = moved
    return result
