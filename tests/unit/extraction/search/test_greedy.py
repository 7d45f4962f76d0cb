"""The greedy search: what hides a cell, and what its footprint is cut to."""

from __future__ import annotations

import numpy as np
import pytest

from caiman_pipeline.extraction.search.greedy import Found, evidence_map, greedy_search, main_body

DIMS, CELL = (36, 47), 8.0
PLACES = ((11, 14), (25, 33))


def disc(centre: tuple[int, int], radius: float = 3.6) -> np.ndarray:
    y, x = np.indices(DIMS)
    return (np.hypot(y - centre[0], x - centre[1]) <= radius).astype(float).ravel()


def searched(movie: np.ndarray, *, allowed: np.ndarray | None = None, limit: int = 10, least: float = 60.0) -> Found:
    return greedy_search(
        movie.astype(np.float32, copy=False),
        DIMS,
        cell_px=(CELL, CELL),
        decay_bins=0.0,
        threshold=2.5,
        min_evidence=least,
        max_components=limit,
        allowed=np.ones(len(movie), bool) if allowed is None else allowed.ravel(),
    )


@pytest.fixture(scope="module")
def traces() -> np.ndarray:
    """One cell at rest in hardly a frame, one that fires twice."""
    rng = np.random.default_rng(6)
    busy = rng.uniform(0, 6, 300) * (rng.random(300) < 0.92)
    rare = np.zeros(300)
    rare[40:52] = rare[200:215] = 5.0
    return np.stack([busy, rare])


@pytest.fixture(scope="module")
def movie(traces: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(7).normal(size=(np.prod(DIMS), 300))
    return noise + np.stack([disc(p) for p in PLACES], axis=1) @ traces


def test_a_cell_that_hardly_rests_is_not_taken_for_noise(movie: np.ndarray) -> None:
    found = searched(movie.copy())
    cosine = np.stack([disc(p) / np.linalg.norm(disc(p)) for p in PLACES]) @ found.footprints
    cosine = cosine / np.linalg.norm(found.footprints, axis=0)
    assert (cosine.max(1) > 0.9).all()


def test_what_is_found_is_taken_out_of_the_movie(movie: np.ndarray, traces: np.ndarray) -> None:
    rest = movie.astype(np.float32).copy()
    found = searched(rest)
    model = found.footprints @ np.maximum(found.traces, 0)
    np.testing.assert_allclose(rest, movie - model, atol=1e-3)
    assert (np.diff(found.evidence[:2]) <= 0).all()
    assert (found.evidence >= 60).all()


def test_the_search_ends_at_the_limit_and_where_too_little_is_left(movie: np.ndarray) -> None:
    assert searched(movie.copy(), limit=1).footprints.shape == (len(movie), 1)
    assert searched(movie.copy(), least=1e9).traces.shape == (0, 300)


def test_no_component_is_centred_where_none_is_allowed(movie: np.ndarray) -> None:
    allowed = np.ones(DIMS, bool)
    allowed[:, 24:] = False
    found = searched(movie.copy(), allowed=allowed)
    weights = found.footprints.reshape(*DIMS, -1)
    centres = np.einsum("x,yxk->k", np.arange(DIMS[1]), weights) / weights.sum((0, 1))
    assert len(centres) >= 1
    assert (centres < 24).all()


def test_evidence_is_the_sum_of_squares_above_the_threshold() -> None:
    filtered = np.array([[[1.0, 3.0, 4.5, -9.0], [2.0, 2.5, 0.0, 2.4]]], np.float32)
    np.testing.assert_allclose(evidence_map(filtered, 2.5), [[0.25 + 4.0, 0.0]])


def test_the_body_is_the_part_that_holds_the_centre_or_has_most_mass() -> None:
    image = np.zeros((20, 30), np.float32)
    image[3:8, 3:8], image[12:18, 15:25] = 1.0, 0.8
    np.testing.assert_array_equal(main_body(image, (5, 5)) > 0, (image == 1.0))
    np.testing.assert_array_equal(main_body(image, (0, 29)) > 0, (image == np.float32(0.8)))
    assert not main_body(np.zeros((4, 5), np.float32), (1, 1)).any()
