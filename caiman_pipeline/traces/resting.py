"""The resting light of cells: how much of the static background under a footprint is its neighbours'."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.sparse import csc_matrix

from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.model.components import Components
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.numerics.nonnegative import sparse_rows, sweep_rows
from caiman_pipeline.results.stored_rows import row_blocks

# Share of its peak above which a pixel counts to a footprint's area.
OUTLINE_LEVEL = 0.2
# Sum of footprints, each of unit peak, below which a pixel is covered by none.
FREE_LEVEL = 0.05
# Blurs of what no footprint covers, in radii of a footprint: the wider reach into crowds.
WIDTHS = (1.0, 2.0, 4.0)
# Weight of each wider blur: it counts where the narrower ones find next to nothing.
WIDER_WEIGHT = 1e-3
# Sweeps of coordinate descent over the footprints' brightness.
SWEEPS = 30


def neighbours_light(components: Components, *, pixel_height: float) -> FloatArray:
    """Return what the resting light of all other components adds under each footprint.

    Parameters
    ----------
    components : Components
        Footprints, background and noise of a recording.
    pixel_height : float
        Height of a pixel, in its widths.

    Returns
    -------
    float32 (K,)
        Light, in the unit of the components' traces.

    Notes
    -----
    The static background holds the light of cells at rest, of which the activity says nothing. Above the level of what
    no footprint covers, it is explained by the footprints with non-negative brightness (least squares); what those of
    the others contribute under a footprint does not belong to its own F0, as their activity does not to its trace.
    """
    background, footprints = components.background, components.footprints.tocsc()
    if not components.n_components:
        return np.zeros(0, np.float32)
    signals = background.signals
    means = [np.nanmean(signals[rows], axis=1) for rows in row_blocks(signals)] or [np.zeros(0, np.float32)]
    image = background.level_image(np.concatenate(means))
    usable = (np.asarray(components.noise) > 0) & np.isfinite(image)
    level = level_between(image, footprints, components.dims, usable=usable, pixel_height=pixel_height)
    above = np.where(usable, image, 0) - level
    gram, count = (footprints.T @ footprints).tocsr().astype(np.float64), footprints.shape[1]
    brightness, none = np.zeros((count, 1)), np.zeros(count, bool)
    target = footprints.T @ np.where(usable, above, 0).astype(np.float64)
    sweep_rows(0, 1, sparse_rows(gram), target[:, None], none, ~none, SWEEPS, brightness)
    light = brightness[:, 0]
    return (gram @ light - gram.diagonal() * light).astype(np.float32)


def level_between(
    image: FloatArray, footprints: csc_matrix, dims: Dims, *, usable: BoolArray, pixel_height: float
) -> FloatArray:
    """Return an image smoothed over the pixels that no footprint covers, plane by plane.

    Parameters
    ----------
    image : float (P,)
        Any unit.
    footprints : csc_matrix (P, K)
        Footprints, of any norm.
    dims : tuple of int
        (H, W) or (D, H, W).
    usable : bool (P,)
        Pixels that hold data.
    pixel_height : float
        Height of a pixel, in its widths.

    Returns
    -------
    float64 (P,)
        Level, in the image's unit.
    """
    peaks = np.maximum(np.asarray(footprints.max(axis=0).todense()).ravel(), 1e-12)
    cover = footprints @ (1 / peaks)
    free = (usable & (cover < FREE_LEVEL)).reshape(dims).astype(np.float64)
    light = np.where(free > 0, image.reshape(dims), 0.0)
    radius, stretch = _radius_px(footprints, peaks, dims), np.sqrt(pixel_height)
    round_px = (radius / stretch, radius * stretch)
    total, weight = np.zeros(dims), np.zeros(dims)
    for step, width in enumerate(WIDTHS):
        sigma = (0.0,) * (len(dims) - 2) + (width * round_px[0], width * round_px[1])
        total += WIDER_WEIGHT**step * gaussian_filter(light, sigma)
        weight += WIDER_WEIGHT**step * gaussian_filter(free, sigma)
    return np.divide(total, weight, out=np.zeros(dims), where=weight > 0).ravel()


def _radius_px(footprints: csc_matrix, peaks: FloatArray, dims: Dims) -> float:
    """Return the radius, px, of a disc as large as the median footprint is in a plane."""
    owner = np.repeat(np.arange(footprints.shape[1]), np.diff(footprints.indptr))
    inside = footprints.data > OUTLINE_LEVEL * peaks[owner]
    plane = footprints.indices // int(np.prod(dims[-2:]))
    areas = np.unique(np.stack([owner[inside], plane[inside]]), axis=1, return_counts=True)[1]
    return float(np.sqrt(np.median(areas) / np.pi)) if len(areas) else 1.0
