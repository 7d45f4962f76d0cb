"""Background as a coarse grid of local signals, each pixel following those around it with a gain of its own.

Neuropil and out-of-focus light vary smoothly over the field and are shared by many pixels: averages over the
neighbourhood follow them, and the texture and vessels that the light passes through are a gain and an offset per
pixel. The model is ``B(x, t) = static(x) + gain(x) * sum_j h_j(x) f_j(t)``, ``h`` interpolating between nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, diags, kron

from caiman_pipeline.extraction.background.protocol import Fitted, Observe
from caiman_pipeline.extraction.temporal import make_projection
from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.model.background import Background, Follower, SummedBackground, nothing_followed
from caiman_pipeline.model.movie import Dims

if TYPE_CHECKING:
    from caiman_pipeline.extraction.temporal import Projection


@dataclass(frozen=True)
class Static:
    """The model of a background that is constant in time, which other models add to."""

    @property
    def passes(self) -> tuple[int, int]:
        """No passes of its own."""
        return 0, 0

    @property
    def sweeps(self) -> int:
        """Sweeps of the temporal update."""
        return 8

    @property
    def update(self) -> bool:
        """Whether maps are solved for."""
        return True

    def lay_out(self, dims: Dims, *, use: BoolArray) -> Follower:
        """Return that nothing is followed."""
        return nothing_followed(len(use))

    def learn(self, follower: Follower, dims: Dims, observe: Observe) -> Follower:
        """Return the same: nothing is learned."""
        return follower

    def start_in_tile(
        self, movie: FloatArray, dims: Dims, *, noise: FloatArray, cell_px: tuple[float, ...]
    ) -> csc_matrix:
        """Return no maps."""
        return csc_matrix((len(movie), 0), dtype=np.float32)

    def start_in_field(
        self, dims: Dims, *, use: BoolArray, n_bins: int, observe: Observe
    ) -> tuple[csc_matrix, FloatArray]:
        """Return no maps."""
        return csc_matrix((len(use), 0), dtype=np.float32), np.zeros((0, n_bins), np.float32)

    def project(
        self, footprints: csc_matrix, follower: Follower, *, gain: FloatArray, static: FloatArray, noise: FloatArray
    ) -> Projection:
        """Return the projection that keeps local signals at every frame."""
        return make_projection(footprints, follower, gain=gain, static=static, noise=noise)

    def stored(self, fitted: Fitted) -> Background:
        """Return the sum of local signals, each with its map."""
        return SummedBackground(fitted.level + fitted.static, fitted.follower.map(fitted.gain), fitted.signals)


@dataclass(frozen=True)
class Nodes(Static):
    """The model of nodes: each pixel follows the signals of those around it.

    Attributes
    ----------
    spacing_px : about the distance of nodes along each axis
    """

    spacing_px: tuple[float, ...]

    def lay_out(self, dims: Dims, *, use: BoolArray) -> Follower:
        """Return the grid of nodes."""
        return node_grid(dims, spacing_px=self.spacing_px, use=use)


def node_grid(dims: Dims, *, spacing_px: tuple[float, ...], use: BoolArray) -> Follower:
    """Lay nodes over a field of view.

    Parameters
    ----------
    dims : (H, W) or (D, H, W)
    spacing_px : about the distance of nodes along each axis; averages are Gaussian, half of it their standard deviation
    use : bool (P,), pixels that may be averaged

    Notes
    -----
    A node without any usable pixel around it averages to zero.
    """
    axes = [_axis_nodes(n, s) for n, s in zip(dims, spacing_px, strict=True)]
    blocks = outer([_axis_blocks(n, s) for n, s in zip(dims, spacing_px, strict=True)]) @ diags(use.astype(np.float32))
    spread = outer([weights for weights, _ in axes])
    total = np.asarray((spread @ blocks).sum(1)).ravel()
    spread = diags(np.divide(1.0, total, out=np.zeros_like(total), where=total > 1e-6)) @ spread
    interpolation = outer([h for _, h in axes])
    return Follower(*(csr_matrix(m, dtype=np.float32) for m in (blocks, spread, interpolation)))


def outer(matrices: list[csr_matrix]) -> csr_matrix:
    """Return the matrix over a whole field of view from one matrix per axis."""
    return reduce(lambda a, b: kron(a, b, format="csr"), matrices)


def _block_count(length: int, spacing: float) -> int:
    """Blocks are a sixth of a node's distance: small beside its Gaussian."""
    return max(-(-length // max(int(spacing // 6), 1)), 1)


def _axis_blocks(length: int, spacing: float) -> csr_matrix:
    count = _block_count(length, spacing)
    owner = np.arange(length) * count // length
    return csr_matrix((np.ones(length, np.float32), (owner, np.arange(length))), shape=(count, length))


def _axis_nodes(length: int, spacing: float) -> tuple[csr_matrix, csr_matrix]:
    """Return Gaussian weights (nodes, blocks) and linear interpolation (length, nodes) along one axis."""
    count = max(round(length / spacing), 1)
    width = length / count
    nodes = (np.arange(count) + 0.5) * width - 0.5
    blocks = _block_count(length, spacing)
    places = (np.arange(blocks) + 0.5) * length / blocks - 0.5
    weights = np.exp(-0.5 * ((places[None] - nodes[:, None]) / (0.5 * width)) ** 2)
    weights[weights < 0.02] = 0.0
    pixels = np.arange(length)
    position = np.clip((pixels - nodes[0]) / width, 0, count - 1)
    low = np.minimum(position.astype(int), max(count - 2, 0))
    interpolation = np.zeros((length, count))
    interpolation[pixels, low] = 1 - (position - low)
    if count > 1:
        interpolation[pixels, low + 1] += position - low
    return csr_matrix(weights), csr_matrix(interpolation)


def fit_gain(
    movie: FloatArray, local: FloatArray, *, noise: FloatArray, clip: float, largest: float
) -> tuple[FloatArray, FloatArray]:
    """Regress each pixel on its local background signal, before components are known.

    Parameters
    ----------
    movie : float32 (P, T)
    local : float32 (P, T), the interpolated background signal of each pixel
    noise : float32 (P,), standard deviation of the movie's noise
    clip : residuals above this many standard deviations (activity) are cut to it
    largest : largest gain

    Returns
    -------
    static : float32 (P,), gain : float32 (P,), never negative
    """
    mean_y, mean_l = movie.mean(1), local.mean(1)
    centred = local - mean_l[:, None]
    power = np.einsum("pt,pt->p", centred, centred)
    power = np.where(power > 0, power, 1.0)
    gain = np.einsum("pt,pt->p", movie, centred) / power
    for _ in range(2):
        rest = movie - mean_y[:, None] - gain[:, None] * centred
        rest = np.minimum(rest, clip * noise[:, None], out=rest)
        gain = gain + np.einsum("pt,pt->p", rest, centred) / power
    gain = np.clip(gain, 0, largest).astype(np.float32)
    return (mean_y - gain * mean_l).astype(np.float32), gain
