"""Background as a few components that may cover every pixel: ``static + maps @ signals``, maps non-negative.

The background of Pnevmatikakis et al. 2016 (10.1016/j.neuron.2015.11.037), of a tile in the search and of the whole
field in the refinement. Its components take part in the updates like seeds whose masks are the whole field.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_matrix

from caiman_pipeline.extraction.background.nodes import Static, node_grid
from caiman_pipeline.extraction.background.protocol import Fitted, Observe
from caiman_pipeline.extraction.search.nmf import Smoothing, factorise, pure_traces, smoothed
from caiman_pipeline.extraction.spatial import normalise
from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.model.background import Background, SummedBackground
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.numerics.low_rank import leading_part
from caiman_pipeline.numerics.noise import quiet_level

ITERATIONS, TOLERANCE = 100, 1e-3
# Of a quiet level's standard deviations: what is above is activity, which the tile's maps should not start from.
CLIP = 2.0
LOWEST = Smoothing(0.0, 0.0, 1.0)


@dataclass(frozen=True)
class LowRank(Static):
    """The model of a few components over the whole tile or field, solved for together with the cells.

    Attributes
    ----------
    spacing_px : distance along each axis of the nodes whose averages the field's maps start from
    components : how many
    solved : maps are solved for with the footprints; otherwise they stay as they start
    """

    spacing_px: tuple[float, ...]
    components: int
    solved: bool

    @property
    def passes(self) -> tuple[int, int]:
        """One pass, to start."""
        return 1, 0

    @property
    def sweeps(self) -> int:
        """Sweeps of the temporal update: maps overlap with everything."""
        return 40

    @property
    def update(self) -> bool:
        """Whether maps are solved for."""
        return self.solved

    def start_in_tile(
        self, movie: FloatArray, dims: Dims, *, noise: FloatArray, cell_px: tuple[float, ...]
    ) -> csc_matrix:
        """Return maps that the smoothed movie's pixels have in common."""
        return tile_maps(movie, dims, noise=noise, cell_px=cell_px, clip=CLIP, count=self.components)

    def start_in_field(
        self, dims: Dims, *, use: BoolArray, n_bins: int, observe: Observe
    ) -> tuple[csc_matrix, FloatArray]:
        """Return what averages over the neighbourhood of nodes, freed from the components, have in common."""
        grid = node_grid(dims, spacing_px=self.spacing_px, use=use)
        nodes = np.zeros((grid.weights.shape[0], n_bins), np.float32)
        for piece in observe(grid):
            nodes[:, piece.bins] += piece.averages * piece.weights
        shares = shared_maps(nodes, count=self.components)
        signals = np.linalg.lstsq(shares.astype(np.float64), nodes.astype(np.float64), rcond=None)[0]
        maps, norms = normalise(csc_matrix((grid.interpolation @ shares) * use[:, None]).astype(np.float32))
        return maps, (signals * norms[:, None]).astype(np.float32)

    def stored(self, fitted: Fitted) -> Background:
        """Return the sum of the maps, each with its signal."""
        return SummedBackground(fitted.level + fitted.static, fitted.maps, fitted.signals)


def shared_maps(signals: FloatArray, *, count: int) -> FloatArray:
    """Return how much of each of ``count`` signals that many have in common is in each of signals (N, T), >= 0.

    Notes
    -----
    Non-negative factors of the signals above their lowest percentile; (N, count), fewer where there are fewer signals.
    """
    part = leading_part(signals.astype(np.float32), rank=count)
    left, right = smoothed(part, len(part.values), (len(signals),), LOWEST)
    traces = pure_traces(left, right, len(part.values))
    return factorise(
        left, right, traces, graph=None, weight=0.0, sparsity=0.0, iterations=ITERATIONS, tolerance=TOLERANCE
    )


def tile_maps(
    movie: FloatArray, dims: Dims, *, noise: FloatArray, cell_px: tuple[float, ...], clip: float, count: int
) -> csc_matrix:
    """Return maps (P, count) to start a tile's background from, before components are known.

    Parameters
    ----------
    movie : float32 (P, T), binned; noise : (P,), infinite where a pixel does not count
    cell_px : diameter of a cell; the movie is smoothed by half of it
    clip : what is this many standard deviations above a pixel's quiet level (activity) is cut to it
    """
    from scipy.ndimage import gaussian_filter

    scaled = movie / noise[:, None]
    level, deviation = quiet_level(scaled)
    scaled = np.minimum(scaled, level + clip * deviation).reshape(*dims, -1)
    scaled = gaussian_filter(scaled, [*(0.5 * d if n > 1 else 0.0 for d, n in zip(cell_px, dims, strict=True)), 0.0])
    maps = shared_maps(scaled.reshape(movie.shape), count=count)
    return csc_matrix(maps * np.where(np.isfinite(noise), noise, 0)[:, None]).astype(np.float32)


def whole_field(usable: BoolArray, count: int) -> csc_matrix:
    """Return ``count`` masks of all usable pixels, (P, count)."""
    return csc_matrix(np.repeat(usable.astype(np.float32)[:, None], count, axis=1))
