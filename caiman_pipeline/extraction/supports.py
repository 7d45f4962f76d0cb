"""Where footprints may grow before an update, and what is kept of them after it.

The options of the spatial update of Pnevmatikakis et al. 2016 (10.1016/j.neuron.2015.11.037): supports dilated or
elliptic; thresholds by significance, peak or energy; median filter, closing and connected part. Seeds have masks
instead: their support is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage as ndi
from scipy.sparse import csc_matrix, hstack

from caiman_pipeline.extraction.pooled import Pooling, pool_footprints
from caiman_pipeline.extraction.spatial import (
    SpatialModel,
    clean_footprints,
    dilate_supports,
    main_sections,
    without_spikes,
)
from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.movie import Dims


@dataclass(frozen=True)
class FootprintRules:
    """How footprints grow, are solved for and are cleaned.

    Attributes
    ----------
    growth, reach_px, ellipse_factor : pixels within ``reach_px`` of a footprint, or an ellipse of that many standard
        deviations around it
    regression : ``nonnegative`` least squares, or ``nnls_l0``: with as few components as explain the pixel
    threshold : which pixels are dropped
    significance : standard errors below which a pixel is dropped (or what a component must gain in ``nnls_l0``)
    max_fraction, energy_fraction : share of the peak that a pixel has, share of energy that all pixels kept hold
    median_px, closing_px : sides of the median filter before, and of the closing after the threshold; 0 for none
    connected : keep the main connected part only
    min_pixels : footprints with fewer pixels become empty
    """

    growth: Literal["dilate", "ellipse"]
    reach_px: tuple[float, ...]
    ellipse_factor: float
    regression: Literal["nonnegative", "nnls_l0"]
    threshold: Literal["pooled", "significance", "max", "energy"]
    significance: float
    max_fraction: float
    energy_fraction: float
    median_px: int
    closing_px: int
    connected: bool
    min_pixels: int
    pooling: Pooling

    @property
    def solver_significance(self) -> float:
        """Standard errors for the solver: none where another threshold does its work."""
        return self.significance if self.threshold == "significance" or self.regression == "nnls_l0" else 0.0

    @property
    def plain(self) -> bool:
        """Whether the solver's own threshold and the main connected part are all."""
        return (
            self.threshold in ("pooled", "significance") and self.connected and not (self.median_px or self.closing_px)
        )


def grow_supports(
    footprints: csc_matrix, dims: Dims, *, rules: FootprintRules, allowed: BoolArray, masks: csc_matrix
) -> csc_matrix:
    """Return the pixels (P, K) where each footprint may be.

    Parameters
    ----------
    footprints : csc_matrix (P, K)
        Footprints, of any norm.
    dims : tuple of int
        (H, W) or (D, H, W).
    rules : FootprintRules
        How footprints grow.
    allowed : bool (P,)
        Pixels that count.
    masks : csc_matrix (P, S)
        Supports of the first S components, which stay as they are.

    Returns
    -------
    csc_matrix float32 (P, K)
        Ones.
    """
    free = footprints[:, masks.shape[1] :] if masks.shape[1] else footprints
    if rules.growth == "dilate":
        grown = dilate_supports(free, dims, radius_px=rules.reach_px, allowed=allowed)
    else:
        grown = ellipse_supports(free, dims, factor=rules.ellipse_factor, allowed=allowed)
    return hstack([pattern(masks, allowed), grown]).tocsc() if masks.shape[1] else grown


def pattern(masks: csc_matrix, allowed: BoolArray) -> csc_matrix:
    """Return ones where masks are positive.

    Parameters
    ----------
    masks : csc_matrix (P, S)
        Masks.
    allowed : bool (P,)
        Pixels that count.

    Returns
    -------
    csc_matrix float32 (P, S)
        Ones, rows in order.
    """
    found = masks.tocoo()
    kept = (found.data > 0) & allowed[found.row]
    ones = np.ones(np.count_nonzero(kept), np.float32)
    result = csc_matrix((ones, (found.row[kept], found.col[kept])), shape=masks.shape)
    result.sort_indices()
    return result


