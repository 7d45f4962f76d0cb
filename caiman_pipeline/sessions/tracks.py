"""Which components of all sessions are one cell: the sets with the highest sum of log-odds, one of a session at most.

It is correlation clustering with sessions as constraint. Sets are first joined by falling odds; then all cells of one
session at a time are given to the sets of the other sessions by optimal assignment, until nothing changes. Every step
raises the same sum over all pairs, so no session comes before another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.sessions.likeness import Likeness

# Pairs that are too far apart to be looked at count as this against being one cell.
FAR_LOG_ODDS = 12.0
MOST_ROUNDS = 30

Key = tuple[int, int]


def assign(pairs: Mapping[Key, Likeness], odds: Mapping[Key, FloatArray], n_cells: Sequence[int]) -> IntArray:
    """Return the set of each cell, int64 (all cells of all sessions in turn); numbers say nothing."""
    offset = np.concatenate([[0], np.cumsum(n_cells)]).astype(int)
    session = np.repeat(np.arange(len(n_cells)), n_cells)
    first, second, weight = _flat(pairs, odds, offset)
    bonus = _symmetric(first, second, weight + FAR_LOG_ODDS, len(session))
    labels = _joined(first, second, weight, session, bonus)
    for _ in range(MOST_ROUNDS):
        before = labels.copy()
        for s in range(len(n_cells)):
            labels = _session_anew(labels, np.arange(offset[s], offset[s + 1]), session, bonus)
        if np.array_equal(_canonical(before), _canonical(labels)):
            break
    return _canonical(labels)


def _flat(
    pairs: Mapping[Key, Likeness], odds: Mapping[Key, FloatArray], offset: IntArray
) -> tuple[IntArray, IntArray, FloatArray]:
    empty = [np.zeros(0, int)]
    first = np.concatenate([pairs[k].first + offset[k[0]] for k in pairs] or empty)
    second = np.concatenate([pairs[k].second + offset[k[1]] for k in pairs] or empty)
    return first, second, np.concatenate([odds[k] for k in pairs] or [np.zeros(0)])


def _symmetric(first: IntArray, second: IntArray, value: FloatArray, n: int) -> csr_matrix:
    one = coo_matrix((value, (first, second)), shape=(n, n)).tocsr()
    return (one + one.T).tocsr()


def _canonical(labels: IntArray) -> IntArray:
    """Return the sets numbered by the first cell in each."""
    _, first, which = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first, kind="stable"), kind="stable")[which]


def _joined(first: IntArray, second: IntArray, weight: FloatArray, session: IntArray, bonus: csr_matrix) -> IntArray:
    """Join sets by falling odds of the pair that leads from one to the other, where that raises the sum."""
    labels, members = np.arange(len(session)), {i: [i] for i in range(len(session))}
    for row in np.lexsort((second, first, -weight)):
        if weight[row] <= 0:
            break
        one, other = int(labels[first[row]]), int(labels[second[row]])
        if one == other or set(session[members[one]]) & set(session[members[other]]):
            continue
        n_pairs = len(members[one]) * len(members[other])
        # Of two single cells it is the pair's own odds.
        if n_pairs == 1 or bonus[members[one]][:, members[other]].sum() > FAR_LOG_ODDS * n_pairs:
            members[one] += members.pop(other)
            labels[members[one]] = one
    return labels


def _session_anew(labels: IntArray, cells: IntArray, session: IntArray, bonus: csr_matrix) -> IntArray:
    """Give one session's cells to the sets that the other sessions' cells form, all at once."""
    others = np.setdiff1d(np.arange(len(labels)), cells)
    names, column = np.unique(labels[others], return_inverse=True)
    size = np.bincount(column, minlength=len(names))
    sets = csr_matrix((np.ones(len(others)), (others, column)), shape=(len(labels), len(names)))
    gain = (bonus[cells] @ sets).tocoo()
    value = gain.data - FAR_LOG_ODDS * size[gain.col]
    good = value > 0
    new = labels.copy()
    new[cells] = labels.max() + 1 + np.arange(len(cells))
    for i, j in best_pairs(gain.row[good], gain.col[good], value[good], (len(cells), len(names))):
        new[cells[i]] = names[j]
    return new


def best_pairs(row: IntArray, column: IntArray, value: FloatArray, shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the pairs, each row and column once at most, with the highest sum of (positive) values.

    What hangs together is assigned by itself (Hungarian method), so blocks stay small.
    """
    graph = coo_matrix((np.ones(len(row)), (row, column + shape[0])), shape=(sum(shape), sum(shape)))
    part = connected_components(graph, directed=False)[1][row] if len(row) else np.zeros(0, int)
    order = np.lexsort((column, row, part))
    found = []
    for block in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
        if not len(block):
            continue
        rows, r = np.unique(row[block], return_inverse=True)
        columns, c = np.unique(column[block], return_inverse=True)
        table = np.zeros((len(rows), len(columns)))
        table[r, c] = value[block]
        chosen = linear_sum_assignment(table, maximize=True)
        found += [(int(rows[i]), int(columns[j])) for i, j in zip(*chosen, strict=True) if table[i, j] > 0]
    return found
