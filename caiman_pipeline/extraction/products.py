"""Products of sparse matrices with pieces of a movie, and the fused pass of the spatial update, on all threads."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.threads import map_ordered, run_parallel, value_slabs


@compiled(fastmath={"contract", "reassoc"})
def _rows_times_dense(
    start: int,
    stop: int,
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    dense: FloatArray,
    level: FloatArray,
    out: FloatArray,
) -> None:
    for row in range(start, stop):
        total = out[row]
        total[:] = 0.0
        for e in range(indptr[row], indptr[row + 1]):
            weight, source, base = data[e], dense[indices[e]], level[indices[e]]
            for t in range(dense.shape[1]):
                total[t] += weight * (source[t] - base)


def sparse_dense(matrix: csr_matrix, dense: FloatArray, *, level: FloatArray, threads: int) -> FloatArray:
    """Return ``matrix @ (dense - level)``.

    Parameters
    ----------
    matrix : csr_matrix float32 (N, P)
        Rows to multiply with.
    dense : float32 (P, T)
        Contiguous, finite.
    level : float32 (P,)
        What is taken off before.
    threads : int
        Threads to use.

    Returns
    -------
    float32 (N, T)
        The product, the same for any number of threads.
    """
    out = np.empty((matrix.shape[0], dense.shape[1]), np.float32)
    run_parallel(
        _rows_times_dense,
        matrix.shape[0],
        matrix.data,
        matrix.indices,
        matrix.indptr,
        dense,
        level,
        out,
        threads=threads,
    )
    return out


def bin_columns(frames: FloatArray, edges: IntArray, *, level: FloatArray, threads: int) -> FloatArray:
    """Average the columns of an array, less a level, between edges.

    Parameters
    ----------
    frames : float32 (P, t)
        Any unit.
    edges : int (n + 1,)
        First column of each bin, and the one after the last.
    level : float32 (P,)
        What is taken off.
    threads : int
        Threads to use.

    Returns
    -------
    float32 (P, n)
        Means.
    """
    out = np.empty((len(frames), len(edges) - 1), np.float32)
    used, at = slice(edges[0], edges[-1]), np.arange(edges[0], edges[-1])[:, None]
    inside = (at >= edges[:-1]) & (at < edges[1:])
    share = (inside / np.diff(edges)).astype(np.float32)

    def average(rows: tuple[int, int]) -> None:
        here = slice(*rows)
        np.matmul(frames[here, used] - level[here, None], share, out=out[here])

    map_ordered(average, value_slabs(*frames.shape), threads)
    return out


@compiled(fastmath={"contract", "reassoc"})
def add_regression_sums(
    start: int,
    stop: int,
    binned: FloatArray,
    weights: FloatArray,
    traces: FloatArray,
    signals: FloatArray,
    mix_data: FloatArray,
    mix_indices: IntArray,
    mix_indptr: IntArray,
    support_indices: IntArray,
    support_indptr: IntArray,
    pixel_sums: FloatArray,
    movie_traces: FloatArray,
    local_traces: FloatArray,
) -> None:
    """Add one piece of the movie to the regression sums of pixels ``start`` to ``stop``, in place.

    For pixel p with movie y, local background signal g = mix[p] @ signals and the traces c_k of its support, adds the
    weighted sums over the piece's bins: y, g, g g, y g to ``pixel_sums`` (P, 4); y c_k to ``movie_traces`` and g c_k to
    ``local_traces``, both on the support's csr entries.
    """
    n_bins = binned.shape[1]
    local = np.empty(n_bins, np.float32)
    for p in range(start, stop):
        local[:] = 0.0
        for e in range(mix_indptr[p], mix_indptr[p + 1]):
            share, source = mix_data[e], signals[mix_indices[e]]
            for b in range(n_bins):
                local[b] += share * source[b]
        sum_y, sum_g, sum_gg, sum_yg = 0.0, 0.0, 0.0, 0.0
        row = binned[p]
        for b in range(n_bins):
            w = weights[b]
            sum_y += w * row[b]
            sum_g += w * local[b]
            sum_gg += w * local[b] * local[b]
            sum_yg += w * row[b] * local[b]
        pixel_sums[p, 0] += sum_y
        pixel_sums[p, 1] += sum_g
        pixel_sums[p, 2] += sum_gg
        pixel_sums[p, 3] += sum_yg
        for e in range(support_indptr[p], support_indptr[p + 1]):
            trace = traces[support_indices[e]]
            sum_yc, sum_gc = 0.0, 0.0
            for b in range(n_bins):
                wc = weights[b] * trace[b]
                sum_yc += wc * row[b]
                sum_gc += wc * local[b]
            movie_traces[e] += sum_yc
            local_traces[e] += sum_gc
