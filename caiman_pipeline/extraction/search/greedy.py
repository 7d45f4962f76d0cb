"""Greedy search for components: the place with most activity, its footprint and trace, subtract, repeat.

The movie is normalised by its noise, its background is gone, and time is binned. Activity is what exceeds a few
standard deviations after filtering with a cell-sized kernel, so that rare events of dim cells count as much as their
evidence. After the greedy initialisation of Pnevmatikakis et al. 2016 (10.1016/j.neuron.2015.11.037), searching
significance, not energy.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy import ndimage as ndi

from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.numerics.filters import convolve_space, kernel_norm, matched_kernels
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.noise import quiet_level
from caiman_pipeline.numerics.threads import row_slabs

# Pixels around a place, along an axis, from which every second one is enough for a median.
COARSE_FROM_PX = 8
PIXELS_AT_ONCE = 2048
# Planes at most two cells apart see the same cells: what lies between them is out of focus in both.
SAME_CELLS_PX = 0.5


@dataclass(frozen=True)
class Found:
    """Components found in a tile.

    Attributes
    ----------
    footprints : float32 (P, K), in units of noise
    traces : float32 (K, T), baseline near zero
    evidence : float32 (K,), activity above threshold when found, in units of noise variance
    """

    footprints: FloatArray
    traces: FloatArray
    evidence: FloatArray


@dataclass
class _Search:
    """State of the search: what is left of the movie, filtered and unfiltered, and the map of evidence."""

    dims: Dims
    rest: FloatArray  # (*dims, T), noise-normalised residual
    filtered: FloatArray  # (*dims, T), matched filter of it, noise-normalised
    evidence: FloatArray  # (*dims,)
    kernels: list[FloatArray]
    scale: FloatArray  # (*dims,), what the filtered movie was divided by
    transient: FloatArray  # (taps,), a transient's shape in bins
    lasting: FloatArray  # (*dims,), noise of the filtered movie once filtered with it
    threshold: float
    reach: tuple[int, ...]


@compiled(fastmath={"contract", "reassoc"})
def _sum_above(filtered: FloatArray, threshold: float, out: FloatArray) -> None:
    """Sum the squares above ``threshold`` over time; (N, T) -> (N,)."""
    for i in range(filtered.shape[0]):
        total = 0.0
        for t in range(filtered.shape[1]):
            above = filtered[i, t] - threshold
            if above > 0:
                total += above * above
        out[i] = total


def evidence_map(filtered: FloatArray, threshold: float) -> FloatArray:
    """Return the activity above a threshold of each pixel.

    Parameters
    ----------
    filtered : float32 (*dims, T)
        A movie in units of its noise.
    threshold : float
        In the same unit.

    Returns
    -------
    float32 (*dims)
        Sum over time of the squares above it, in noise variances.
    """
    flat = np.ascontiguousarray(filtered).reshape(-1, filtered.shape[-1])
    out = np.empty(len(flat), np.float32)
    _sum_above(flat, threshold, out)
    return out.reshape(filtered.shape[:-1])


@compiled(fastmath={"contract", "reassoc"})
def _match_transients(filtered: FloatArray, transient: FloatArray, out: FloatArray) -> None:
    """Correlate (N, T) with a transient's shape along time: ``out[t]`` is the match of one that begins at t."""
    length = filtered.shape[1]
    for i in range(filtered.shape[0]):
        row, matched = filtered[i], out[i]
        for t in range(length):
            matched[t] = row[t] * transient[0]
        for k in range(1, len(transient)):
            weight = transient[k]
            for t in range(length - k):
                matched[t] += weight * row[t + k]


def match_transients(filtered: FloatArray, transient: FloatArray) -> FloatArray:
    """Return the match with a transient that begins in each bin, (*dims, T), transient (taps,)."""
    flat = np.ascontiguousarray(filtered, np.float32).reshape(-1, filtered.shape[-1])
    out = np.empty_like(flat)
    _match_transients(flat, transient, out)
    return out.reshape(filtered.shape)


def transient_shape(decay_bins: float) -> FloatArray:
    """Return a transient in bins, float32 (taps,): its decay while at least a third is left, at most eight bins."""
    taps = min(int(np.log(3.0) * decay_bins) + 1, 8)
    return np.exp(-np.arange(taps) / max(decay_bins, 1e-6)).astype(np.float32)


def chance_spread(transient: FloatArray) -> float:
    """Return how many times further evidence of noise scatters once it is matched with a transient.

    Matched bins are correlated: their sum has the same mean, and as much more variance as the squared correlations add.
    """
    products = np.correlate(transient.astype(np.float64), transient, mode="full")
    return float(np.sqrt(np.sum((products / products.max()) ** 2)))


def _evidence(search: _Search, box: tuple[slice, ...]) -> FloatArray:
    """Return the activity in a box, by single bins or by whole transients, whichever shows more of it."""
    filtered = search.filtered[box]
    single = evidence_map(filtered, search.threshold)
    if len(search.transient) == 1:
        return single
    matched = match_transients(filtered, search.transient)
    matched /= search.lasting[box][..., None]
    return np.maximum(single, evidence_map(matched, search.threshold) / chance_spread(search.transient))


