"""Background as a coarse grid of local signals, each pixel following the signals around it with a gain of its own.

Neuropil and out-of-focus light vary smoothly over the field and are shared by many pixels: averages over a neighbourhood of a
cell or more follow them, and the texture and vessels that the light passes through are a gain and an offset per pixel. The
model is ``B(x, t) = static(x) + gain(x) * sum_j h_j(x) f_j(t)`` with linear interpolation ``h`` between the grid's nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, diags, kron

from caiman_pipeline.types import Dims, FloatArray


@dataclass(frozen=True)
class NodeGrid:
    """Nodes of the background over a field of view.

    Attributes
    ----------
    averaging : sparse float32 (B, P), rows of unit sum: how a node's signal is averaged from pixels
    interpolation : sparse float32 (P, B), rows of unit sum: how a pixel follows the nodes around it
    """

    averaging: csr_matrix
    interpolation: csr_matrix


def node_grid(dims: Dims, *, spacing_px: tuple[float, ...], use: FloatArray) -> NodeGrid:
    """Lay nodes over a field of view, about ``spacing_px`` apart.

    Parameters
    ----------
    dims : (H, W) or (D, H, W)
    spacing_px : distance of nodes along each axis; the averages' Gaussian has half of it as standard deviation
    use : bool (P,), pixels that may be averaged

    Notes
    -----
    Rows of ``averaging`` without any usable pixel are zero.
    """
    axes = [_axis_nodes(n, s) for n, s in zip(dims, spacing_px, strict=True)]
    spread = reduce(lambda a, b: kron(a, b, format="csr"), [csr_matrix(a) for a, _ in axes])
    weights = spread @ diags(use.astype(np.float32))
    total = np.asarray(weights.sum(1)).ravel()
    averaging = diags(np.divide(1.0, total, out=np.zeros_like(total), where=total > 1e-6)) @ weights
    interpolation = reduce(lambda a, b: kron(a, b, format="csr"), [csr_matrix(h) for _, h in axes])
    return NodeGrid(averaging.tocsr().astype(np.float32), interpolation.astype(np.float32))


def _axis_nodes(length: int, spacing: float) -> tuple[FloatArray, FloatArray]:
    """Return Gaussian weights (nodes, length) and linear interpolation (length, nodes) along one axis."""
    count = max(round(length / spacing), 1)
    width = length / count
    nodes = (np.arange(count) + 0.5) * width - 0.5
    pixels = np.arange(length)
    weights = np.exp(-0.5 * ((pixels[None] - nodes[:, None]) / (0.5 * width)) ** 2)
    weights[weights < 0.02] = 0.0
    position = np.clip((pixels - nodes[0]) / width, 0, count - 1)
    low = np.minimum(position.astype(int), max(count - 2, 0))
    interpolation = np.zeros((length, count))
    interpolation[pixels, low] = 1 - (position - low)
    if count > 1:
        interpolation[pixels, low + 1] += position - low
    return weights.astype(np.float32), interpolation.astype(np.float32)


def fit_gain(
    movie: FloatArray, local: FloatArray, *, noise: FloatArray, clip: float | None
) -> tuple[FloatArray, FloatArray]:
    """Regress each pixel on its local background signal.

    Parameters
    ----------
    movie : float32 (P, T), without the components found so far
    local : float32 (P, T), the interpolated background signal of each pixel
    noise : float32 (P,), standard deviation of the movie's noise
    clip : residuals above this many standard deviations (activity not yet explained) are cut to it; None cuts nothing

    Returns
    -------
    static : float32 (P,), gain : float32 (P,), never negative
    """
    mean_y, mean_l = movie.mean(1), local.mean(1)
    centred = local - mean_l[:, None]
    power = np.einsum("pt,pt->p", centred, centred)
    power = np.where(power > 0, power, 1.0)
    gain = np.einsum("pt,pt->p", movie, centred) / power
    if clip is not None:
        for _ in range(2):
            rest = movie - mean_y[:, None] - gain[:, None] * centred
            rest = np.minimum(rest, clip * noise[:, None], out=rest)
            gain = gain + np.einsum("pt,pt->p", rest, centred) / power
    gain = np.maximum(gain, 0).astype(np.float32)
    return (mean_y - gain * mean_l).astype(np.float32), gain


def background_map(grid: NodeGrid, gain: FloatArray) -> csc_matrix:
    """Return the sparse map (P, B) from node signals to pixels."""
    return (diags(gain) @ grid.interpolation).tocsc().astype(np.float32)
