"""How sure each component's cell is, what it would be otherwise, and the cells' footprints in one frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix, csc_matrix, csr_matrix, hstack
from scipy.special import expit

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.sessions.likeness import Likeness
from caiman_pipeline.sessions.tracks import FAR_LOG_ODDS
from caiman_pipeline.sessions.warp import Warped

Key = tuple[int, int]


@dataclass(frozen=True)
class Membership:
    """For each session, of each component: how sure its cell is, and which it would be otherwise.

    Attributes
    ----------
    probability : float64 (K,) each, NaN where the cell was found once
    runner_up : int64 (K,) each, -1 where no other cell is near
    runner_up_probability : float64 (K,) each
    pairs : for each two sessions the probability (M,) that near components are one cell, by all sessions together
    """

    probability: list[FloatArray]
    runner_up: list[IntArray]
    runner_up_probability: list[FloatArray]
    pairs: dict[Key, FloatArray]


def membership(pairs: Mapping[Key, Likeness], odds: Mapping[Key, FloatArray], labels: Sequence[IntArray]) -> Membership:
    """Say how sure each component's cell is: by the mean log-odds with the cell's components of other sessions.

    They are not summed: a footprint that was found in part, or an alignment that is off, is off for all of them.
    """
    offset = np.concatenate([[0], np.cumsum([len(x) for x in labels])]).astype(int)
    every = np.concatenate([*labels, np.zeros(0, int)]).astype(int)
    session = np.repeat(np.arange(len(labels)), [len(x) for x in labels])
    present = np.zeros((int(every.max(initial=-1)) + 1, len(labels)), bool)
    present[every, session] = True
    row, column, value = _to_sets(pairs, odds, offset, every)
    size = present.sum(1)
    shape = (len(every), len(size))
    total, counted = (coo_matrix((v, (row, column)), shape=shape).tocsr() for v in (value, np.ones(len(row))))
    cell, of_set = counted.nonzero()
    others = size[of_set] - present[of_set, session[cell]]
    near = _at(counted, cell, of_set)
    mean = (_at(total, cell, of_set) - FAR_LOG_ODDS * (others - near)) / np.maximum(others, 1)
    own = every[cell] == of_set
    probability = np.full(len(every), np.nan)
    probability[cell[own]] = expit(mean[own])
    probability[size[every] < 2] = np.nan
    runner_up, beside = np.full(len(every), -1, np.int64), np.zeros(len(every))
    order = np.argsort(mean[~own], kind="stable")
    runner_up[cell[~own][order]] = of_set[~own][order]
    beside[cell[~own][order]] = expit(mean[~own][order])
    to_set = coo_matrix((mean, (cell, of_set)), shape=shape).tocsr()
    cuts = offset[1:-1]
    return Membership(
        list(np.split(probability, cuts)),
        list(np.split(runner_up, cuts)),
        list(np.split(beside, cuts)),
        {
            key: expit(
                _by_all(odds[key], p.first + offset[key[0]], p.second + offset[key[1]], (every, present, to_set))
            )
            for key, p in pairs.items()
        },
    )


def _by_all(
    odds: FloatArray, first: IntArray, second: IntArray, sets: tuple[IntArray, BoolArray, csr_matrix]
) -> FloatArray:
    """Return log-odds of pairs by what their sets tell.

    Within a set a pair is as sure as its less sure component, if not surer by itself. Between sets it is no surer than
    either component is of the other's set, and where both sets have a component in some session, one of the two would
    have to be in the wrong set.
    """
    every, present, to_set = sets
    one, other = every[first], every[second]
    own = np.minimum(_at(to_set, first, one), _at(to_set, second, other))
    across = np.minimum(odds, np.minimum(_at(to_set, first, other), _at(to_set, second, one)))
    sure = [np.where(present[s].sum(1) > 1, expit(_at(to_set, c, s)), 0.0) for c, s in ((first, one), (second, other))]
    wrong = np.clip(2.0 - sure[0] - sure[1], 1e-5, 1.0)
    conflict = (present[one] & present[other]).any(1)
    return np.where(one == other, np.maximum(odds, own), across + np.where(conflict, np.log(wrong), 0.0))


def _at(matrix: csr_matrix, row: IntArray, column: IntArray) -> FloatArray:
    return np.asarray(matrix[row, column], dtype=float).ravel() if len(row) else np.zeros(0)


def _to_sets(
    pairs: Mapping[Key, Likeness], odds: Mapping[Key, FloatArray], offset: IntArray, every: IntArray
) -> tuple[IntArray, IntArray, FloatArray]:
    """Return for each near pair, both ways: a component, the other's set, and the log-odds."""
    rows: list[IntArray] = [np.zeros(0, int)]
    sets: list[IntArray] = [np.zeros(0, int)]
    values: list[FloatArray] = [np.zeros(0)]
    for (a, b), p in pairs.items():
        i, k = p.first + offset[a], p.second + offset[b]
        rows += [i, k]
        sets += [every[k], every[i]]
        values += [odds[a, b]] * 2
    return np.concatenate(rows), np.concatenate(sets), np.concatenate(values)


def union_of(warped: Sequence[Warped], labels: Sequence[IntArray]) -> csc_matrix:
    """Return the mean footprint of each set in the frame, sparse float32 (P, sets), unit Euclidean norm."""
    every = np.concatenate([*labels, np.zeros(0, int)]).astype(int)
    together = hstack([w.footprints for w in warped]).tocsc()
    which = csc_matrix((np.ones(len(every), np.float32), (np.arange(len(every)), every)))
    mean = csc_matrix(together @ which, dtype=np.float32)
    norm = np.sqrt(np.asarray(mean.multiply(mean).sum(0)).ravel())
    mean.data = (mean.data / np.repeat(np.maximum(norm, 1e-30), np.diff(mean.indptr))).astype(np.float32)
    return mean
