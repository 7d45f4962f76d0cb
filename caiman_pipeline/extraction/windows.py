"""Boxes of a field of view around a place, and how a footprint in a box looks through a filter."""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.numerics.filters import convolve_space

Box = tuple[slice, ...]


def box_around(centre: tuple[int, ...], reach: tuple[int, ...], dims: Dims) -> Box:
    """Return the box of ``reach`` pixels to each side of ``centre``, cut at the border of the field.

    Parameters
    ----------
    centre : tuple of int
        A place, pixels.
    reach : tuple of int
        Pixels to each side, along each axis.
    dims : tuple of int
        (H, W) or (D, H, W).

    Returns
    -------
    tuple of slice
        The box.

    Examples
    --------
    >>> box_around((1, 6), (2, 2), (9, 12))
    (slice(0, 4, None), slice(4, 9, None))
    """
    return tuple(slice(max(c - r, 0), min(c + r + 1, n)) for c, r, n in zip(centre, reach, dims, strict=True))


def widened(box: Box, margin: tuple[int, ...], dims: Dims) -> Box:
    """Return ``box`` with ``margin`` pixels more on each side, cut at the border of the field.

    Parameters
    ----------
    box : tuple of slice
        A box of the field.
    margin : tuple of int
        Pixels to add, along each axis.
    dims : tuple of int
        (H, W) or (D, H, W).

    Returns
    -------
    tuple of slice
        The wider box.
    """
    return tuple(slice(max(b.start - m, 0), min(b.stop + m, n)) for b, m, n in zip(box, margin, dims, strict=True))


def within(inner: Box, outer: Box) -> Box:
    """Return where ``inner`` lies in an array that holds ``outer``.

    Parameters
    ----------
    inner : tuple of slice
        A box of the field.
    outer : tuple of slice
        One that holds it.

    Returns
    -------
    tuple of slice
        Counted from the outer one's corner.

    Examples
    --------
    >>> within((slice(4, 6),), (slice(3, 9),))
    (slice(1, 3, None),)
    """
    return tuple(slice(b.start - o.start, b.stop - o.start) for b, o in zip(inner, outer, strict=True))


def filtered_footprint(
    footprint: FloatArray, box: Box, dims: Dims, *, kernels: list[FloatArray]
) -> tuple[Box, FloatArray]:
    """Return the box that a filtered footprint (*box) reaches, and the filtered footprint there.

    Parameters
    ----------
    footprint : float32 (*box)
        Any unit.
    box : tuple of slice
        Where it lies in the field.
    dims : tuple of int
        (H, W) or (D, H, W).
    kernels : list of float32 (n,)
        One for each axis.

    Returns
    -------
    box : tuple of slice
        The box that it reaches.
    filtered : float32 (*box)
        The filtered footprint there.
    """
    wide = widened(box, tuple(len(k) // 2 for k in kernels), dims)
    padded = np.zeros(tuple(w.stop - w.start for w in wide), np.float32)
    padded[within(box, wide)] = footprint
    return wide, convolve_space(padded, kernels)
