"""The flat picture on which a field of view is drawn: the image itself, or the planes of a volume side by side."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, sqrt

import cv2
import numpy as np

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.model.movie import Dims

# Pictures of planes, at most, side by side.
MAX_SLABS = 12
# Pixels of a picture's longer side, at most.
MAX_SIDE_PX = 1024
# Pixels between pictures.
GAP_PX = 3


@dataclass(frozen=True)
class Canvas:
    """Where each slab of planes lies; coordinates are movie pixels.

    Attributes
    ----------
    slabs : first and last plane (exclusive) of each slab; one slab (0, 1) for a single plane
    columns : slabs per row
    """

    dims: Dims
    slabs: tuple[tuple[int, int], ...]
    columns: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        rows = ceil(len(self.slabs) / self.columns)
        height, width = self.dims[-2:]
        return rows * (height + GAP_PX) - GAP_PX, self.columns * (width + GAP_PX) - GAP_PX

    def corner(self, slab: int) -> tuple[int, int]:
        """Return row and column of a slab's first pixel.

        Parameters
        ----------
        slab : int
            Number of the slab, from 0.

        Returns
        -------
        (int, int)
            Row and column, pixels.
        """
        height, width = self.dims[-2:]
        return (slab // self.columns) * (height + GAP_PX), (slab % self.columns) * (width + GAP_PX)

    def slab_of_planes(self) -> IntArray:
        """Return the slab of each plane, int (D,)."""
        return np.repeat(np.arange(len(self.slabs)), [b - a for a, b in self.slabs])


def lay_out(dims: Dims) -> Canvas:
    """Choose how to show a field of view: planes side by side; more than twelve are drawn together in slabs.

    Parameters
    ----------
    dims : tuple of int
        (H, W) or (D, H, W).

    Returns
    -------
    Canvas
        Where each plane goes.

    Examples
    --------
    >>> lay_out((96, 128)).shape
    (96, 128)
    """
    if len(dims) == 2:
        return Canvas(dims, ((0, 1),), 1)
    n_slabs = min(dims[0], MAX_SLABS)
    edges = [round(i * dims[0] / n_slabs) for i in range(n_slabs + 1)]
    columns = min(n_slabs, max(1, round(sqrt(n_slabs * 1.6 * dims[1] / dims[2]))))
    return Canvas(dims, tuple(pairwise(edges)), columns)


def flatten(image: FloatArray, canvas: Canvas) -> FloatArray:
    """Draw an image of shape ``dims`` on the canvas, slabs as maxima over their planes, gaps NaN.

    Parameters
    ----------
    image : float32 (*dims)
        Any unit.
    canvas : Canvas
        Made for these dims.

    Returns
    -------
    float32 (H, W)
        The canvas, in the image's unit.
    """
    volume = image[None] if image.ndim == 2 else image
    height, width = canvas.dims[-2:]
    flat = np.full(canvas.shape, np.nan, np.float32)
    for index, (first, stop) in enumerate(canvas.slabs):
        row, column = canvas.corner(index)
        flat[row : row + height, column : column + width] = volume[first:stop].max(0)
    return flat


def to_grey(
    flat: FloatArray,
    *,
    low: float = 1.0,
    high: float = 99.7,
    like: FloatArray | None = None,
    power: float = 1.0,
    room: float = 0.0,
) -> IntArray:
    """Stretch an image between two percentiles (of ``like``, if given) to uint8; what is not finite becomes black.

    Parameters
    ----------
    flat : float (H, W)
        Any unit.
    low : float
        Percentile that becomes black.
    high : float
        Percentile that becomes white.
    like : float (H, W), optional
        Image whose percentiles are taken.
    power : float
        Exponent of the brightness curve, below 1 to lift the dark parts.
    room : float
        Share of the range to leave free above, so that lines drawn on it stand out.

    Returns
    -------
    uint8 (H, W)
        The picture.
    """
    reference = flat if like is None else like
    finite = reference[np.isfinite(reference)]
    if not finite.size:
        return np.zeros(flat.shape, np.uint8)
    bottom, top = np.percentile(finite[:: max(1, finite.size // 250_000)], [low, high])
    scaled = np.nan_to_num((flat - bottom) / max((1 + room) * (top - bottom), 1e-12), nan=0.0, posinf=1.0, neginf=0.0)
    return (255 * np.clip(scaled, 0, 1) ** power + 0.5).astype(np.uint8)


def shrink(grey: IntArray, max_side: int = MAX_SIDE_PX) -> IntArray:
    """Reduce an image so that its longer side has at most ``max_side`` pixels.

    Parameters
    ----------
    grey : uint8 (H, W) or (H, W, 3)
        The picture.
    max_side : int
        Pixels of the longer side, at most.

    Returns
    -------
    uint8 (h, w) or (h, w, 3)
        The picture itself where it is small enough.
    """
    scale = max_side / max(grey.shape[:2])
    if scale >= 1:
        return grey
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)


def jpeg_bytes(picture: IntArray, quality: int = 82) -> bytes:
    """Encode a grey (H, W) or blue-green-red (H, W, 3) uint8 picture as JPEG.

    Parameters
    ----------
    picture : uint8 (H, W) or (H, W, 3)
        Grey, or blue, green, red.
    quality : int
        0 to 100.

    Returns
    -------
    bytes
        The file.
    """
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def jpeg_uri(picture: IntArray, quality: int = 82) -> str:
    """Return a picture as a data URI.

    Parameters
    ----------
    picture : uint8 (H, W) or (H, W, 3)
        Grey, or blue, green, red.
    quality : int
        0 to 100.

    Returns
    -------
    str
        What a page takes as a picture's source.
    """
    return "data:image/jpeg;base64," + base64.b64encode(jpeg_bytes(picture, quality)).decode()
