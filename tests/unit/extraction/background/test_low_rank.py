"""Maps of a low-rank background: smooth in space, and as fast in time as the movie."""

from __future__ import annotations

import numpy as np
import pytest

from caiman_pipeline.extraction.background.low_rank import shared_maps, tile_maps, whole_field

DIMS = (18, 26)
RNG = np.random.default_rng(2)


@pytest.fixture(scope="module")
def case() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A smooth image, a fast signal of unit norm at or above zero, and noise; one pixel does not count."""
    y, x = np.indices(DIMS)
    image = (30 + 2 * y + x).astype(float).ravel()
    signal = np.where(np.arange(200) % 3 == 0, 1.0, 0.0) * RNG.uniform(0.8, 1, 200)
    noise = RNG.uniform(0.5, 2, DIMS).ravel()
    noise[77] = np.inf
    return image, signal / np.linalg.norm(signal), noise


def test_a_map_is_the_image_in_the_movies_unit_however_fast_it_changes(case: tuple[np.ndarray, ...]) -> None:
    image, signal, noise = case
    movie = (np.outer(image, signal) + 0.001 * RNG.normal(size=(len(image), 200))).astype(np.float32)
    maps = tile_maps(movie, DIMS, noise=np.full(len(image), 1.7), cell_px=(1.0, 1.0), clip=1e6, count=1).toarray()[:, 0]
    np.testing.assert_allclose(maps, image, rtol=0.05)
    uneven = tile_maps(movie, DIMS, noise=noise, cell_px=(1.0, 1.0), clip=1e6, count=1).toarray()[:, 0]
    assert uneven[77] == 0


def test_activity_is_cut(case: tuple[np.ndarray, ...]) -> None:
    image, signal, _ = case
    quiet = np.outer(image, signal) + 0.3 * RNG.normal(size=(len(image), 200))
    active = quiet.copy()
    active[100:120, 50:60] += 1e4
    rules = {"noise": np.ones(len(image)), "cell_px": (1.0, 1.0), "clip": 6.0, "count": 1}
    maps = [tile_maps(m.astype(np.float32), DIMS, **rules).toarray() for m in (quiet, active)]
    cosine = (maps[0] * maps[1]).sum() / np.linalg.norm(maps[0]) / np.linalg.norm(maps[1])
    assert cosine > 0.98


def test_shares_are_those_of_signals_in_common() -> None:
    common = np.maximum(RNG.normal(size=(2, 300)), 0) * (RNG.random((2, 300)) < 0.4)
    mixing = np.concatenate([np.eye(2), RNG.dirichlet(np.ones(2), 12)])
    shares = shared_maps(mixing @ common, count=2)
    unit = shares / np.linalg.norm(shares, axis=0)
    true = mixing / np.linalg.norm(mixing, axis=0)
    assert (unit.T @ true).max(1).min() > 0.98
    assert (shares >= 0).all()
    assert shared_maps(common[:1], count=4).shape == (1, 1)


def test_masks_of_the_whole_field_hold_usable_pixels() -> None:
    usable = RNG.random(30) > 0.3
    np.testing.assert_array_equal(whole_field(usable, 3).toarray(), np.repeat(usable[:, None], 3, axis=1))
