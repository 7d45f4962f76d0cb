"""The probability that two sessions' components are one cell, from the data themselves.

Which pairs are certainly two cells is known from pairs that are one: what has its counterpart is nothing else. They
tell how often two cells look alike that are not the same, and that share is taken from the pairs that may be (as by the
local false discovery rate of Efron, 10.1214/07-STS236, and with distances and overlaps as in CellReg,
10.1016/j.celrep.2017.10.013).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import expit

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.sessions.likeness import FARTHEST_RADII, Likeness

# What is within this many cell radii and each other's nearest is taken for the same cell to begin with.
SURE_RADII = 1.5
N_ROUNDS = 3
RIDGE = 1.0
N_EM = 200
DISTANCE_BINS = 10
# Pairs of which both have a counterpart elsewhere stand for others where there are few of these.
ENOUGH_PAIRS = 200.0
# What two neighbours look like, as a few pairs that are there with any data: one radius is a footprint's deviation.
TYPICAL_TWO = Likeness(
    first=np.arange(4),
    second=np.arange(4),
    distance=np.array([2.0, 2.7, 3.5, 4.5]),
    distance_px=np.zeros(4),
    overlap=np.array([0.4, 0.25, 0.1, 0.0]),
    form=np.full(4, 0.7),
    union_cost=np.array([0.7, 0.85, 0.95, 1.0]),
    enclosed=np.zeros(4),
    enclosing=np.zeros(4),
)
SURE_LOG_ODDS = 12.0

Pairs = Mapping[tuple[int, int], Likeness]


def log_odds(pairs: Pairs) -> dict[tuple[int, int], FloatArray]:
    """Return the log-odds that pairs are one cell, each as if its two cells had no other near.

    Parameters
    ----------
    pairs : measures of near pairs for each two sessions
    """
    features = {key: _features(p) for key, p in pairs.items()}
    alone = {key: _first_guess(p) for key, p in pairs.items()}
    for _ in range(N_ROUNDS if pairs else 0):
        alone = _mixture(features, pairs, alone)
    return alone


def _mixture(
    features: Mapping[tuple[int, int], FloatArray], pairs: Pairs, alone: Mapping[tuple[int, int], FloatArray]
) -> dict[tuple[int, int], FloatArray]:
    """Return log-odds anew: open pairs are a mixture of one cell and two, of which the latter look like those known.

    The ratio of the densities is the exponential of a sum of features (10.1093/biomet/66.1.17), found by expectation
    maximisation.
    """
    opened, two, guess = [], [], []
    distance, both, cells = [], [], []
    for key, p in pairs.items():
        matched = _matched(alone[key], p)
        one, other = _taken(p, matched)
        free = ~(one | other)
        opened.append(features[key][free])
        guess.append(alone[key][free])
        cells.append((p.first[free], p.second[free]))
        two.append(features[key][~free])
        distance.append(p.distance[~free])
        both.append((one & other)[~free])
    x_open, x_two = np.concatenate(opened), np.concatenate([*two, _features(TYPICAL_TWO)])
    w_two = _as_among_unmatched(np.concatenate(distance), np.concatenate(both))
    w_two = np.concatenate([w_two, np.ones(len(TYPICAL_TWO))])
    if not len(x_open):
        return dict(alone)
    same = expit(np.concatenate(guess))
    x = np.concatenate([x_open, x_open, x_two])
    beta: FloatArray = np.zeros(x.shape[1])
    for _ in range(N_EM):
        n_two = float((1 - same).sum())
        w = np.concatenate([same, 1 - same, w_two])
        y = np.concatenate([np.ones(len(same)), np.zeros(len(same) + len(w_two))])
        beta = _logistic(x, y, w, beta)
        shift = np.log((n_two + w_two.sum() + 1.0) / (n_two + 1.0))
        new = expit(np.concatenate(_competing(x_open @ beta + shift, cells)))
        moved = float(np.abs(new - same).max())
        same = new
        if moved < 1e-3:
            break
    return {key: np.clip(f @ beta + shift, -SURE_LOG_ODDS, SURE_LOG_ODDS) for key, f in features.items()}


def _features(pairs: Likeness) -> FloatArray:
    """Return what tells one cell from two: the first column is constant."""
    d, o, f = pairs.distance, pairs.overlap, pairs.form
    areas = np.log(1.0 - np.minimum(pairs.union_cost, 1.0) + 0.02)
    return np.stack([np.ones_like(d), d, d**2, np.log(d**2 + 0.3), o, o**2, f, f * o, areas], 1)


def _first_guess(pairs: Likeness) -> FloatArray:
    return 4.0 * (SURE_RADII - pairs.distance)


def _matched(odds: FloatArray, pairs: Likeness) -> BoolArray:
    """Tell which pairs are each other's best and rather one cell than two."""
    if not len(odds):
        return np.zeros(0, bool)
    best_1 = np.full(pairs.first.max() + 1, -np.inf)
    best_2 = np.full(pairs.second.max() + 1, -np.inf)
    np.maximum.at(best_1, pairs.first, odds)
    np.maximum.at(best_2, pairs.second, odds)
    return (odds >= best_1[pairs.first]) & (odds >= best_2[pairs.second]) & (odds > 0)


