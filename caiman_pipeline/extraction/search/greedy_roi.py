"""Greedy initialisation by energy: the place whose matched-filtered movie has most energy, a rank-one fit, subtract.

After Pnevmatikakis et al. 2016 (10.1016/j.neuron.2015.11.037), on a noise-normalised and binned movie.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from caiman_pipeline.extraction.search.greedy import Found
from caiman_pipeline.extraction.search.initialise import Evidence, with_evidence
from caiman_pipeline.extraction.windows import Box, box_around, filtered_footprint
from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.numerics.filters import convolve_space, gaussian_kernel, kernel_norm
from caiman_pipeline.numerics.kernels import compiled


@dataclass(frozen=True)
class GreedyRoi:
    """Settings of the greedy search by energy.

    Attributes
    ----------
    cell_px : diameter of a cell along each axis
    kernel_sd : standard deviation of the Gaussian kernel, in cell diameters
    box : half side of the box that a component is fitted in, in cell diameters
    rolling_bins : energy is that of the best window of this many bins; 0 takes all bins
    iterations : rank-one iterations per component
    min_energy : the search ends where energy is not this many standard deviations above what noise has
    evidence : what a component needs to be kept
    """

    cell_px: tuple[float, ...]
    kernel_sd: float
    box: float
    rolling_bins: int
    iterations: int
    min_energy: float
    evidence: Evidence

    def __call__(self, rest: FloatArray, dims: Dims, *, allowed: BoolArray, limit: int) -> Found:
        """Find components where there is most energy."""
        search = _start(rest, dims, self)
        search.energy[~allowed.reshape(dims)] = -1.0
        window = min(self.rolling_bins or rest.shape[1], rest.shape[1])
        by_evidence = self.evidence.least > 0
        least = window + self.min_energy * np.sqrt(2.0 * window) if by_evidence else 0.0
        footprints: list[FloatArray] = []
        traces: list[FloatArray] = []
        while len(traces) < limit:
            centre = tuple(int(i) for i in np.unravel_index(int(np.argmax(search.energy)), dims))
            if search.energy[centre] < least:
                break
            box = box_around(centre, search.reach, dims)
            footprint, trace = _rank_one(search, centre, box, allowed.reshape(dims)[box], self.iterations)
            if footprint.any() and not (by_evidence and self._is_noise(footprint, trace)):
                _subtract(search, box, footprint, np.maximum(trace, 0), window)
                whole = np.zeros(dims, np.float32)
                whole[box] = footprint
                footprints.append(whole.ravel())
                traces.append(trace)
                search.energy[centre] = -1.0
            else:
                search.energy[box_around(centre, (1,) * len(dims), dims)] = -1.0
        if not traces:
            return Found(*_nothing(rest), np.zeros(0, np.float32))
        return with_evidence(np.stack(footprints, axis=1), np.stack(traces), self.evidence, limit=limit)

    def _is_noise(self, footprint: FloatArray, trace: FloatArray) -> bool:
        """Return whether noise alone could have given this: a box of it has a rank-one part of that size, too."""
        size = float(np.linalg.norm(footprint) * np.linalg.norm(trace))
        edge = np.sqrt(footprint.size) + np.sqrt(len(trace))
        return size < edge or bool(self.evidence.of(trace[None])[0] < self.evidence.least)


@dataclass
class _Search:
    """What is left of the movie, filtered (in units of its noise) and not, and the energy of each pixel."""

    dims: Dims
    rest: FloatArray  # (*dims, T)
    filtered: FloatArray  # (*dims, T)
    energy: FloatArray  # (*dims)
    kernels: list[FloatArray]
    scale: FloatArray  # (*dims), noise of the filtered movie
    reach: tuple[int, ...]


def _nothing(rest: FloatArray) -> tuple[FloatArray, FloatArray]:
    n_pixels, n_bins = rest.shape
    return np.zeros((n_pixels, 0), np.float32), np.zeros((0, n_bins), np.float32)


def _start(rest: FloatArray, dims: Dims, settings: GreedyRoi) -> _Search:
    movie = rest.reshape(*dims, -1).copy()
    flat = np.ones(1, np.float32)
    kernels = [gaussian_kernel(settings.kernel_sd * d) if d > 1.5 else flat for d in settings.cell_px]
    scale = kernel_norm(dims, kernels)
    filtered = convolve_space(movie, kernels)
    filtered /= scale[..., None]
    energy = window_energy(filtered, settings.rolling_bins or rest.shape[1])
    reach = tuple(ceil(settings.box * d) for d in settings.cell_px)
    return _Search(dims, movie, filtered, energy, kernels, scale, reach)


def window_energy(filtered: FloatArray, window: int) -> FloatArray:
    """Return, for each pixel, the largest sum of squares of some bins in a row.

    Parameters
    ----------
    filtered : float32 (*dims, T)
        A movie in units of its noise.
    window : int
        Bins; more than there are stand for all.

    Returns
    -------
    float32 (*dims)
        Energy, in units of noise variance.
    """
    flat = np.ascontiguousarray(filtered).reshape(-1, filtered.shape[-1])
    out = np.empty(len(flat), np.float32)
    _best_window(flat, min(window, flat.shape[1]), out)
    return out.reshape(filtered.shape[:-1])


@compiled
def _best_window(filtered: FloatArray, window: int, out: FloatArray) -> None:
    for i in range(len(filtered)):
        row = filtered[i]
        total = 0.0
        for t in range(window):
            total += row[t] * row[t]
        best = total
        for t in range(window, len(row)):
            total += row[t] * row[t] - row[t - window] * row[t - window]
            best = max(best, total)
        out[i] = best


def _rank_one(
    search: _Search, centre: tuple[int, ...], box: Box, allowed: BoolArray, iterations: int
) -> tuple[FloatArray, FloatArray]:
    """Return a non-negative footprint (*box) and its trace (T,) by alternating regression from the filtered trace."""
    local = search.rest[box]
    pixels = local.reshape(-1, local.shape[-1])
    inside = allowed.ravel()
    trace = np.maximum(search.filtered[centre], 0)
    footprint, fluorescence = np.zeros(len(pixels), np.float32), trace
    for _ in range(iterations):
        power = float(trace @ trace)
        footprint = np.maximum(pixels @ trace / power, 0) * inside if power > 0 else np.zeros_like(footprint)
        norm = float(footprint @ footprint)
        if norm <= 0:
            return np.zeros(local.shape[:-1], np.float32), np.zeros_like(trace)
        fluorescence = footprint @ pixels / norm
        trace = np.maximum(fluorescence, 0)
    return footprint.reshape(local.shape[:-1]).astype(np.float32), fluorescence.astype(np.float32)


def _subtract(search: _Search, box: Box, footprint: FloatArray, trace: FloatArray, window: int) -> None:
    """Take a component out of the movie; filtered movie and energy follow around it."""
    search.rest[box] -= footprint[..., None] * trace
    wide, blurred = filtered_footprint(footprint, box, search.dims, kernels=search.kernels)
    search.filtered[wide] -= (blurred / search.scale[wide])[..., None] * trace
    fresh, old = window_energy(search.filtered[wide], window), search.energy[wide]
    search.energy[wide] = np.where(old < 0, old, fresh)
