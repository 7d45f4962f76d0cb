"""Temporal update: demixed traces from the movie's products with the footprints.

Everything the movie has to say about the traces is in A^T W Y (footprints) and the averages at the background's nodes,
so traces and background signals are solved together in that reduced space, whatever the size of the movie.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, diags, identity

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.background import Follower
from caiman_pipeline.numerics.nonnegative import sparse_rows, sweep_rows
from caiman_pipeline.numerics.threads import map_ordered, row_slabs

FRAMES_AT_ONCE = 512


@dataclass(frozen=True)
class Projection:
    """What turns a movie into demixed traces, given footprints and background.

    Attributes
    ----------
    readout : sparse float32 (P, K), weighted footprints A / noise^2: ``readout.T @ movie`` is A^T W Y
    watch : sparse float32 (Q, P) and (N, Q): what of the background is kept at every frame, ``watch[1] @ watch[0]``
    overlap : sparse float64 (K, K), A^T W A minus what the background signals take of the components
    leak : sparse float64 (N, K), how much of each trace is in what is watched
    coupling : sparse float64 (K, N), how much of each watched signal the footprints see
    static : float64 (K,), the static background seen through the footprints
    """

    readout: csc_matrix
    watch: tuple[csr_matrix, csr_matrix]
    overlap: csc_matrix
    leak: csc_matrix
    coupling: csc_matrix
    static: FloatArray


def make_projection(
    footprints: csc_matrix, follower: Follower, *, gain: FloatArray, static: FloatArray, noise: FloatArray
) -> Projection:
    """Prepare the temporal update; the local signals, which are few, are watched at every frame.

    Parameters
    ----------
    footprints : (P, K); follower : the local signals; gain : (P,), how each pixel follows them; static : (P,)
    noise : (P,), standard deviations; pixels count by the inverse of their variance
    """
    readout = _weighted(footprints, noise)
    leak = (follower.averaging @ footprints).tocsc()
    coupling = (readout.T @ follower.map(gain)).tocsc()
    overlap = (readout.T @ footprints - coupling @ leak).tocsc()
    return Projection(
        readout.astype(np.float32),
        (follower.blocks, follower.weights),
        overlap,
        leak,
        coupling,
        readout.T @ static.astype(np.float64),
    )


def fold_projection(
    footprints: csc_matrix, follower: Follower, *, gain: FloatArray, static: FloatArray, noise: FloatArray
) -> Projection:
    """Prepare the temporal update where local signals are nearly as many as pixels: none of them is kept.

    The background is linear in the movie, so that the readout takes it off: ``(I - M)^T W A``, M the map of the
    background. What is watched is the background's light under each footprint, ``A^T M Y``.
    """
    readout, mix, averaging = _weighted(footprints, noise), follower.map(gain), follower.averaging
    folded = (readout - averaging.T @ (mix.T @ readout)).tocsc()
    under = csr_matrix((footprints.T @ mix) @ averaging).astype(np.float32)
    n_components = footprints.shape[1]
    return Projection(
        folded.astype(np.float32),
        (under, identity(n_components, np.float32, format="csr")),
        (folded.T @ footprints).tocsc(),
        (under @ footprints).tocsc(),
        csc_matrix((n_components, n_components)),
        readout.T @ static.astype(np.float64),
    )


def _weighted(footprints: csc_matrix, noise: FloatArray) -> csc_matrix:
    return (diags(1.0 / np.maximum(noise.astype(np.float64), 1e-12) ** 2) @ footprints).tocsc()


def demix(projection: Projection, seen: FloatArray, nodes: FloatArray, *, rounds: int, threads: int = 1) -> FloatArray:
    """Solve for the traces of all components together, unconstrained, by block coordinate descent.

    Parameters
    ----------
    seen : (K, T), A^T W Y
    nodes : (N, T), what is watched of the movie for the background
    rounds : sweeps over the components

    Returns
    -------
    float32 (K, T); traces of empty footprints are zero.
    """
    return solve_traces(projection, target_traces(projection, seen, nodes), rounds=rounds, threads=threads)


def solve_traces(projection: Projection, target: FloatArray, *, rounds: int, threads: int) -> FloatArray:
    """Return ``demix``'s traces from the equations' right-hand side (K, T); each frame depends on itself alone."""
    traces, gram = np.zeros_like(target), sparse_rows(projection.overlap)
    none = np.zeros(len(target), bool)

    def solve(frames: tuple[int, int]) -> None:
        sweep_rows(*frames, gram, target, none, none, rounds, traces)

    map_ordered(solve, row_slabs(target.shape[1], FRAMES_AT_ONCE), threads)
    return traces


def target_traces(projection: Projection, seen: FloatArray, nodes: FloatArray) -> FloatArray:
    """Return the right-hand side of ``overlap @ traces = target``, float32 (K, T)."""
    target = seen - projection.static[:, None] - projection.coupling @ nodes
    return target.astype(np.float32)


def unexplained(projection: Projection, target: FloatArray, traces: FloatArray) -> FloatArray:
    """Return what each footprint sees that the traces of all components do not explain, float32 (K, T).

    ``target`` is the equations' right-hand side, see ``target_traces``.
    """
    rest = (target - projection.overlap @ traces).astype(np.float32)
    own = projection.overlap.diagonal()
    return np.divide(rest, own[:, None], out=np.zeros_like(rest), where=own[:, None] > 0)


def local_signals(projection: Projection, nodes: FloatArray, traces: FloatArray) -> FloatArray:
    """Return what is watched of the background (N, T) once the components are known."""
    return (nodes - projection.leak @ traces).astype(np.float32)
