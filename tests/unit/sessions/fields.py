"""Sessions of a made-up field: somata in tissue that shifts, turns, bends and is found anew each time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi
from scipy.sparse import csc_matrix, hstack

from caiman_pipeline.model.sessions import Session

DIMS = (110, 150)
RADIUS = 4.0


@dataclass(frozen=True)
class Field:
    """Sessions, and whose each component is (-1: nobody's)."""

    sessions: list[Session]
    owners: list[np.ndarray]

    def pairs(self, found, a, b):
        """Return true pairs, found pairs, and those that are both."""
        owner = {i: o for i, o in enumerate(self.owners[a]) if o >= 0}
        true = {(i, k) for i, o in owner.items() for k in np.flatnonzero(self.owners[b] == o)}
        got = {(i, k) for i, c in enumerate(found.cells[a]) if c >= 0 for k in np.flatnonzero(found.cells[b] == c)}
        return len(true), len(got), len(true & got)

    def f1(self, found):
        """Return F1 over the pairs of all sessions."""
        n = len(self.sessions)
        sums = np.sum([self.pairs(found, a, b) for a in range(n) for b in range(a + 1, n)], 0)
        return 2 * sums[2] / max(sums[0] + sums[1], 1)


def place_cells(rng, dims=DIMS, n=90, margin=30, apart=1.4):
    """Return centres around and in the field, none nearer than so many radii."""
    low, high = np.full(len(dims), -margin), np.array(dims) + margin
    low[:-2], high[:-2] = 0, dims[:-2]
    share = np.prod(high - low) / np.prod(dims)
    found = []
    for _ in range(20000):
        at = rng.uniform(low, high)
        if all(np.linalg.norm((at - p) * ([1.5] * (len(dims) - 2) + [1, 1])) > apart * RADIUS for p in found):
            found.append(at)
        if len(found) >= n * share:
            break
    return np.array(found)


def footprint(at, dims, scale=1.0, rng=None):
    """Return one soma at a place, flat and sparse; its edge is another each time."""
    grid = np.indices(dims)
    radius = RADIUS * scale * (np.exp(0.1 * rng.normal()) if rng else 1)
    weights = [1.5] * (len(dims) - 2) + [1.0, 1.0]
    far = np.sqrt(sum(((g - a) * w) ** 2 for g, a, w in zip(grid, at, weights, strict=True)))
    seen = 1 / (1 + np.exp((far / radius - 1) * 6))
    if rng:
        seen = seen * np.clip(1 + ndi.gaussian_filter(rng.normal(size=dims), 1.5), 0.2, None)
    seen[seen < 0.15 * seen.max()] = 0
    return csc_matrix((seen / seen.max()).astype(np.float32).reshape(-1, 1))


def similarity(degrees, shift, scale=1.0, dims=DIMS):
    """Return a map of places (N, 2 or 3): a turn of the plane around its middle, a magnification, a shift."""
    a, middle = np.deg2rad(degrees), np.array(dims[-2:]) / 2
    turn = scale * np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])

    def move(at):
        moved = np.array(at, float)
        moved[..., -2:] = (moved[..., -2:] - middle) @ turn.T + middle + np.array(shift)[-2:]
        if moved.shape[-1] == 3 and len(shift) == 3:
            moved[..., 0] += shift[0]
        return moved

    return move


def bent(move, strength=2.0, dims=DIMS):
    """Return a map with a smooth bend after it."""

    def bend(at):
        y, x = move(at)[..., -2:].T
        extra = np.stack([strength * np.sin(x / dims[-1] * 3), strength * np.cos(y / dims[-2] * 2.5)], -1)
        moved = move(at)
        moved[..., -2:] += extra
        return moved

    return bend


def make_field(moves, *, seed, n=90, present=0.8, jitter=0.4, dims=DIMS, scales=None, sizes=None, false=0.04):
    """Return a field seen in several sessions, each moved by one of ``moves``."""
    rng = np.random.default_rng(seed)
    cells = place_cells(rng, dims, n)
    light = rng.lognormal(0, 0.4, len(cells))
    sessions, owners = [], []
    for s, move in enumerate(moves):
        scale = (scales or [1.0] * len(moves))[s]
        size = (sizes or [dims] * len(moves))[s]
        columns, whose = [], []
        image = np.full(size, 0.2, np.float32)
        for k, at in enumerate(move(cells)):
            inside = np.all((at[-2:] > 3) & (at[-2:] < np.array(size[-2:]) - 4))
            if not inside or not np.all((at[:-2] > -0.5) & (at[:-2] < np.array(size[:-2]) - 0.5)):
                continue
            image += light[k] * footprint(at, size, scale).toarray().reshape(size)
            if rng.random() < present:
                columns.append(footprint(at + jitter * rng.normal(size=at.size), size, scale, rng))
                whose.append(k)
        for _ in range(rng.poisson(false * len(columns))):
            at = rng.uniform(0, size)
            columns.append(footprint(at, size, 0.6 * scale, rng))
            whose.append(-1)
        order = rng.permutation(len(columns))
        matrix = hstack([columns[i] for i in order]).tocsc()
        noisy = (image + 0.05 * rng.normal(size=size)).astype(np.float32)
        sessions.append(Session(f"day_{s}", tuple(size), 10 + np.arange(len(order)), matrix, noisy))
        owners.append(np.array(whose)[order])
    return Field(sessions, owners)
