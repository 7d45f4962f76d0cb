"""Footprints as small images of one size, cells scaled to one diameter: what the classifier looks at."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.sparse import csc_matrix

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.model.movie import Dims

# Side of a crop, pixels: what the network was trained on.
SIDE_PX = 50
# Side of a crop, in cell diameters: a soma and what is just around it.
SIDE_CELLS = 2.5


def crop_footprints(footprints: csc_matrix, dims: Dims, *, cell_px: tuple[float, ...]) -> FloatArray:
    """Cut each footprint out around its centre of mass, scaled so that a cell's diameter is 20 of 50 pixels.

    Parameters
    ----------
    footprints : (P, K), of a plane
    dims : (H, W)
    cell_px : diameter of a cell along rows and columns

    Returns
    -------
    float32 (K, 50, 50), each with a peak of one (empty footprints stay zero). What lies outside the field is zero.
    """
    crops = np.zeros((footprints.shape[1], SIDE_PX, SIDE_PX), np.float32)
    for k in range(footprints.shape[1]):
        cut = slice(footprints.indptr[k], footprints.indptr[k + 1])
        if cut.stop > cut.start:
            crops[k] = _crop(footprints.indices[cut], footprints.data[cut], dims, cell_px)
    return crops


def main_planes(footprints: csc_matrix, dims: Dims) -> csc_matrix:
    """Return each footprint's part in its plane of most weight, (H * W, K); of planes, the footprints themselves.

    Parameters
    ----------
    footprints : csc_matrix (P, K)
        Footprints, of any norm.
    dims : tuple of int
        (H, W) or (D, H, W).

    Returns
    -------
    csc_matrix (H * W, K)
        Their parts in one plane each, not normalised again.
    """
    if len(dims) == 2:
        return footprints
    plane = dims[-2] * dims[-1]
    owner = np.repeat(np.arange(footprints.shape[1]), np.diff(footprints.indptr))
    depth, pixel = np.divmod(footprints.indices, plane)
    weight = np.bincount(owner * dims[0] + depth, footprints.data, footprints.shape[1] * dims[0])
    main = weight.reshape(-1, dims[0]).argmax(1)
    kept = depth == main[owner]
    return csc_matrix((footprints.data[kept], (pixel[kept], owner[kept])), shape=(plane, footprints.shape[1]))


def _crop(pixels: IntArray, values: FloatArray, dims: Dims, cell_px: tuple[float, ...]) -> FloatArray:
    rows, columns = np.unravel_index(pixels, dims)
    low = np.array([rows.min(), columns.min()])
    image = np.zeros((np.ptp(rows) + 1, np.ptp(columns) + 1), np.float32)
    image[rows - low[0], columns - low[1]] = values
    mass = float(values.sum())
    centre = np.array([(rows * values).sum(), (columns * values).sum()], np.float64) / mass - low
    step = [SIDE_CELLS * d / SIDE_PX for d in cell_px]
    first = [c - (SIDE_PX - 1) / 2 * s for c, s in zip(centre, step, strict=True)]
    # warpAffine with WARP_INVERSE_MAP reads, for each pixel (x, y) of the crop, the place it comes from.
    place = np.array([[step[1], 0, first[1]], [0, step[0], first[0]]])
    crop = cv2.warpAffine(image, place, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return crop / max(float(crop.max()), 1e-12)