def greedy_search(
    residual: FloatArray,
    dims: Dims,
    *,
    cell_px: tuple[float, ...],
    decay_bins: float,
    threshold: float,
    min_evidence: float,
    max_components: int,
    allowed: BoolArray,
) -> Found:
    """Find components in a background-free movie.

    Parameters
    ----------
    residual : float32 (P, T), in units of each pixel's noise; what is found is taken out of it, in place
    dims : shape of the P pixels
    cell_px : diameter of a cell along each axis
    decay_bins : decay time of a transient, bins
    threshold : activity counts above this many standard deviations of the filtered movie
    min_evidence : the search ends where no pixel has more activity above threshold, in noise variances
    max_components : the search ends here at the latest
    allowed : bool (P,), pixels where a component may be centred

    Returns
    -------
    Components in the order found.
    """
    search = _start(residual, dims, cell_px, transient_shape(decay_bins), threshold)
    search.evidence[~allowed.reshape(dims)] = -1.0
    footprints: list[FloatArray] = []
    traces: list[FloatArray] = []
    evidence: list[float] = []
    while len(traces) < max_components:
        peak = int(np.argmax(search.evidence))
        centre = tuple(int(i) for i in np.unravel_index(peak, dims))
        strength = float(search.evidence[centre])
        if strength < min_evidence:
            break
        grown = _grow(search, centre, cell_px)
        search.evidence[centre] = -1.0
        if grown is None:
            continue
        box, footprint, trace = grown
        _subtract(search, box, footprint, np.maximum(trace, 0))
        search.evidence[centre] = -1.0
        whole = np.zeros(dims, np.float32)
        whole[box] = footprint
        footprints.append(whole.ravel())
        traces.append(trace)
        evidence.append(strength)
    n_pixels, n_bins = residual.shape
    return Found(
        np.stack(footprints, axis=1) if footprints else np.zeros((n_pixels, 0), np.float32),
        np.stack(traces) if traces else np.zeros((0, n_bins), np.float32),
        np.array(evidence, np.float32),
    )


