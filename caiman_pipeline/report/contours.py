"""Outlines of footprints, as paths for SVG."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from skimage.measure import find_contours

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.model.components import Components
from caiman_pipeline.report.canvas import Canvas

# Parts of a movie pixel to which outlines are drawn.
SUBPIXEL = 10


@dataclass(frozen=True)
class Outline:
    """One component on the canvas: its closed lines, each (points, 2) as x, y in movie pixels, and its middle."""

    lines: tuple[FloatArray, ...]
    x: float
    y: float

    @property
    def path(self) -> str:
        """SVG path in tenths of a movie pixel."""
        return "".join(_encode(line) for line in self.lines)


def trace_outlines(components: Components, canvas: Canvas, *, level: float) -> list[Outline]:
    """Return each component's outline at ``level`` of its peak; on several slabs where the component spans them.

    Pixel centres are at half-integer positions, so that outlines fit an image drawn from (0, 0) to (W, H).

    Parameters
    ----------
    components : Components
        K of them.
    canvas : Canvas
        Where planes are drawn.
    level : float
        Share of the peak, 0 to 1.

    Returns
    -------
    list of Outline
        One for each component, without lines where its footprint is empty.
    """
    slab_of_planes = canvas.slab_of_planes()
    footprints = components.footprints.tocsc()
    outlines = []
    for k in range(components.n_components):
        part = slice(footprints.indptr[k], footprints.indptr[k + 1])
        places = np.unravel_index(footprints.indices[part], components.dims)
        slabs = slab_of_planes[places[0]] if len(places) == 3 else np.zeros(len(places[0]), int)
        outlines.append(_outline(slabs, np.stack(places[-2:]), footprints.data[part], canvas=canvas, level=level))
    return outlines


def _outline(slabs: IntArray, places: IntArray, weights: FloatArray, *, canvas: Canvas, level: float) -> Outline:
    lines: list[FloatArray] = []
    peak, best = float(weights.max(initial=0)), (0.0, 0.0)
    for slab in np.unique(slabs) if peak > 0 else ():
        here = slabs == slab
        line = longest_line(places[:, here], weights[here], threshold=level * peak)
        if line is None:
            continue
        corner = canvas.corner(int(slab))
        lines.append(line + np.array([corner[1] + 0.5, corner[0] + 0.5]))
        if weights[here].max() == peak:
            best = (float(lines[-1][:, 0].mean()), float(lines[-1][:, 1].mean()))
    return Outline(tuple(lines), *best)


def longest_line(places: IntArray, weights: FloatArray, *, threshold: float) -> FloatArray | None:
    """Return the longest closed line around the pixels of a plane that reach a threshold.

    Parameters
    ----------
    places : int (2, n)
        Row and column of each pixel.
    weights : float (n,)
        Values of the pixels, any unit.
    threshold : float
        In the same unit.

    Returns
    -------
    float (points, 2), or None
        x and y, pixels; None where no pixel reaches it.
    """
    corner = places.min(1)
    box = np.zeros(places.max(1) - corner + 5, np.float32)
    np.maximum.at(box, tuple(places - corner[:, None] + 2), weights)
    if box.max() < threshold:
        return None
    smooth = cv2.GaussianBlur(box, (3, 3), 0.6)
    lines = find_contours(smooth, min(threshold, 0.8 * float(smooth.max())))
    longest = max(lines, key=len)
    return (longest + corner - 2)[:, ::-1]


def _encode(line: FloatArray) -> str:
    points = np.round(line * SUBPIXEL).astype(int)
    steps = np.diff(points, axis=0)
    steps = steps[np.any(steps != 0, axis=1)]
    moves = "".join(f"{x}{y:+d} " if y < 0 else f"{x} {y} " for x, y in steps[:-1].tolist())
    return f"M{points[0, 0]} {points[0, 1]}l{moves.strip()}z"
