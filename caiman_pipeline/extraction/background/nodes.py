"""Background as a coarse grid of local signals, each pixel following those around it with a gain of its own.

Neuropil and out-of-focus light vary smoothly over the field and are shared by many pixels: averages over the
neighbourhood follow them, and the texture and vessels that the light passes through are a gain and an offset per
pixel. The model is ``B(x, t) = static(x) + gain(x) * sum_j h_j(x) f_j(t)``, ``h`` interpolating between nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Literal

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, diags, kron

from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.model.movie import Dims


@dataclass(frozen=True)
class NodeGrid:
    """Nodes of the background over a field of view.

    Attributes
    ----------
    blocks : sparse float32 (Q, P), sums over small blocks of usable pixels
    spread : sparse float32 (B, Q), how a node's average is made of block sums; ``spread @ blocks`` has rows of unit sum
    interpolation : sparse float32 (P, B), rows of unit sum: how a pixel follows the nodes around it
    """

    blocks: csr_matrix
    spread: csr_matrix
    interpolation: csr_matrix

    def average(self, movie: FloatArray) -> FloatArray:
        """Return the nodes' averages (B, T) of a movie (P, T)."""
        return self.spread @ (self.blocks @ movie)

    @property
    def averaging(self) -> csr_matrix:
        """The whole map (B, P) from pixels to nodes."""
        return self.spread @ self.blocks


@dataclass(frozen=True)
class BackgroundRules:
    """How the background is modelled.

    Attributes
    ----------
    model : ``nodes``, ``low_rank`` or ``static`` (constant in time)
    spacing_px : about the distance of nodes along each axis
    components : components of a low-rank background
    update : a low-rank background's maps are solved for with the footprints; otherwise they stay as they start
    """

    model: Literal["nodes", "low_rank", "static"]
    spacing_px: tuple[float, ...]
    components: int
    update: bool

    @property
    def n_maps(self) -> int:
        """Background components that take part in the updates as seeds do."""
        return self.components if self.model == "low_rank" else 0


def background_grid(dims: Dims, rules: BackgroundRules, *, use: BoolArray) -> NodeGrid:
    """Return the background's nodes: none unless the model is ``nodes``; ``use`` is bool (P,)."""
    if rules.model == "nodes":
        return node_grid(dims, spacing_px=rules.spacing_px, use=use)
    n_pixels, kind = len(use), np.float32
    return NodeGrid(
        csr_matrix((0, n_pixels), dtype=kind), csr_matrix((0, 0), dtype=kind), csr_matrix((n_pixels, 0), dtype=kind)
    )


def node_grid(dims: Dims, *, spacing_px: tuple[float, ...], use: BoolArray) -> NodeGrid:
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
    blocks = _outer([_axis_blocks(n, s) for n, s in zip(dims, spacing_px, strict=True)]) @ diags(use.astype(np.float32))
    spread = _outer([weights for weights, _ in axes])
    total = np.asarray((spread @ blocks).sum(1)).ravel()
    spread = diags(np.divide(1.0, total, out=np.zeros_like(total), where=total > 1e-6)) @ spread
    interpolation = _outer([h for _, h in axes])
    return NodeGrid(*(csr_matrix(m, dtype=np.float32) for m in (blocks, spread, interpolation)))


def _outer(matrices: list[csr_matrix]) -> csr_matrix:
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


def background_map(grid: NodeGrid, gain: FloatArray) -> csc_matrix:
    """Return the sparse map (P, B) from node signals to pixels."""
    return (diags(gain) @ grid.interpolation).tocsc().astype(np.float32)
