"""Temporal update: demixed traces from the movie's products with the footprints.

Everything the movie has to say about the traces is in A^T W Y (footprints) and the averages at the background's nodes,
so traces and background signals are solved together in that reduced space, whatever the size of the movie.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, diags

from caiman_pipeline.cnmf.background import NodeGrid
from caiman_pipeline.types import FloatArray


@dataclass(frozen=True)
class Projection:
    """What turns a movie into demixed traces, given footprints and background.

    Attributes
    ----------
    readout : sparse float32 (P, K), weighted footprints A / noise^2: ``readout.T @ movie`` is A^T W Y
    overlap : sparse float64 (K, K), A^T W A minus what the background signals take of the components
    leak : sparse float64 (B, K), how much of each trace the background's nodes see
    coupling : sparse float64 (K, B), how much of each node's signal the footprints see
    static : float64 (K,), the static background seen through the footprints
    """

    readout: csc_matrix
    overlap: csc_matrix
    leak: csc_matrix
    coupling: csc_matrix
    static: FloatArray


def make_projection(
    footprints: csc_matrix, background_map: csc_matrix, static: FloatArray, grid: NodeGrid, *, noise: FloatArray
) -> Projection:
    """Prepare the temporal update.

    Parameters
    ----------
    footprints : (P, K); background_map : (P, B), from nodes to pixels; static : (P,)
    noise : (P,), standard deviations; pixels count by the inverse of their variance
    """
    weights = diags(1.0 / np.maximum(noise.astype(np.float64), 1e-12) ** 2)
    readout = (weights @ footprints).tocsc()
    leak = (grid.averaging @ footprints).tocsc()
    coupling = (readout.T @ background_map).tocsc()
    overlap = (readout.T @ footprints - coupling @ leak).tocsc()
    return Projection(
        readout.astype(np.float32), overlap, leak, coupling, readout.T @ static.astype(np.float64),
    )  # fmt: skip


def demix(projection: Projection, seen: FloatArray, nodes: FloatArray, *, rounds: int) -> FloatArray:
    """Solve for the traces of all components together, unconstrained, by block coordinate descent.

    Parameters
    ----------
    seen : (K, T), A^T W Y
    nodes : (B, T), averages of the movie at the background's nodes
    rounds : sweeps over the components

    Returns
    -------
    float32 (K, T); traces of empty footprints are zero.
    """
    target = target_traces(projection, seen, nodes)
    traces = np.zeros_like(target)
    for _ in range(rounds):
        sweep(projection.overlap, target, traces)
    return traces


def target_traces(projection: Projection, seen: FloatArray, nodes: FloatArray) -> FloatArray:
    """Return the right-hand side of ``overlap @ traces = target``, float32 (K, T)."""
    target = seen - projection.static[:, None] - projection.coupling @ nodes
    return target.astype(np.float32)


def sweep(overlap: csc_matrix, target: FloatArray, traces: FloatArray) -> None:
    """Update each trace given the others, in order, in place."""
    rows = overlap.tocsr()
    for k in range(len(traces)):
        traces[k] += correction(rows, target, traces, k)


def correction(overlap_rows: csr_matrix, target: FloatArray, traces: FloatArray, k: int) -> FloatArray:
    """Return what the movie adds to trace ``k`` of the current model, float32 (T,)."""
    cut = slice(overlap_rows.indptr[k], overlap_rows.indptr[k + 1])
    neighbours, weights = overlap_rows.indices[cut], overlap_rows.data[cut].astype(np.float32)
    own = weights[neighbours == k]
    if len(own) == 0 or own[0] <= 0:
        return np.zeros(traces.shape[1], np.float32)
    return (target[k] - weights @ traces[neighbours]) / own[0]


def unexplained(projection: Projection, seen: FloatArray, nodes: FloatArray, traces: FloatArray) -> FloatArray:
    """Return what each footprint sees that the traces of all components do not explain, float32 (K, T)."""
    rows, target = projection.overlap.tocsr(), target_traces(projection, seen, nodes)
    return np.stack([correction(rows, target, traces, k) for k in range(len(traces))]) if len(traces) else target


def node_signals(projection: Projection, nodes: FloatArray, traces: FloatArray) -> FloatArray:
    """Return the background's signals (B, T) once the components are known."""
    return (nodes - projection.leak @ traces).astype(np.float32)
