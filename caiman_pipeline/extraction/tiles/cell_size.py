"""How large the cells of a movie look, compared with the stated diameter before the search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage as ndi

from caiman_pipeline.model.arrays import BoolArray, FloatArray

# Of the stated diameter, in steps of a quarter: structures of these widths are looked for.
FACTORS = np.geomspace(1 / 6, 10, 19)
# The image is looked at in a window of at most so many pixels a side, and only for widths of which it can hold enough.
WINDOW_PX, FEWEST_PLACES, ROOM = 512, 12, 4.0
SMALLEST_PX = 2.5
# A disc answers the Laplacian of a Gaussian most at a standard deviation of its diameter / sqrt(8).
DISC = 1 / np.sqrt(8)
# Structures wider than this are looked for in an image of fewer pixels, which is quicker.
FINE_PX = 10
# Cells in correlation images answer at wider Gaussians than discs do: rings, halos and neighbours; measured on
# simulated and on labelled cells.
WIDER = 1.55
FAR = 2.25
# Where what is seen at the stated diameter is nearly as strong as the strongest, nothing contradicts it; where the
# image has no room for that diameter, it is enough that structures get weaker towards it.
AS_STRONG, WEAKER = 0.8, 0.95


def seen_cell_factor(image: FloatArray, valid: BoolArray, cell_px: Sequence[float]) -> float | None:
    """Return how many times the stated diameter the structures of an image are wide; None where it does not tell.

    Parameters
    ----------
    image : (H, W) or (D, H, W), local correlation
    valid : bool, the same shape, pixels that hold data
    cell_px : stated diameter along each axis

    Notes
    -----
    The strongest local maxima of the scale-normalised Laplacian of Gaussians of several widths (Lindeberg 1998,
    doi:10.1023/A:1008045108935), plane by plane. A maximum at the end of the range is no answer, nor is one that is
    hardly above what is found at the stated diameter.
    """
    planes, inside = _window(np.asarray(image, np.float64), np.asarray(valid, bool))
    tall, wide = (float(c) for c in cell_px[-2:])
    room = np.sqrt(inside.sum() / (FEWEST_PLACES * ROOM * tall * wide))
    factors = FACTORS[(FACTORS * min(tall, wide) >= SMALLEST_PX) & (room >= FACTORS)]
    strengths = np.array([_strength(planes, inside, (f * tall, f * wide)) for f in factors])
    if len(factors) < 3 or not np.isfinite(strengths).all():
        return None
    best = int(np.argmax(strengths))
    stated = float(np.interp(np.log(WIDER), np.log(factors), strengths))
    enough = AS_STRONG if factors[0] <= WIDER <= factors[-1] else WEAKER
    if best in (0, len(factors) - 1) or stated > enough * strengths[best]:
        return None
    return float(factors[best] / WIDER)


def cell_size_warning(image: FloatArray, valid: BoolArray, cell_px: Sequence[float]) -> str:
    """Say that the movie shows cells of quite another size than was stated, or ""."""
    factor = seen_cell_factor(image, valid, cell_px)
    if factor is None or 1 / FAR < factor < FAR:
        return ""
    stated, seen = (" x ".join(f"{f * c:.2g}" for c in cell_px[-2:]) for f in (1.0, factor))
    return (
        f"`cell_diameter` is {stated} px (rows x columns), but the correlation image shows structures of about {seen} "
        "px. Look at it in the report, and give the diameter with its unit."
    )


def _window(image: FloatArray, valid: BoolArray) -> tuple[FloatArray, BoolArray]:
    """Return the middle of an image as planes (D, h, w), what holds no data filled from next to it; and what does."""
    cut = tuple(slice(max(0, (n - WINDOW_PX) // 2), max(0, (n - WINDOW_PX) // 2) + WINDOW_PX) for n in image.shape[-2:])
    planes = np.atleast_3d(image.T).T[(slice(None), *cut)]
    inside = np.atleast_3d(valid.T).T[(slice(None), *cut)] & np.isfinite(planes)
    filled = planes.copy()
    for plane, good in zip(filled, inside, strict=True):
        if good.any() and not good.all():
            nearest = ndi.distance_transform_edt(~good, return_distances=False, return_indices=True)
            plane[:] = plane[tuple(nearest)]
    return filled, inside


def _strength(planes: FloatArray, inside: BoolArray, width_px: tuple[float, float]) -> float:
    """Return the mean of the strongest maxima of the Laplacian at one width, NaN where there are too few."""
    n = max(1, int(min(width_px) // FINE_PX))
    planes, inside, width_px = _binned(planes, n), _binned(inside, n) == 1, (width_px[0] / n, width_px[1] / n)
    sigma, reach = [DISC * w for w in width_px], [2 * int(w / 2) + 1 for w in width_px]
    found = []
    for plane, good in zip(planes, inside, strict=True):
        curve = sum(
            s**2 * ndi.gaussian_filter(plane, sigma, order=order, mode="nearest")
            for s, order in zip(sigma, ([2, 0], [0, 2]), strict=True)
        )
        answer = -np.asarray(curve)
        whole = ndi.minimum_filter(good, reach, mode="constant", cval=False)
        found.append(answer[(ndi.maximum_filter(answer, reach) == answer) & (answer > 0) & whole])
    peaks = np.sort(np.concatenate(found))[::-1]
    count = max(FEWEST_PLACES, int(0.1 * inside.sum() / np.prod(width_px)))
    return float(peaks[:count].mean()) if len(peaks) >= FEWEST_PLACES else float("nan")


def _binned(planes: FloatArray | BoolArray | BoolArray, n: int) -> FloatArray:
    """Return the means over squares of ``n`` pixels a side, float64 (D, h // n, w // n)."""
    depth, rows, columns = (len(planes), planes.shape[1] // n, planes.shape[2] // n)
    cut = planes[:, : rows * n, : columns * n].astype(np.float64)
    return np.asarray(cut.reshape(depth, rows, n, columns, n).mean((2, 4)))
