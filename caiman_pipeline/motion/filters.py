"""Spatial filters for registration."""

from __future__ import annotations

import numpy as np
import scipy.fft as fft

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.motion.measures import SURROUND
from caiman_pipeline.motion.surfaces import as_volume
from caiman_pipeline.numerics.filters import gaussian_kernel
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.threads import run_parallel

# Pixels by which a line is reflected at either end: ringing of the jump there has died away over them.
FOURIER_PAD_PX = 16


def band_pass(frames: FloatArray, width: tuple[float, ...] | None) -> FloatArray:
    """Return frames with only structures about as large as a cell left: a difference of two Gaussians.

    One-photon movies need it: their static vignette and out-of-focus light would otherwise pull every shift to zero.

    Parameters
    ----------
    frames : float32 (T, *dims)
        Any unit, finite.
    width : tuple of float, or None
        Standard deviation of the inner Gaussian per axis, pixels; None to return the frames as they are.

    Returns
    -------
    float32 (T, *dims)
        Frames, filtered along rows and columns.
    """
    if width is None:
        return frames
    volume = np.ascontiguousarray(frames, np.float32).reshape(len(frames), *as_volume(frames.shape[1:]))
    taps = [_half_gaussian(s * w) for s in (1.0, SURROUND) for w in width[-2:]]
    out = np.empty_like(volume)
    run_parallel(_difference, len(volume) * volume.shape[1], volume, *taps, out)
    return out.reshape(frames.shape)


def _half_gaussian(sigma: float) -> FloatArray:
    """Return the weights of a Gaussian from its centre outwards, float32."""
    weights = gaussian_kernel(sigma)
    return weights[len(weights) // 2 :]


@compiled(fastmath={"contract", "nsz"}, forceinline=True)
def _add_row(frame: FloatArray, y: int, weight: float, out: FloatArray) -> None:
    """Add ``weight`` x one row of a plane, point-symmetric beyond its first and last."""
    last = len(frame) - 1
    if 0 <= y <= last:
        row = frame[y]
        for x in range(len(out)):
            out[x] += weight * row[x]
    else:
        edge = frame[0] if y < 0 else frame[last]
        mirrored = frame[min(-y, last)] if y < 0 else frame[max(2 * last - y, 0)]
        for x in range(len(out)):
            out[x] += weight * (2 * edge[x] - mirrored[x])


@compiled(fastmath={"contract", "nsz"}, forceinline=True)
def _blur(frame: FloatArray, along_y: FloatArray, along_x: FloatArray, out: FloatArray) -> None:
    """Convolve a plane (H, W) with two symmetric kernels, given from their centre outwards.

    Beyond the edge the plane goes on point-symmetrically, so that a slope leaves no trace there.
    """
    rows, columns = frame.shape
    reach = len(along_x) - 1
    line, wide = np.empty(columns, np.float32), np.empty(columns + 2 * reach, np.float32)
    for y in range(rows):
        line[:] = along_y[0] * frame[y]
        for k in range(1, len(along_y)):
            _add_row(frame, y - k, along_y[k], line)
            _add_row(frame, y + k, along_y[k], line)
        wide[reach : reach + columns] = line
        for k in range(1, reach + 1):
            wide[reach - k] = 2 * line[0] - line[min(k, columns - 1)]
            wide[reach + columns - 1 + k] = 2 * line[columns - 1] - line[max(columns - 1 - k, 0)]
        target = out[y]
        target[:] = along_x[0] * line
        for k in range(1, len(along_x)):
            left, right, w = wide[reach - k : reach - k + columns], wide[reach + k : reach + k + columns], along_x[k]
            for x in range(columns):
                target[x] += w * (left[x] + right[x])


@compiled
def _difference(
    begin: int,
    end: int,
    frames: FloatArray,
    inner_y: FloatArray,
    inner_x: FloatArray,
    outer_y: FloatArray,
    outer_x: FloatArray,
    out: FloatArray,
) -> None:
    depth = frames.shape[1]
    for item in range(begin, end):
        frame, result = frames[item // depth, item % depth], out[item // depth, item % depth]
        surround = np.empty(frame.shape, np.float32)
        _blur(frame, inner_y, inner_x, result)
        _blur(frame, outer_y, outer_x, surround)
        result -= surround


def smooth_image(image: FloatArray, sigma_px: float) -> FloatArray:
    """Return an image blurred along rows and columns.

    Parameters
    ----------
    image : array (*dims)
        Any unit; a value that is not a number spreads.
    sigma_px : float
        Standard deviation of the Gaussian, pixels.

    Returns
    -------
    float32 (*dims)
        The image; beyond its edge the last pixel is repeated.
    """
    from scipy.ndimage import gaussian_filter1d  # the blocks' jobs do without it

    result = image.astype(np.float64)
    for axis in range(image.ndim - 2, image.ndim):
        result = gaussian_filter1d(result, sigma_px, axis=axis, mode="nearest")
    return result.astype(np.float32)


def fourier_shift(frames: FloatArray, shifts: FloatArray) -> FloatArray:
    """Return frames moved back by less than a pixel, by the phase of their Fourier transform.

    Parameters
    ----------
    frames : float32 (T, *dims)
        Any unit, finite.
    shifts : float32 (T, ndim)
        Displacement of the scene, pixels.

    Returns
    -------
    float32 (T, *dims)
        Frames with that displacement undone.
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