def ellipse_supports(footprints: csc_matrix, dims: Dims, *, factor: float, allowed: BoolArray) -> csc_matrix:
    """Return the pixels (P, K) inside the ellipse (ellipsoid) of each footprint's moments, and its own, if allowed.

    Parameters
    ----------
    footprints : csc_matrix (P, K)
        Footprints, of any norm.
    dims : tuple of int
        (H, W) or (D, H, W).
    factor : float
        Half axes, in standard deviations of the footprint along them.
    allowed : bool (P,)
        Pixels that count.

    Returns
    -------
    csc_matrix float32 (P, K)
        Ones.
    """

    def grow(rows: IntArray, values: FloatArray) -> tuple[IntArray, FloatArray]:
        inside = np.union1d(rows, _ellipse(rows, values, dims, factor))
        inside = inside[allowed[inside]]
        return inside, np.ones(len(inside), np.float32)

    return map_footprints(footprints, grow)


def _ellipse(rows: IntArray, values: FloatArray, dims: Dims, factor: float) -> IntArray:
    points = np.stack(np.unravel_index(rows, dims)).astype(np.float64)
    weights = values / values.sum()
    centre = points @ weights
    offsets = points - centre[:, None]
    covariance = (offsets * weights) @ offsets.T + np.eye(len(dims)) / 12  # a pixel has an extent of its own
    reach = np.ceil(factor * np.sqrt(np.diag(covariance))).astype(int)
    low = np.maximum(np.floor(centre).astype(int) - reach, 0)
    high = np.minimum(np.ceil(centre).astype(int) + reach + 1, dims)
    box = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"))
    flat = box.reshape(len(dims), -1)
    away = flat - centre[:, None]
    distance = np.einsum("ip,ip->p", away, np.linalg.solve(covariance, away))
    return np.ravel_multi_index(tuple(flat[:, distance <= factor**2]), dims)


def map_footprints(
    footprints: csc_matrix, function: Callable[[IntArray, FloatArray], tuple[IntArray, FloatArray]]
) -> csc_matrix:
    """Apply ``function`` (rows, values) -> (rows, values) to each footprint (P, K) that has pixels.

    Parameters
    ----------
    footprints : csc_matrix (P, K)
        Footprints.
    function : callable
        From pixels and values of a footprint to those of another one.

    Returns
    -------
    csc_matrix float32 (P, K)
        As many footprints; empty ones stay empty.
    """
    data, indices, indptr = [], [], [0]
    for k in range(footprints.shape[1]):
        cut = slice(footprints.indptr[k], footprints.indptr[k + 1])
        rows, values = footprints.indices[cut], footprints.data[cut]
        if len(rows):
            rows, values = function(rows, values)
        data.append(values)
        indices.append(rows)
        indptr.append(indptr[-1] + len(rows))
    values, rows = (np.concatenate(x) if x else np.zeros(0) for x in (data, indices))
    return csc_matrix((values.astype(np.float32), rows.astype(np.int32), np.array(indptr)), shape=footprints.shape)


def shape_footprints(
    solved: SpatialModel,
    dims: Dims,
    *,
    rules: FootprintRules,
    allowed: BoolArray,
    masks: csc_matrix,
    keep_masks: bool,
) -> csc_matrix:
    """Clean solved footprints (P, K); those with too few pixels become empty.

    Parameters
    ----------
    solved : SpatialModel
        Footprints (P, K) as they were solved for, with their errors.
    dims : tuple of int
        (H, W) or (D, H, W).
    rules : FootprintRules
        Threshold, filters and smallest size.
    allowed : bool (P,)
        Pixels that count.
    masks : csc_matrix (P, S)
        The first S components are seeds; they keep what was solved within their masks, or the whole mask where next to
        nothing was.
    keep_masks : bool
        Seeds are their masks, whatever was solved.

    Returns
    -------
    csc_matrix float32 (P, K)
        As many footprints, in the same order.
    """
    footprints, n_seeds = solved.footprints, masks.shape[1]
    if rules.threshold == "pooled" and solved.free is not None and solved.errors is not None:
        footprints = pool_footprints(solved.free, solved.errors, dims, pooling=rules.pooling)
    free = footprints[:, n_seeds:] if n_seeds else footprints
    if rules.plain:
        cleaned = clean_footprints(free, dims, min_pixels=rules.min_pixels)
    else:
        cleaned = map_footprints(free, lambda rows, values: _shaped(rows, values, dims, rules, allowed))
    return (
        hstack([_seeds(footprints[:, :n_seeds], masks, allowed, keep_masks), cleaned]).tocsc() if n_seeds else cleaned
    )


