"""Fit of a placement to pairs of points: an affine map and as much smooth bend as the pairs tell of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.sessions import Placement

# How far what bends reaches, in cell radii, and how strong it may be against the scatter of single cells.
REACHES_RADII = (20.0, 40.0)
STIFFNESS = (1e4, 100.0, 10.0, 1.0, 0.1)
N_REWEIGHTED = 3
MOST_CENTRES = 120
# Student's t of few degrees: a footprint found in part has its centre elsewhere.
DEGREES = 4.0


@dataclass(frozen=True)
class Fit:
    """A placement in the units of the points, and how far it is from them.

    Attributes
    ----------
    scatter : standard deviation along one axis of what is left
    """

    placement: Placement
    scatter: float


def fit_affine(first: FloatArray, second: FloatArray, weight: FloatArray, *, stiff: float) -> Placement:
    """Return the affine map from points (K, N) to points (K, N), drawn towards a similarity by ``stiff`` pairs' worth.

    The in-plane part is drawn to a turn and magnification, the depth's to itself.
    """
    w = weight / weight.sum()
    mean_1, mean_2 = w @ first, w @ second
    a, b = first - mean_1, second - mean_2
    similar = _similarity(a, b, w)
    left = b - a @ similar.T
    gram = (a * w[:, None]).T @ a
    pull = stiff / max(len(first), 1) * np.trace(gram) / len(gram) * np.eye(len(gram))
    matrix = similar + np.linalg.solve(gram + pull + 1e-9 * np.eye(len(gram)), (a * w[:, None]).T @ left).T
    nothing = np.zeros((0, first.shape[1]))
    return Placement(matrix, mean_2 - matrix @ mean_1, nothing, nothing, np.ones(first.shape[1]))


def _similarity(a: FloatArray, b: FloatArray, w: FloatArray) -> FloatArray:
    """Return the turn and magnification of the plane that brings centred points a to b."""
    y1, x1, y2, x2 = a[:, -2], a[:, -1], b[:, -2], b[:, -1]
    power = max(float(w @ (y1**2 + x1**2)), 1e-12)
    c, s = float(w @ (y1 * y2 + x1 * x2)) / power, float(w @ (x1 * y2 - y1 * x2)) / power
    matrix = np.eye(a.shape[1])
    matrix[-2:, -2:] = [[c, s], [-s, c]]
    return matrix


def fit_placement(first: FloatArray, second: FloatArray, weight: FloatArray, *, radius: float, bend: bool) -> Fit:
    """Return the placement that brings points (K, N) to points (K, N), robustly.

    The bend's reach and strength are those that predict pairs best that were left out (generalised cross-validation).

    Parameters
    ----------
    weight : (K,), how much each pair counts
    radius : of a cell, units of the points
    bend : let it bend; else affine
    """
    placement = fit_affine(first, second, weight, stiff=3.0)
    for _ in range(N_REWEIGHTED):
        left = second - placement(first)
        robust, scatter = _robust(left, weight)
        straight = fit_affine(first, second, robust, stiff=3.0)
        placement = _with_bend(straight, first, second, robust, radius) if bend else straight
    return Fit(placement, scatter)


def _robust(left: FloatArray, weight: FloatArray) -> tuple[FloatArray, float]:
    ndim = left.shape[1]
    square = (left**2).sum(1)
    scale = max(float(np.median(square)) / (2 * np.log(2.0)), 1e-6)
    return weight * (DEGREES + ndim) / (DEGREES + square / scale), float(np.sqrt(scale))


def _with_bend(
    straight: Placement, first: FloatArray, second: FloatArray, weight: FloatArray, radius: float
) -> Placement:
    left = second - straight(first)
    best, best_score = straight, _left_out_error(left, weight, float(first.shape[1] + 1))
    for reach in REACHES_RADII:
        width = np.full(first.shape[1], reach * radius)
        centres = _grid(first, float(width[0]))
        if len(centres) > len(first):
            continue
        basis = np.exp(-0.5 * (((first[:, None] - centres) / width) ** 2).sum(-1))
        for score, moved in _ridge_path(basis, _prior(centres, width), left, weight):
            if score < best_score:
                best, best_score = Placement(straight.matrix, straight.shift, centres, moved, width), score
    return best


def _prior(centres: FloatArray, width: FloatArray) -> FloatArray:
    near = np.exp(-0.5 * (((centres[:, None] - centres) / width) ** 2).sum(-1))
    return near + 1e-5 * np.eye(len(centres))


def _ridge_path(
    basis: FloatArray, prior: FloatArray, left: FloatArray, weight: FloatArray
) -> Iterator[tuple[float, FloatArray]]:
    """Yield the error on what is left out and the weights (G, N) of the bend for each stiffness."""
    root = np.linalg.cholesky(prior)
    weighted = basis * weight[:, None]
    gram = solve_triangular(root, solve_triangular(root, weighted.T @ basis, lower=True).T, lower=True)
    strength, axes = np.linalg.eigh((gram + gram.T) / 2)
    towards = axes.T @ solve_triangular(root, weighted.T @ left, lower=True)
    back = solve_triangular(root, axes, lower=True, trans=1)
    for stiffness in STIFFNESS:
        kept = 1.0 / (np.maximum(strength, 0) + stiffness)
        moved = back @ (towards * kept[:, None])
        used = float((np.maximum(strength, 0) * kept).sum()) + left.shape[1] + 1
        yield _left_out_error(left - basis @ moved, weight, used), moved


def _left_out_error(left: FloatArray, weight: FloatArray, used: float) -> float:
    n = len(left)
    free = max(1.0 - used / n, 1e-3) if n else 1.0
    return float(weight @ (left**2).sum(1)) / max(float(weight.sum()), 1e-12) / free**2


def _grid(points: FloatArray, reach: float) -> FloatArray:
    """Return a grid of centres over the points, three quarters of a reach apart."""
    low, high = points.min(0), points.max(0)
    step = 0.75 * reach
    counts = np.maximum(np.ceil((high - low) / step).astype(int) + 1, 1)
    while np.prod(counts) > MOST_CENTRES:
        step *= 1.2
        counts = np.maximum(np.ceil((high - low) / step).astype(int) + 1, 1)
    axes = [
        np.linspace(lo, hi, n) if n > 1 else np.array([(lo + hi) / 2])
        for lo, hi, n in zip(low, high, counts, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, points.shape[1])
