"""Separable filters over the spatial axes of a (*dims, T) movie, time staying contiguous."""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.numerics.gaussian import gaussian_weights
from caiman_pipeline.numerics.kernels import compiled


def gaussian_kernel(sigma: float) -> FloatArray:
    """Return a Gaussian kernel of unit sum, float32, cut at three standard deviations.

    Parameters
    ----------
    sigma : float
        Standard deviation, in samples.

    Returns
    -------
    float32 (n,)
        The kernel; n is odd, at least 3.

    Examples
    --------
    >>> gaussian_kernel(1.0).astype(float).round(3).tolist()
    [0.004, 0.054, 0.242, 0.399, 0.242, 0.054, 0.004]
    """
    return gaussian_weights(sigma).astype(np.float32)


@compiled(fastmath={"contract", "reassoc"})
def _convolve_middle(movie: FloatArray, kernel: FloatArray, out: FloatArray) -> None:
    """Convolve (N, L, M) along L with a symmetric odd kernel, zero outside."""
    n, length, m = movie.shape
    half = len(kernel) // 2
    for i in range(n):
        for j in range(length):
            row = out[i, j]
            row[:] = 0.0
            for q in range(max(0, j - half), min(length, j + half + 1)):
                weight, source = kernel[q - j + half], movie[i, q]
                for t in range(m):
                    row[t] += weight * source[t]


def convolve_space(movie: FloatArray, kernels: list[FloatArray]) -> FloatArray:
    """Convolve a float32 (*dims, ...) array with one symmetric kernel per spatial axis, zero outside the field.

    Parameters
    ----------
    movie : array (*dims, ...)
        Spatial axes first, any unit; what comes after them is carried along. Computed in float32.
    kernels : list of float32 (n,)
        One symmetric kernel of odd length for each spatial axis.

    Returns
    -------
    float32 (*dims, ...)
        The filtered array, in its own unit.

    Notes
    -----
    A value that is not a number spreads as far as the kernels reach.
    """
    current = np.ascontiguousarray(movie, dtype=np.float32)
    shape = current.shape
    for axis, kernel in enumerate(kernels):
        if len(kernel) == 1:
            current = current * kernel[0]
            continue
        folded = current.reshape(int(np.prod(shape[:axis])), shape[axis], -1)
        out = np.empty_like(folded)
        _convolve_middle(folded, kernel.astype(np.float32), out)
        current = out.reshape(shape)
    return current


def matched_kernels(cell_px: tuple[float, ...]) -> list[FloatArray]:
    """Return Gaussian kernels, one per axis, whose product matches a cell of the given diameters.

    Parameters
    ----------
    cell_px : tuple of float
        Diameter of a cell along each axis, pixels.

    Returns
    -------
    list of float32 (n,)
        One kernel per axis, of standard deviation 0.3 diameters. An axis along which a cell is at most 1.5 pixels wide
        is not filtered.
    """
    return [gaussian_kernel(0.3 * d) if d > 1.5 else np.ones(1, np.float32) for d in cell_px]


def kernel_norm(dims: Dims, kernels: list[FloatArray]) -> FloatArray:
    """Return, for each pixel, the standard deviation of filtered white noise of unit variance, (*dims).

    Parameters
    ----------
    dims : tuple of int
        Size of the field, pixels or planes along each axis.
    kernels : list of float32 (n,)
        One kernel per axis, as ``convolve_space`` takes them.

    Returns
    -------
    float32 (*dims)
        By how much noise shrinks; it is less near the border, where the kernel reaches out of the field.
    """
    squared = [k.astype(np.float64) ** 2 for k in kernels]
    norm = np.ones(1)
    for axis, (n, kernel) in enumerate(zip(dims, squared, strict=True)):
        line = np.convolve(np.ones(n), kernel, mode="same") if len(kernel) <= n else _short(n, kernel)
        shape = [1] * len(dims)
        shape[axis] = n
        norm = norm * line.reshape(shape)
    return np.sqrt(norm).astype(np.float32)


def _short(n: int, kernel: FloatArray) -> FloatArray:
    half = len(kernel) // 2
    return np.array([kernel[max(0, half - j) : half - j + n].sum() for j in range(n)])
