"""Least squares by coordinate descent: one unknown after the other is solved for, all others fixed.

What is observed enters through its products with the regressors alone: ``G x = target`` is solved for x, some or all of
it kept from falling below zero. G is symmetric.

References
----------
Franc, Hlavac & Navara 2005. doi:10.1007/11556121_50
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.numerics.kernels import compiled


class SparseRows(NamedTuple):
    """Rows of a sparse matrix, as kernels take them: float64 values, their columns, and where each row begins."""

    data: FloatArray
    indices: IntArray
    indptr: IntArray


def sparse_rows(matrix: csr_matrix) -> SparseRows:
    """Return the rows of a sparse matrix as kernels take them.

    Parameters
    ----------
    matrix : sparse (K, K)
        In any layout.

    Returns
    -------
    SparseRows
        The same, float64.
    """
    rows = csr_matrix(matrix)
    return SparseRows(rows.data.astype(np.float64), rows.indices, rows.indptr)


@compiled
def sweep_rows(
    start: int,
    stop: int,
    gram: SparseRows,
    target: FloatArray,
    frozen: BoolArray,
    nonnegative: BoolArray,
    rounds: int,
    x: FloatArray,
) -> None:
    """Update each row of ``x`` (K, T) given the others, in order, ``rounds`` times over, in place.

    Columns do not depend on each other: those from ``start`` to ``stop`` are solved. Rows that are ``frozen`` or whose
    diagonal is not positive stay as they are, ``nonnegative`` ones do not go below zero.
    """
    rest = np.empty(stop - start)
    for _ in range(rounds):
        for k in range(len(x)):
            if frozen[k]:
                continue
            own = _unexplained(k, start, stop, gram, target, x, rest)
            if own <= 0:
                continue
            for t in range(stop - start):
                value = x[k, start + t] + rest[t] / own
                x[k, start + t] = max(value, 0.0) if nonnegative[k] else value


@compiled(fastmath={"contract", "reassoc"}, forceinline=True)
def _unexplained(
    k: int, start: int, stop: int, gram: SparseRows, target: FloatArray, x: FloatArray, rest: FloatArray
) -> float:
    """Write what the model leaves of row ``k``'s target to ``rest``; returns the row's diagonal."""
    own = 0.0
    for t in range(stop - start):
        rest[t] = target[k, start + t]
    for e in range(gram.indptr[k], gram.indptr[k + 1]):
        weight, source = gram.data[e], x[gram.indices[e]]
        if gram.indices[e] == k:
            own = weight
        for t in range(stop - start):
            rest[t] -= weight * source[start + t]
    return own


@compiled
def descend(
    gram: FloatArray, target: FloatArray, free: BoolArray, rounds: int, tolerance: float, x: FloatArray
) -> None:
    """Minimise x'Gx / 2 - x'target over x >= 0 from ``x`` (N,) on, in place; G (N, N) is dense.

    Entries that are not ``free``, or whose diagonal is not positive, stay as they are. It ends after ``rounds``, or
    once none changes what the model explains, as a norm, by ``tolerance``.
    """
    for _ in range(rounds):
        change = 0.0
        for i in range(len(target)):
            if not free[i] or gram[i, i] <= 0:
                continue
            slope = target[i]
            for j in range(len(target)):
                slope -= gram[i, j] * x[j]
            value = max(x[i] + slope / gram[i, i], 0.0)
            change = max(change, abs(value - x[i]) * np.sqrt(gram[i, i]))
            x[i] = value
        if change < tolerance:
            break
