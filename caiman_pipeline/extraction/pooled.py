"""Footprints made whole: pixels are judged together with those around them, and weights follow them where noise rules.

A dim cell's pixels cannot be told from noise one by one, all of them together can. Evidence is pooled over a small
Gaussian, a fraction of a cell; weights are drawn towards their neighbours' mean as far as their scatter is noise
(James and Stein 1961), so that bright footprints keep each pixel's own weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi
from scipy.sparse import csc_matrix

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.numerics.filters import gaussian_kernel


@dataclass(frozen=True)
class Pooling:
    """How evidence is pooled.

    Attributes
    ----------
    sigma_px : standard deviation of the Gaussian along each axis
    significance : standard errors that the pooled evidence of a pixel needs
    fraction : share of the highest local mean that a pixel's local mean needs
    """

    sigma_px: tuple[float, ...]
    significance: float
    fraction: float


def pool_footprints(free: csc_matrix, errors: csc_matrix, dims: Dims, *, pooling: Pooling) -> csc_matrix:
    """Return footprints (P, K) from estimates that may be negative and their standard errors, on the same entries."""
    kernels = [gaussian_kernel(s) if s > 0.25 else np.ones(1, np.float32) for s in pooling.sigma_px]
    data = np.zeros(len(free.data), np.float32)
    for k in range(free.shape[1]):
        cut = slice(free.indptr[k], free.indptr[k + 1])
        if cut.stop > cut.start:
            data[cut] = _pooled(
                free.indices[cut], free.data[cut], errors.data[cut], dims=dims, kernels=kernels, pooling=pooling
            )
    pooled = csc_matrix((data, free.indices.copy(), free.indptr.copy()), shape=free.shape)
    pooled.eliminate_zeros()
    return pooled


def _pooled(
    rows: IntArray, free: FloatArray, errors: FloatArray, *, dims: Dims, kernels: list[FloatArray], pooling: Pooling
) -> FloatArray:
    """Return the weights of one footprint, 0 where it has none."""
    points = np.stack(np.unravel_index(rows, dims))
    low = points.min(1)
    place, size = tuple(points - low[:, None]), points.max(1) - low + 1
    known = errors > 0
    weight = np.where(known, 1.0 / np.where(known, errors, 1.0) ** 2, 0.0)
    total, noise, mean = (
        _smooth(place, size, values, used)
        for values, used in (
            (weight, kernels),
            (weight, [k**2 for k in kernels]),
            (weight * free, kernels),
        )
    )
    mean = np.divide(mean, total, out=np.zeros_like(mean), where=total > 0)
    score = mean * np.divide(total, np.sqrt(noise), out=np.zeros_like(total), where=noise > 0)
    keep = (score >= pooling.significance) & (mean >= pooling.fraction * mean.max(initial=0)) & known
    if not keep.any():
        return np.zeros(len(rows), np.float32)
    own = _own_share(free[keep] - mean[keep], errors[keep], kernels)
    return np.where(keep, np.maximum(mean + own * (free - mean), 0), 0).astype(np.float32)


def _smooth(place: tuple[IntArray, ...], size: IntArray, values: FloatArray, kernels: list[FloatArray]) -> FloatArray:
    image = np.zeros(size)
    image[place] = values
    for axis, kernel in enumerate(kernels):
        image = ndi.convolve1d(image, kernel.astype(np.float64), axis=axis, mode="constant")
    return image[place]


def _own_share(apart: FloatArray, errors: FloatArray, kernels: list[FloatArray]) -> float:
    """Return how much of each pixel's distance from the mean around it is its own, not noise: 0 to 1."""
    peak = float(np.prod([k.max() for k in kernels]))
    squares = float(np.prod([np.sum(k.astype(np.float64) ** 2) for k in kernels]))
    expected = (1 - 2 * peak + squares) * float(np.mean(errors**2))
    seen = float(np.mean(apart**2))
    return max(0.0, 1.0 - expected / seen) if seen > 0 else 0.0
