"""A first rigid registration, to about a pixel: cross-correlation of binned frames with a filtered template by FFT."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft as fft
from numba import njit, prange
from scipy.ndimage import gaussian_filter1d

from caiman_pipeline.motion.surfaces import as_volume
from caiman_pipeline.types import Dims, FloatArray

BIN_FROM_PX = (256, 1024)


@dataclass(frozen=True)
class CoarseTemplate:
    """A template prepared for cross-correlation; arrays have three spatial axes.

    Attributes
    ----------
    spectrum : complex64, conjugate spectrum of the filtered, binned template
    shape : size of the padded, binned frame
    bins : pixels per bin along each axis
    limits : largest shift looked for along each axis, bins
    level : subtracted from frames before anything else
    """

    spectrum: FloatArray
    shape: tuple[int, int, int]
    bins: tuple[int, int, int]
    limits: tuple[int, int, int]
    level: float


def prepare_coarse(
    template: FloatArray, weight: FloatArray, *, max_shift: tuple[int, ...], smooth_px: float
) -> CoarseTemplate:
    """Prepare a template (float32 dims) for shifts of up to ``max_shift`` pixels along each axis.

    Structure wider than ``smooth_px`` does not count, nor what a shift may carry across the border.
    """
    lead = 3 - template.ndim
    dims = as_volume(template.shape)
    bins = tuple(2 ** sum(n >= limit for limit in BIN_FROM_PX) if a else 1 for a, n in enumerate(dims))
    reach = (0,) * lead + tuple(max_shift)
    limits = tuple(-(-r // b) for r, b in zip(reach, bins, strict=True))
    image = bin_frames(template.reshape(1, *dims), bins)[0]
    shape = tuple(
        fft.next_fast_len(n + r if n < 64 else n, real=True) for n, r in zip(image.shape, limits, strict=True)
    )
    level = float(image.mean())
    flat = _remove_slow(image - level, [smooth_px / b for b in bins])
    counts = bin_frames(weight.reshape(1, *dims), bins)[0]
    matched = _remove_slow(flat * counts * _inner(image.shape, limits), [smooth_px / b for b in bins])
    return CoarseTemplate(np.conj(fft.rfftn(matched, shape)).astype(np.complex64), shape, bins, limits, level)


def _remove_slow(image: FloatArray, width: list[float]) -> FloatArray:
    slow = image.astype(np.float64)
    for axis in (1, 2):
        slow = gaussian_filter1d(slow, width[axis], axis=axis, mode="nearest")
    return image - slow


def _inner(shape: Dims, limits: tuple[int, ...]) -> FloatArray:
    """Return weights that fall off to zero at the border, over the largest shift or an eighth of the axis."""
    weights = np.ones(shape)
    for axis, (size, limit) in enumerate(zip(shape, limits, strict=True)):
        depth = min(limit, size // 8)
        edge = np.minimum(np.arange(size), np.arange(size)[::-1])
        line = np.clip((edge + 1) / (depth + 1), 0, 1) if depth else np.ones(size)
        weights *= line.reshape([-1 if a == axis else 1 for a in range(3)])
    return weights


@njit(cache=True, nogil=True, parallel=True)
def _bin(frames: FloatArray, by: int, bx: int, out: FloatArray) -> None:
    n, depth, rows, columns = out.shape
    for item in prange(n * depth):
        t, z = item // depth, item % depth
        for y in range(rows):
            for x in range(columns):
                total = np.float32(0.0)
                for i in range(by):
                    for j in range(bx):
                        total += frames[t, z, y * by + i, x * bx + j]
                out[t, z, y, x] = total * np.float32(1.0 / (by * bx))


def bin_frames(frames: FloatArray, bins: tuple[int, ...]) -> FloatArray:
    """Return frames (T, D, H, W) averaged over bins of rows and columns, float32; what fills no bin is left out."""
    size = (*frames.shape[:2], frames.shape[2] // bins[1], frames.shape[3] // bins[2])
    out = np.empty(size, np.float32)
    _bin(np.ascontiguousarray(frames, np.float32), bins[1], bins[2], out)
    return out


def coarse_shifts(frames: FloatArray, template: CoarseTemplate, *, threads: int) -> tuple[FloatArray, FloatArray]:
    """Return the displacement of each frame, float32 (T, ndim) in pixels, and whether it is at the limit, bool (T,).

    Parameters
    ----------
    frames : float32 (T, *dims)
    """
    volume = frames.reshape(len(frames), *as_volume(frames.shape[1:]))
    small = bin_frames(volume, template.bins) - np.float32(template.level)
    spectra = fft.rfftn(small, template.shape, axes=(1, 2, 3), workers=threads)
    spectra *= template.spectrum
    surface = fft.irfftn(spectra, template.shape, axes=(1, 2, 3), workers=threads, overwrite_x=True)
    for axis, limit in enumerate(template.limits, start=1):
        surface = np.take(surface, np.arange(-limit, limit + 1), axis=axis)
    position, at_limit = np.zeros((len(frames), 3)), np.zeros(len(frames), bool)
    for t, one in enumerate(surface):
        position[t], at_limit[t] = peak_position(one)
    return (position * template.bins).astype(np.float32)[:, 4 - frames.ndim :], at_limit


def peak_position(surface: FloatArray) -> tuple[FloatArray, bool]:
    """Return the sub-sample position of a surface's maximum relative to its centre, and whether it is on the edge."""
    top = np.unravel_index(int(np.argmax(surface)), surface.shape)
    position, on_edge = np.zeros(surface.ndim), False
    for axis, size in enumerate(surface.shape):
        position[axis] = top[axis] - size // 2
        if size > 1 and not 0 < top[axis] < size - 1:
            on_edge = True
        elif size > 1:
            low, middle, high = (surface[(*top[:axis], top[axis] + d, *top[axis + 1 :])] for d in (-1, 0, 1))
            curvature = low - 2 * middle + high
            position[axis] += np.clip(0.5 * (low - high) / curvature, -0.5, 0.5) if curvature < 0 else 0.0
    return position, on_edge
