"""Resample frames so that the scene stands still: bicubic, into parts with time last."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from caiman_pipeline.types import FloatArray


@njit(cache=True, nogil=True, inline="always")
def _cubic_weights(f, w):
    w[0] = ((-0.5 * f + 1.0) * f - 0.5) * f
    w[1] = (1.5 * f - 2.5) * f * f + 1.0
    w[2] = ((-1.5 * f + 2.0) * f + 0.5) * f
    w[3] = (0.5 * f - 0.5) * f * f


@njit(cache=True, nogil=True, parallel=True)
def _translate(frames, shifts, box, out):
    n_frames, depth, height, width = frames.shape
    for row in prange(depth * height):
        z, y = row // height, row % height
        line = np.empty(width, np.float32)
        result = np.empty((n_frames, width), np.float32)
        wz, wy, wx = np.empty(4, np.float32), np.empty(4, np.float32), np.empty(4, np.float32)
        for t in range(n_frames):
            bz, by, bx = (int(np.floor(shifts[t, 0])), int(np.floor(shifts[t, 1])), int(np.floor(shifts[t, 2])))
            _cubic_weights(np.float32(shifts[t, 0] - bz), wz)
            _cubic_weights(np.float32(shifts[t, 1] - by), wy)
            _cubic_weights(np.float32(shifts[t, 2] - bx), wx)
            line[:] = 0.0
            for i in range(4):
                sz = min(max(z + bz + i - 1, box[0, 0]), box[0, 1] - 1)
                for j in range(4):
                    weight = wz[i] * wy[j]
                    if weight != 0.0:
                        sy = min(max(y + by + j - 1, box[1, 0]), box[1, 1] - 1)
                        for x in range(width):
                            line[x] += weight * frames[t, sz, sy, x]
            for x in range(width):
                value = np.float32(0.0)
                for k in range(4):
                    value += wx[k] * line[min(max(x + bx + k - 1, box[2, 0]), box[2, 1] - 1)]
                result[t, x] = value
        for x in range(width):
            for t in range(n_frames):
                out[z, y, x, t] = result[t, x]


def translate(frames: FloatArray, shifts: FloatArray, *, box: FloatArray) -> FloatArray:
    """Return frames moved back by ``shifts``, float32 (*dims, T).

    Parameters
    ----------
    frames : float32 (T, *dims)
    shifts : float32 (T, ndim), displacement of the scene in pixels
    box : int (ndim, 2), (start, stop) per axis of the pixels to use; beyond it the nearest of them is repeated
    """
    dims = frames.shape[1:]
    missing = 3 - len(dims)
    volume = frames.reshape(len(frames), *(1,) * missing, *dims)
    shifts3 = np.concatenate([np.zeros((len(shifts), missing), np.float32), shifts], axis=1).astype(np.float32)
    box3 = np.concatenate([np.tile([[0, 1]], (missing, 1)), box]).astype(np.int64)
    out = np.empty((*volume.shape[1:], len(frames)), np.float32)
    _translate(volume, shifts3, box3, out)
    return out.reshape(*dims, len(frames))


def count_valid(shifts: FloatArray, *, box: FloatArray, dims: tuple[int, ...]) -> FloatArray:
    """Return in how many frames each pixel of the corrected movie lies inside ``box``, int32 dims."""
    count = np.zeros(dims, np.int32)
    for shift in shifts:
        inside = [
            slice(max(int(np.ceil(a - s)), 0), max(int(np.floor(b - 1 - s)) + 1, 0))
            for (a, b), s in zip(box, shift, strict=True)
        ]
        count[tuple(inside)] += 1
    return count
