"""Footprints made whole: dim ones by what pixels show together, bright ones pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csc_matrix

from caiman_pipeline.extraction.pooled import Pooling, pool_footprints

DIMS = (31, 40)
CELL_PX = 11.0
POOLING = Pooling((0.12 * CELL_PX, 0.12 * CELL_PX), 2.5, 0.2)
NOISE = 1.0


def disc(centre: tuple[float, float] = (14.0, 22.0), radius: float = CELL_PX / 2) -> np.ndarray:
    y, x = np.indices(DIMS)
    return np.hypot(y - centre[0], x - centre[1]) <= radius


def pooled(signal: np.ndarray, *, noise: float = NOISE, seed: int = 0, pooling: Pooling = POOLING) -> np.ndarray:
    """Pool estimates of ``signal`` within a support one cell wider than it, each with the same error."""
    support = disc(radius=CELL_PX)
    free = np.where(support, signal + noise * np.random.default_rng(seed).normal(size=DIMS), 0)
    entries = csc_matrix(np.where(support, 1.0, 0).reshape(-1, 1).astype(np.float32))
    rows = entries.indices
    estimates, errors = entries.copy(), entries.copy()
    estimates.data, errors.data = free.ravel()[rows].astype(np.float32), np.full(len(rows), noise, np.float32)
    return pool_footprints(estimates, errors, DIMS, pooling=pooling).toarray().reshape(DIMS)


def overlap(found: np.ndarray, true: np.ndarray) -> float:
    mask = found > 0.3 * found.max()
    return float((mask & true).sum() / (mask | true).sum())


@pytest.mark.parametrize("seed", range(4))
def test_a_dim_footprint_is_whole_where_single_pixels_are_not_significant(seed: int) -> None:
    signal = 2.0 * disc()
    alone = np.where(disc(radius=CELL_PX), signal + np.random.default_rng(seed).normal(size=DIMS), 0)
    by_pixel = np.where(alone > 2.5 * NOISE, alone, 0)
    whole = pooled(signal, seed=seed)
    assert overlap(whole, disc()) > 0.75 > 0.55 > overlap(by_pixel, disc())
    assert np.count_nonzero(whole > 0.3 * whole.max()) == pytest.approx(disc().sum(), rel=0.3)


def test_a_bright_footprint_keeps_each_pixels_own_weight() -> None:
    rng = np.random.default_rng(3)
    signal = np.where(disc(), 40.0 + 15 * rng.normal(size=DIMS), 0)
    inside = disc(radius=CELL_PX / 2 - 1)
    assert np.abs(pooled(signal) - signal)[inside].max() < 4 * NOISE


def test_a_dim_footprints_weights_are_nearer_to_the_truth_than_each_pixels_own() -> None:
    signal = 2.0 * disc()
    found = np.stack([pooled(signal, seed=s) for s in range(6)])
    inside = disc(radius=CELL_PX / 2 - 1)
    assert np.sqrt(np.mean((found - signal)[:, inside] ** 2)) < 0.5 * NOISE


def test_noise_alone_leaves_next_to_nothing() -> None:
    sizes = [np.count_nonzero(pooled(np.zeros(DIMS), seed=s)) for s in range(8)]
    assert np.median(sizes) < 12


def test_a_hole_that_the_movie_shows_stays() -> None:
    ring = disc() & ~disc(radius=2.6)
    found = pooled(30.0 * ring)
    assert found[14, 22] < 0.15 * found.max()


def test_unknown_entries_count_for_nothing_and_stay_out() -> None:
    support = csc_matrix(np.where(disc(), 1.0, 0).reshape(-1, 1).astype(np.float32))
    free, errors = support.copy(), support.copy()
    free.data[:] = 9.0
    unknown = np.arange(len(free.data)) % 7 == 0
    free.data[unknown], errors.data[unknown] = 1e6, 0.0
    found = pool_footprints(free, errors, DIMS, pooling=POOLING).toarray().ravel()[support.indices]
    assert (found[unknown] == 0).all()
    np.testing.assert_allclose(found[~unknown], 9.0, rtol=1e-5)


def test_works_in_volumes_and_with_nothing_to_pool() -> None:
    dims = (3, 9, 13)
    values = np.zeros(dims, np.float32)
    values[1, 2:7, 3:10] = 5.0
    free = csc_matrix(values.reshape(-1, 1))
    errors = free.copy()
    errors.data[:] = 1.0
    found = pool_footprints(free, errors, dims, pooling=Pooling((0.1, 1.0, 1.0), 2.5, 0.2)).toarray().reshape(dims)
    np.testing.assert_allclose(found, values, rtol=1e-5)
    none = csc_matrix((free.shape[0], 0), dtype=np.float32)
    assert pool_footprints(none, none, dims, pooling=POOLING).shape == (free.shape[0], 0)