def _seeds(solved: csc_matrix, masks: csc_matrix, allowed: BoolArray, keep_masks: bool) -> csc_matrix:
    """Return each seed as solved, or as its mask (with the norm of what was solved) where under a tenth is left."""
    whole = pattern(masks, allowed)
    poor = np.diff(solved.indptr) < (np.inf if keep_masks else 0.1) * np.maximum(np.diff(whole.indptr), 1)
    norms = np.sqrt(np.asarray(solved.multiply(solved).sum(0)).ravel())
    heights = np.where(norms > 0, norms, 1) / np.sqrt(np.maximum(np.diff(whole.indptr), 1))
    whole.data = np.repeat(heights, np.diff(whole.indptr)).astype(np.float32)
    columns = [whole[:, k] if poor[k] else solved[:, k] for k in range(solved.shape[1])]
    return hstack(columns).tocsc()


def _shaped(
    rows: IntArray, values: FloatArray, dims: Dims, rules: FootprintRules, allowed: BoolArray
) -> tuple[IntArray, FloatArray]:
    points = np.stack(np.unravel_index(rows, dims))
    margin = rules.closing_px
    low = np.maximum(points.min(1) - margin, 0)
    high = np.minimum(points.max(1) + margin + 1, dims)
    image = np.zeros(high - low, np.float32)
    image[tuple(points - low[:, None])] = values
    image = shaped_image(image, rules)
    found = np.stack(np.nonzero(image))
    everywhere = np.ravel_multi_index(tuple(found + low[:, None]), dims)
    kept = allowed[everywhere]
    if np.count_nonzero(kept) < rules.min_pixels:
        return rows[:0], values[:0]
    return everywhere[kept], image[tuple(found)][kept]


def shaped_image(image: FloatArray, rules: FootprintRules) -> FloatArray:
    """Return a footprint's image after median filter, threshold, closing and the choice of its main part.

    Parameters
    ----------
    image : float32 (*box)
        A footprint's weights, 0 outside.
    rules : FootprintRules
        Threshold and filters.

    Returns
    -------
    float32 (*box)
        Weights, 0 where a pixel was dropped.

    Notes
    -----
    The median filter decides which pixels stay, their weights are those solved for. Gaps that the closing fills have
    the mean weight around them.
    """
    smooth = ndi.median_filter(image, [min(rules.median_px, n) for n in image.shape]) if rules.median_px else image
    keep = _above(smooth, rules)
    weights = image
    if rules.closing_px:
        side = [min(rules.closing_px, n) for n in image.shape]
        padded = np.pad(keep, rules.closing_px)
        inner = tuple(slice(rules.closing_px, -rules.closing_px) for _ in image.shape)
        keep = ndi.binary_closing(padded, np.ones(side, bool))[inner]
        weights = np.where(image > 0, image, ndi.uniform_filter(image, side))
    if rules.connected:
        labels, count = ndi.label(keep, np.ones((3,) * image.ndim))
        if count > 1:
            mass = ndi.sum(weights**2, labels, range(1, count + 1))
            keep = labels == 1 + int(np.argmax(mass))
        points = np.stack(np.nonzero(keep))
        keep[tuple(points)] = main_sections(points, weights[tuple(points)])
        if image.ndim == 3:
            weights = weights.copy()
            weights[keep] = without_spikes(weights[keep])
    return np.where(keep, weights, 0).astype(np.float32)


def _above(image: FloatArray, rules: FootprintRules) -> BoolArray:
    """Return which pixels pass the threshold."""
    if rules.threshold in ("pooled", "significance"):
        return image > 0
    if rules.threshold == "max":
        return (image > 0) & (image >= rules.max_fraction * image.max())
    falling = np.sort(image.ravel())[::-1].astype(np.float64) ** 2
    total = falling.sum()
    if total <= 0:
        return np.zeros(image.shape, bool)
    last = int(np.searchsorted(np.cumsum(falling), rules.energy_fraction * total * (1 - 1e-12)))
    return (image > 0) & (image.astype(np.float64) ** 2 >= falling[min(last, len(falling) - 1)])
