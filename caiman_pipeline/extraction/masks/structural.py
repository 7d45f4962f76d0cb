"""Masks of cells from an image of a structural channel, by a threshold that follows the brightness around."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Literal

import numpy as np
from scipy import ndimage as ndi
from scipy.sparse import csc_matrix

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.movies.readers.open import RawMovie

# Bytes of frames that are summed at a time, as float64.
CHUNK_BYTES = 64 * 2**20


def mean_image(movie: RawMovie, *, progress: Callable[[int, int], None]) -> FloatArray:
    """Return the mean of all frames, reading a few at a time.

    Parameters
    ----------
    movie : RawMovie
        The frames.
    progress : callable
        Called with the frames that are done, and those in all.

    Returns
    -------
    float32 (*dims)
        Mean, raw pixel values.
    """
    step = max(1, CHUNK_BYTES // (8 * prod(movie.dims)))
    total = np.zeros(movie.dims)
    for start in range(0, movie.n_frames, step):
        stop = min(start + step, movie.n_frames)
        total += movie.read(start, stop).sum(0, dtype=np.float64)
        progress(stop, movie.n_frames)
    return (total / movie.n_frames).astype(np.float32)


def extract_binary_masks(
    image: FloatArray,
    *,
    cell_px: tuple[float, ...],
    contrast: float,
    min_area: float,
    max_hole: float,
    expand: Literal["closing", "dilation", "none"],
    expand_px: int,
    split: bool,
) -> csc_matrix:
    """Find cells in an image of a structural channel.

    Parameters
    ----------
    image : (*dims), brighter inside cells
    cell_px : diameter of a cell along each axis
    contrast : standard deviations of the background above which a pixel belongs to a cell; its brightness is compared
        with the mean around it
    min_area, max_hole : smallest mask, and largest hole that is filled, as shares of a cell's area (volume)
    expand, expand_px : widen what was found by closing or dilation of so many pixels
    split : cut cells that touch apart where they are narrowest

    Returns
    -------
    Masks (P, S) of ones, none overlapping, in the order of their first pixels.

    Notes
    -----
    As ``extract_binary_masks_from_structural_channel`` of the reference: adaptive threshold, holes filled, small things
    removed, closing or dilation. Splitting is an addition. A constant image has no masks.
    """
    bright = _above_surround(image.astype(np.float64), cell_px, contrast)
    cell = (np.pi / 4 if image.ndim == 2 else np.pi / 6) * prod(max(d, 1.0) for d in cell_px)
    bright = _fill_holes(bright, max_hole * cell)
    bright = _large_parts(bright, min_area * cell)
    ball = _ball(expand_px, image.shape)
    if expand == "closing":
        bright = ndi.binary_closing(np.pad(bright, expand_px), ball)[
            (slice(expand_px, -expand_px or None),) * image.ndim
        ]
    elif expand == "dilation":
        bright = ndi.binary_dilation(bright, ball)
    labels = _split(bright, cell_px) if split else ndi.label(bright)[0]
    return _as_masks(labels, min_area * cell)


def _above_surround(image: FloatArray, cell_px: tuple[float, ...], contrast: float) -> BoolArray:
    """Return which pixels are brighter than the mean around them, by ``contrast`` times the deviation of background.

    Of what is as bright, pixels below half of the brightest within half a cell are the blurred border.
    """
    fine = ndi.gaussian_filter(image, [0.1 * d for d in cell_px], mode="nearest")
    difference = fine - _smooth(fine, list(cell_px))
    # Cells lie above: what lies below the median is background, mirrored it gives the deviation.
    middle = np.median(difference)
    below = difference[difference < middle] - middle
    deviation = np.sqrt(np.mean(below**2)) if below.size else 0.0
    if deviation <= 0:
        return np.zeros(image.shape, bool)
    summit = ndi.maximum_filter(difference, [2 * int(0.5 * d) + 1 for d in cell_px])
    return (difference > contrast * deviation) & (difference > 0.5 * summit)


def _smooth(image: FloatArray, sigmas: list[float]) -> FloatArray:
    """Filter with a Gaussian; beyond its border the image goes on mirrored in its last value, as slopes do."""
    pads = [min(int(4 * s) + 1, n - 1) for s, n in zip(sigmas, image.shape, strict=True)]
    wide = np.pad(image, [(p, p) for p in pads], mode="reflect", reflect_type="odd")
    smooth = ndi.gaussian_filter(wide, [s if n > 1 else 0 for s, n in zip(sigmas, image.shape, strict=True)])
    return smooth[tuple(slice(p, p + n) for p, n in zip(pads, image.shape, strict=True))]


def _ball(radius: int, dims: tuple[int, ...]) -> BoolArray:
    """Return a disc, or a ball where there is more than one plane."""
    from skimage.morphology import ball, disk

    if len(dims) == 3 and dims[0] > 1:
        return ball(radius, dtype=bool)
    disc = disk(radius, dtype=bool)
    return disc if len(dims) == 2 else disc[None]


def _fill_holes(bright: BoolArray, largest: float) -> BoolArray:
    holes, count = ndi.label(~bright)
    if count == 0:
        return bright
    small = np.bincount(holes.ravel()) <= largest
    small[0] = False
    return bright | small[holes]


def _large_parts(bright: BoolArray, smallest: float) -> BoolArray:
    labels, _ = ndi.label(bright)
    large = np.bincount(labels.ravel()) >= smallest
    large[0] = False
    return large[labels]


def _split(bright: BoolArray, cell_px: tuple[float, ...]) -> IntArray:
    """Label parts, cut along the watershed of their depth; summits closer than half a cell are one."""
    from skimage.segmentation import watershed

    depth = ndi.distance_transform_edt(bright, sampling=[max(cell_px) / max(d, 1.0) for d in cell_px])
    depth = ndi.gaussian_filter(depth, [0.1 * d for d in cell_px])
    size = [2 * int(0.35 * d) + 1 for d in cell_px]
    summits = bright & (depth == ndi.maximum_filter(depth, size))
    return watershed(-depth, ndi.label(summits, np.ones((3,) * bright.ndim))[0], mask=bright)


def _as_masks(labels: IntArray, smallest: float) -> csc_matrix:
    flat = labels.ravel()
    sizes = np.bincount(flat)
    wanted = np.flatnonzero(sizes >= smallest)
    wanted = wanted[wanted > 0]
    firsts = np.full(len(sizes), len(flat))
    np.minimum.at(firsts, flat, np.arange(len(flat)))
    number = np.full(len(sizes), -1)
    number[wanted[np.argsort(firsts[wanted])]] = np.arange(len(wanted))
    rows = np.flatnonzero(number[flat] >= 0)
    ones = np.ones(len(rows), np.float32)
    return csc_matrix((ones, (rows, number[flat[rows]])), shape=(len(flat), len(wanted)))