def _taken(pairs: Likeness, matched: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Tell of each pair whether its first and its second have a counterpart elsewhere."""
    elsewhere = []
    for cells in (pairs.first, pairs.second):
        has = np.zeros(cells.max() + 1 if len(cells) else 0, bool)
        has[cells[matched]] = True
        elsewhere.append(has[cells] & ~matched)
    return elsewhere[0], elsewhere[1]


def _competing(odds: FloatArray, cells: Sequence[tuple[IntArray, IntArray]]) -> list[FloatArray]:
    cuts = np.cumsum([len(first) for first, _ in cells])[:-1]
    return [one_counterpart(part, *c) for part, c in zip(np.split(odds, cuts), cells, strict=True)]


def _as_among_unmatched(distance: FloatArray, both: BoolArray) -> FloatArray:
    """Return weights with which pairs that are two cells stand for those of which neither has a counterpart.

    What was found by mistake has none, and lies anywhere. Among pairs of an unmatched with a matched one only one side
    can be such, among unmatched ones both. Where pairs of matched ones are missing, it is mistakes that lie near: they
    count twice. (Unmatched to matched on either side, less what was counted for both.)
    """
    edges = np.linspace(0, FARTHEST_RADII, DISTANCE_BINS + 1)
    bin_of = np.clip(np.digitize(distance, edges) - 1, 0, DISTANCE_BINS - 1)
    n_both = np.bincount(bin_of, both, DISTANCE_BINS)
    n_one = np.bincount(bin_of, ~both, DISTANCE_BINS)
    typical = max(float(n_both.sum()), 1.0) / max(float(n_one.sum()), 1.0)
    share = (n_both + typical) / (n_one + 1.0) / typical
    of_both = max(0.0, 1.0 - float(n_one.sum()) / ENOUGH_PAIRS)
    return np.where(both, of_both, np.clip(1.0 - 0.5 * share[bin_of], 0.25, 1.0))


def _logistic(x: FloatArray, y: FloatArray, w: FloatArray, start: FloatArray) -> FloatArray:
    """Fit a weighted logistic regression by Newton's steps; the columns' scales are taken out of the penalty."""
    scale = np.maximum(x.std(0), 1e-9)
    scale[0] = 1.0
    z, beta = x / scale, start * scale
    penalty = RIDGE * np.eye(len(beta))
    penalty[0, 0] = 1e-6
    for _ in range(30):
        p = expit(z @ beta)
        step = np.linalg.solve((z * (w * p * (1 - p))[:, None]).T @ z + penalty, z.T @ (w * (y - p)) - penalty @ beta)
        beta = beta + step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-6:
            break
    return beta / scale


def one_counterpart(alone: FloatArray, first: IntArray, second: IntArray) -> FloatArray:
    """Return log-odds where a cell has one counterpart at most: each pair beside those that share a cell with it."""
    odds = np.exp(np.clip(alone, -SURE_LOG_ODDS, SURE_LOG_ODDS))
    others = np.bincount(first, odds)[first] + np.bincount(second, odds)[second] - 2 * odds if len(odds) else odds
    return np.clip(alone - np.log1p(np.maximum(others, 0.0)), -SURE_LOG_ODDS, SURE_LOG_ODDS)