def _start(
    residual: FloatArray, dims: Dims, cell_px: tuple[float, ...], transient: FloatArray, threshold: float
) -> _Search:
    movie = residual.reshape(*dims, -1)
    kernels = matched_kernels(cell_px)
    filtered = np.empty_like(movie)
    for a, b in row_slabs(movie.shape[-1], 128):
        filtered[..., a:b] = convolve_space(movie[..., a:b], kernels)
    middle, noise = quiet_level(filtered)
    floor = kernel_norm(dims, kernels)[..., None]
    around = [max(round(2 * d), 1) if d > 1.5 else 1 for d in cell_px]
    typical = np.maximum(_local_median(noise[..., 0], around)[..., None], 0.5 * floor)
    # A pixel's own noise, for what its background leaves behind; but a cell active for most of the time must not hide.
    scale = np.clip(noise, typical, 2 * typical)
    filtered -= middle
    filtered /= scale
    reach, nothing = tuple(ceil(d) for d in cell_px), np.zeros(dims, np.float32)
    lasting = _matched_noise(filtered, transient, around)
    search = _Search(dims, movie, filtered, nothing, kernels, scale[..., 0], transient, lasting, threshold, reach)
    for a, b in row_slabs(dims[0], max(1, PIXELS_AT_ONCE // int(np.prod(dims[1:])))):
        search.evidence[a:b] = _evidence(search, (slice(a, b),))
    return search


def _matched_noise(filtered: FloatArray, transient: FloatArray, around: list[int]) -> FloatArray:
    """Return the noise of the filtered movie's match with a transient, (*dims): a pixel's own, within bounds."""
    dims, flat = filtered.shape[:-1], filtered.reshape(-1, filtered.shape[-1])
    floor = float(np.sqrt(np.sum(transient.astype(np.float64) ** 2)))
    spread = np.full(len(flat), floor, np.float32)
    if len(transient) > 1:
        for a, b in row_slabs(len(flat), PIXELS_AT_ONCE):
            spread[a:b] = quiet_level(match_transients(flat[a:b], transient))[1][:, 0]
    typical = np.maximum(_local_median(spread.reshape(dims), around), 0.5 * floor)
    return np.clip(spread.reshape(dims), typical, 2 * typical)


def _local_median(image: FloatArray, size: list[int]) -> FloatArray:
    """Return the median around each pixel, of every second pixel along axes where many are around."""
    steps = [2 if n >= COARSE_FROM_PX else 1 for n in size]
    sparse = image[tuple(slice(None, None, step) for step in steps)]
    middle = ndi.median_filter(sparse, [n // step for n, step in zip(size, steps, strict=True)], mode="nearest")
    for axis, step in enumerate(steps):
        middle = middle.repeat(step, axis=axis)
    return middle[tuple(slice(n) for n in image.shape)]


def _box(centre: tuple[int, ...], reach: tuple[int, ...], dims: Dims) -> tuple[slice, ...]:
    return tuple(slice(max(c - r, 0), min(c + r + 1, n)) for c, r, n in zip(centre, reach, dims, strict=True))


def _grow(
    search: _Search, centre: tuple[int, ...], cell_px: tuple[float, ...]
) -> tuple[tuple[slice, ...], FloatArray, FloatArray] | None:
    """Fit footprint and trace around a peak by alternating regression on the active frames; None if nothing holds."""
    box = _box(centre, search.reach, search.dims)
    local = search.rest[box]
    shape = local.shape[:-1]
    pixels = local.reshape(-1, local.shape[-1])
    offsets = np.ogrid[tuple(slice(b.start - c, b.stop - c) for b, c in zip(box, centre, strict=True))]
    squares = ((o / r) ** 2 for o, r in zip(offsets, _radii(cell_px), strict=True))
    inside = (sum(squares, np.zeros(1)) <= 1).ravel()
    middle = tuple(c - b.start for c, b in zip(centre, box, strict=True))
    trace, cut = search.filtered[centre], search.threshold
    by_transients = _shows_transients(search, centre)
    for _ in range(3):
        active = _activity(trace, cut, search.transient if by_transients else search.transient[:1])
        power = float(active @ active)
        if power <= 0:
            return None
        footprint = np.maximum(pixels @ active / power, 0) * inside
        footprint = main_body(footprint.reshape(shape), middle).ravel()
        norm = float(footprint @ footprint)
        if norm <= 0 or np.count_nonzero(footprint) < 3:
            return None
        trace = (footprint / norm) @ pixels
        trace = trace - np.median(trace)
        cut = 1.5
    return box, footprint.reshape(shape).astype(np.float32), trace.astype(np.float32)


def _shows_transients(search: _Search, centre: tuple[int, ...]) -> bool:
    """Return whether whole transients show more of a pixel's activity than single bins."""
    row = search.filtered[centre][None]
    matched = match_transients(row, search.transient) / search.lasting[centre]
    by_transients = evidence_map(matched, search.threshold)[0] / chance_spread(search.transient)
    return bool(by_transients > evidence_map(row, search.threshold)[0])


def _activity(trace: FloatArray, cut: float, transient: FloatArray) -> FloatArray:
    """Return the activity of a trace above ``cut`` times its noise, float32 (T,), as a sum of transients."""
    matched = match_transients(trace[None], transient)[0]
    level = float(np.sqrt(2 * np.mean(np.minimum(matched, 0) ** 2)))
    onsets = np.maximum(matched - cut * level, 0)
    return np.convolve(onsets, transient)[: len(trace)].astype(np.float32)


def _radii(cell_px: tuple[float, ...]) -> tuple[float, ...]:
    """Return how far from its peak a component may reach along each axis, pixels."""
    radii = tuple(0.9 * max(d, 1.0) for d in cell_px)
    return (max(radii[0], 1.5), *radii[1:]) if shows_beside(cell_px) else radii


def shows_beside(cell_px: tuple[float, ...]) -> bool:
    """Return whether the movie is a volume with planes so near that a cell shows in those beside its own.

    Parameters
    ----------
    cell_px : tuple of float
        Diameter of a cell along each axis, pixels (planes).

    Returns
    -------
    bool
        Whether it does.

    Examples
    --------
    >>> shows_beside((12.0, 12.0)), shows_beside((2.0, 12.0, 12.0))
    (False, True)
    """
    return len(cell_px) == 3 and cell_px[0] >= SAME_CELLS_PX


def main_body(footprint: FloatArray, centre: tuple[int, ...]) -> FloatArray:
    """Keep the connected part that holds the centre (or has the most mass); the footprint is smoothed to decide.

    Parameters
    ----------
    footprint : float32 (*box)
        Weights.
    centre : tuple of int
        A place in the box.

    Returns
    -------
    float32 (*box)
        Weights, 0 outside that part.
    """
    smooth = ndi.gaussian_filter(footprint, 0.7)
    labels, count = ndi.label(smooth > 0.2 * smooth.max())
    if count == 0:
        return np.zeros_like(footprint)
    label = labels[centre]
    if label == 0:
        label = 1 + int(np.argmax(ndi.sum(footprint, labels, range(1, count + 1))))
    return np.where(labels == label, footprint, 0).astype(np.float32)


def _subtract(search: _Search, box: tuple[slice, ...], footprint: FloatArray, trace: FloatArray) -> None:
    """Take a component out of the movie and bring the filtered movie and the evidence up to date around it."""
    search.rest[box] -= footprint[..., None] * trace
    margin = tuple(len(k) // 2 for k in search.kernels)
    wide = tuple(
        slice(max(b.start - m, 0), min(b.stop + m, n)) for b, m, n in zip(box, margin, search.dims, strict=True)
    )
    padded = np.zeros(tuple(w.stop - w.start for w in wide), np.float32)
    inner = tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, wide, strict=True))
    padded[inner] = footprint
    blurred = convolve_space(padded, search.kernels) / search.scale[wide]
    search.filtered[wide] -= blurred[..., None] * trace
    fresh = _evidence(search, wide)
    old = search.evidence[wide]
    search.evidence[wide] = np.where(old < 0, old, fresh)
