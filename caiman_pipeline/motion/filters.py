"""Spatial filters for registration."""

from __future__ import annotations

import numpy as np
import scipy.fft as fft
from scipy.ndimage import gaussian_filter1d

from caiman_pipeline.parallel import map_ordered
from caiman_pipeline.types import FloatArray

SURROUND = 3.0
FOURIER_PAD_PX = 16


def band_pass(frames: FloatArray, width: tuple[float, ...] | None, *, threads: int) -> FloatArray:
    """Return frames (T, *dims) with only structures about as large as a cell left: a difference of two Gaussians.

    One-photon movies need it: their static vignette and out-of-focus light would otherwise pull every shift to zero.

    Parameters
    ----------
    width : standard deviation of the inner Gaussian per axis, pixels, or None to return the frames as they are
    """
    if width is None:
        return frames

    def one(frame: FloatArray) -> FloatArray:
        inner, outer = frame, frame
        for axis in range(frame.ndim - 2, frame.ndim):
            inner = gaussian_filter1d(inner, width[axis], axis=axis, mode="nearest")
            outer = gaussian_filter1d(outer, SURROUND * width[axis], axis=axis, mode="nearest")
        return inner - outer

    return np.stack(map_ordered(one, frames, threads))


def smooth_image(image: FloatArray, sigma_px: float) -> FloatArray:
    """Return an image (*dims) blurred along rows and columns, float32."""
    result = image.astype(np.float64)
    for axis in range(image.ndim - 2, image.ndim):
        result = gaussian_filter1d(result, sigma_px, axis=axis, mode="nearest")
    return result.astype(np.float32)


def fourier_shift(frames: FloatArray, shifts: FloatArray) -> FloatArray:
    """Return frames (T, *dims) moved back by less than a pixel, float32, by the phase of their Fourier transform.

    Frames are continued by reflection at the border, so that nothing comes in from the opposite side.

    Parameters
    ----------
    shifts : float32 (T, ndim), displacement of the scene in pixels
    """
    dims = frames.shape[1:]
    moving = [axis for axis in range(len(dims)) if dims[axis] > 1 and np.any(shifts[:, axis])]
    result = frames
    for axis in moving:
        n = dims[axis]
        pad = min(FOURIER_PAD_PX, n - 1)
        index = np.pad(np.arange(n), pad, mode="reflect")
        line = np.take(result, index, axis=axis + 1)
        frequency = fft.rfftfreq(n + 2 * pad).astype(np.float32)
        phase = np.exp(2j * np.pi * frequency[None] * shifts[:, axis, None]).astype(np.complex64)
        shape = [len(frames)] + [len(frequency) if a == axis else 1 for a in range(len(dims))]
        moved = fft.irfft(fft.rfft(line, axis=axis + 1) * phase.reshape(shape), n + 2 * pad, axis=axis + 1)
        result = np.take(moved, np.arange(pad, pad + n), axis=axis + 1)
    return np.ascontiguousarray(result, np.float32)
