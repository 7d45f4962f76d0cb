"""Greedy initialisation by local correlation and peak-to-noise ratio, for two-photon movies of low background.

After the initialisation of CNMF-E (Zhou et al. 2018, 10.7554/eLife.28728), without its ring background: seeds are
pixels that fire together with their neighbours and far above noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from caiman_pipeline.extraction.search.greedy import Found, main_body
from caiman_pipeline.extraction.search.initialise import Evidence, with_evidence
from caiman_pipeline.extraction.windows import Box, box_around, filtered_footprint, widened, within
from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.numerics.filters import convolve_space, gaussian_kernel, kernel_norm
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.noise import quiet_level


@dataclass(frozen=True)
class CorrPnr:
    """Settings of the search by correlation and peak-to-noise ratio.

    Attributes
    ----------
    cell_px : diameter of a cell along each axis (two of them)
    smooth_sd : standard deviation of the Gaussian that the movie is smoothed with, in cell diameters
    box : half side of the box that a component is fitted in, in cell diameters
    min_corr, min_pnr : what a seed pixel needs
    noise_sd : values below this many standard deviations count as zero in the correlation
    trace_corr, footprint_corr : pixels whose correlation with the seed is above these make up the trace, the footprint
    evidence : what a component needs to be kept
    """

    cell_px: tuple[float, ...]
    smooth_sd: float
    box: float
    min_corr: float
    min_pnr: float
    noise_sd: float
    trace_corr: float
    footprint_corr: float
    evidence: Evidence

    def __call__(self, rest: FloatArray, dims: Dims, *, allowed: BoolArray, limit: int) -> Found:
        """Find components where correlation times peak-to-noise ratio is largest."""
        search = _start(rest, dims, self)
        free = allowed.reshape(dims).copy()
        footprints: list[FloatArray] = []
        traces: list[FloatArray] = []
        while len(traces) < limit:
            seeds = free & (search.correlation >= self.min_corr) & (search.pnr >= self.min_pnr)
            if not seeds.any():
                break
            score = np.where(seeds, search.correlation * search.pnr, -1)
            centre = tuple(int(i) for i in np.unravel_index(int(np.argmax(score)), dims))
            free[centre] = False
            box = box_around(centre, search.reach, dims)
            footprint, trace = _extract(search, centre, box, self)
            footprint = footprint * allowed.reshape(dims)[box]
            if footprint.any():
                _subtract(search, box, footprint, np.maximum(trace, 0), self.noise_sd)
            if footprint.any() and self.evidence.of(trace[None])[0] >= self.evidence.least:
                whole = np.zeros(dims, np.float32)
                whole[box] = footprint
                footprints.append(whole.ravel())
                traces.append(trace)
        if not traces:
            nothing = np.zeros((0, rest.shape[1]), np.float32)
            return Found(np.zeros((len(rest), 0), np.float32), nothing, np.zeros(0, np.float32))
        return with_evidence(np.stack(footprints, axis=1), np.stack(traces), self.evidence, limit=limit)


@dataclass
class _Search:
    """What is left of the movie, smoothed (in units of its noise) and not; correlation and peak-to-noise images."""

    dims: Dims
    rest: FloatArray  # (H, W, T)
    filtered: FloatArray  # (H, W, T)
    correlation: FloatArray  # (H, W)
    pnr: FloatArray  # (H, W)
    kernels: list[FloatArray]
    scale: FloatArray  # (H, W)
    reach: tuple[int, ...]


def _start(rest: FloatArray, dims: Dims, settings: CorrPnr) -> _Search:
    movie = rest.reshape(*dims, -1).copy()
    kernels = [gaussian_kernel(settings.smooth_sd * d) for d in settings.cell_px]
    filtered = convolve_space(movie, kernels)
    middle, noise = quiet_level(filtered)
    scale = np.maximum(noise, 0.5 * kernel_norm(dims, kernels)[..., None])
    filtered -= middle
    filtered /= scale
    reach = tuple(ceil(settings.box * d) for d in settings.cell_px)
    correlation = neighbour_correlation(filtered, settings.noise_sd)
    return _Search(dims, movie, filtered, correlation, filtered.max(-1), kernels, scale[..., 0], reach)


def neighbour_correlation(filtered: FloatArray, noise_sd: float) -> FloatArray:
    """Return the mean correlation of each pixel with its eight neighbours, values below noise as zero.

    Parameters
    ----------
    filtered : float32 (H, W, T)
        A movie, smoothed, in units of its noise.
    noise_sd : float
        Values up to this count as zero.

    Returns
    -------
    float32 (H, W)
        Correlation.

    References
    ----------
    Zhou et al. 2018, 10.7554/eLife.28728; Smith & Häusser 2010, 10.1038/nn.2620.
    """
    active = np.where(filtered > noise_sd, filtered, 0).astype(np.float32)
    active -= active.mean(-1, keepdims=True)
    norm = np.sqrt(np.einsum("ijt,ijt->ij", active, active))[..., None]
    active /= np.where(norm > 0, norm, 1)
    out = np.zeros(filtered.shape[:2], np.float32)
    _mean_product(active, out)
    return out


@compiled(fastmath={"contract", "reassoc"})
def _mean_product(unit: FloatArray, out: FloatArray) -> None:
    """Average the products of each unit row (H, W, T) with those of its neighbours that exist."""
    height, width, n = unit.shape
    for i in range(height):
        for j in range(width):
            total, count = np.float32(0.0), 0
            for di in range(-1, 2):
                for dj in range(-1, 2):
                    a, b = i + di, j + dj
                    if (di == 0 and dj == 0) or a < 0 or b < 0 or a >= height or b >= width:
                        continue
                    for t in range(n):
                        total += unit[i, j, t] * unit[a, b, t]
                    count += 1
            out[i, j] = total / max(count, 1)


def _extract(search: _Search, centre: tuple[int, ...], box: Box, settings: CorrPnr) -> tuple[FloatArray, FloatArray]:
    """Return footprint (*box) and trace (T,): the mean of what correlates strongly with the seed, regressed around."""
    local, smooth = search.rest[box], search.filtered[box]
    seed = search.filtered[centre]
    alike = _correlation_with(smooth, seed)
    core = alike >= settings.trace_corr
    trace = (local[core].mean(0) if core.any() else seed).astype(np.float32)
    trace = trace - np.median(trace)
    active = np.maximum(trace, 0)
    power = float(active @ active)
    middle = tuple(c - b.start for c, b in zip(centre, box, strict=True))
    if power <= 0:
        return np.zeros(local.shape[:-1], np.float32), trace
    weights = np.maximum(local @ active / power, 0) * (alike >= settings.footprint_corr)
    footprint = main_body(weights.astype(np.float32), middle)
    norm = float((footprint * footprint).sum())
    if norm > 0:
        trace = np.tensordot(footprint, local, axes=footprint.ndim) / norm
    return footprint, (trace - np.median(trace)).astype(np.float32)


def _correlation_with(movie: FloatArray, trace: FloatArray) -> FloatArray:
    centred = movie - movie.mean(-1, keepdims=True)
    other = trace - trace.mean()
    scale = np.sqrt(np.einsum("...t,...t->...", centred, centred) * float(other @ other))
    return np.divide(centred @ other, scale, out=np.zeros_like(scale), where=scale > 0)


def _subtract(search: _Search, box: Box, footprint: FloatArray, trace: FloatArray, noise_sd: float) -> None:
    """Take a component out of the movie; the smoothed movie and both images follow around it."""
    search.rest[box] -= footprint[..., None] * trace
    wide, blurred = filtered_footprint(footprint, box, search.dims, kernels=search.kernels)
    search.filtered[wide] -= (blurred / search.scale[wide])[..., None] * trace
    search.pnr[wide] = search.filtered[wide].max(-1)
    changed = widened(wide, (1, 1), search.dims)
    around = widened(changed, (1, 1), search.dims)
    fresh = neighbour_correlation(search.filtered[around], noise_sd)
    search.correlation[changed] = fresh[within(changed, around)]
