"""Factorisation: footprints in the movie's own units, whatever the scale of the traces on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from caiman_pipeline.extraction.search.nmf import (
    PixelGraph,
    coherence,
    factorise,
    neighbours,
    pixel_graph,
    pure_traces,
    regressed_traces,
)

RNG = np.random.default_rng(8)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def factors() -> tuple[np.ndarray, np.ndarray]:
    """Footprints (40, 2), apart but for a few pixels, and traces (2, 25) of unit norm, partly active together."""
    footprints = np.zeros((40, 2))
    footprints[2:18, 0], footprints[15:36, 1] = RNG.uniform(1, 3, 16), RNG.uniform(2, 5, 21)
    traces = np.zeros((2, 25))
    traces[0, 2:14], traces[1, 11:23] = RNG.uniform(1, 2, 12), RNG.uniform(1, 2, 12)
    return footprints, unit(traces)


def factorised(footprints: np.ndarray, traces: np.ndarray, start: np.ndarray, **changes: Any) -> np.ndarray:
    left, right = footprints.astype(np.float32), traces.astype(np.float32)
    values = {"graph": None, "weight": 0.0, "sparsity": 0.0, "iterations": 300, "tolerance": 0.0, **changes}
    return factorise(left, right, start.astype(np.float32), **values)


def test_one_factor_is_found_in_the_unit_of_traces_of_norm_one(factors: tuple[np.ndarray, np.ndarray]) -> None:
    footprints, traces = (factors[0][:, :1], factors[1][:1])
    start = traces + 0.4 * RNG.uniform(size=traces.shape)
    for iterations in (2, 3, 10):
        found = factorised(footprints, traces, 7 * start, iterations=iterations)
        np.testing.assert_allclose(found, footprints, rtol=1e-4, atol=1e-5)


def test_factors_that_overlap_are_told_apart(factors: tuple[np.ndarray, np.ndarray]) -> None:
    footprints, traces = factors
    found = factorised(footprints, traces, traces + 0.1 * RNG.uniform(size=traces.shape))
    np.testing.assert_allclose(found, footprints, atol=0.1)


def test_the_scale_of_the_first_traces_changes_nothing(factors: tuple[np.ndarray, np.ndarray]) -> None:
    footprints, traces = factors
    start = traces + 0.3 * RNG.uniform(size=traces.shape)
    plain, scaled = (
        factorised(footprints, traces, s * start, sparsity=0.4, iterations=6) for s in (1, np.array([[9], [0.2]]))
    )
    np.testing.assert_allclose(plain, scaled, rtol=1e-4, atol=1e-5)


def test_sparsity_is_taken_off_every_weight(factors: tuple[np.ndarray, np.ndarray]) -> None:
    footprints, traces = factors[0][:, :1], factors[1][:1]
    found = factorised(footprints, traces, traces, sparsity=1.5, iterations=1)
    np.testing.assert_allclose(found, np.maximum(footprints - 1.5, 0), rtol=1e-4, atol=1e-5)


def test_ties_pull_a_pixel_towards_its_neighbours() -> None:
    """Of two tied pixels: the point where the derivative of the penalised squares is zero."""
    footprints, trace = np.array([[1.0], [4.0], [2.0]]), unit(np.ones((1, 9)))
    links = csr_matrix(np.array([[0, 0.5, 0], [0.5, 0, 0], [0, 0, 0]], np.float32))
    # Traces stay as they are: all frames are alike.
    found = factorised(footprints, trace, trace, graph=links, weight=2.0, iterations=200)[:, 0]
    np.testing.assert_allclose(found, [2.0, 3.0, 2.0], rtol=1e-3)


def test_an_empty_factor_stays_empty(factors: tuple[np.ndarray, np.ndarray]) -> None:
    footprints, traces = factors
    found = factorised(footprints, traces, np.concatenate([traces, np.zeros((1, 25))]), iterations=5)
    assert not found[:, 2].any()
    assert found[:, :2].all(0).sum() == 0 < found[:, :2].any(0).sum()


@pytest.mark.parametrize("dims", [(4, 5), (3, 4, 5)])
def test_every_pair_of_touching_pixels_is_there_once(dims: tuple[int, ...]) -> None:
    order = np.arange(np.prod(dims)).reshape(dims)
    found = [
        tuple(sorted(p)) for a, b in neighbours(dims) for p in zip(order[a].ravel(), order[b].ravel(), strict=True)
    ]
    places = np.stack(np.unravel_index(np.arange(order.size), dims), axis=1)
    apart = np.abs(places[:, None] - places[None]).max(2)
    expected = {(i, j) for i, j in zip(*np.nonzero(apart == 1), strict=True) if i < j}
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_pixels_of_a_block_hold_together_and_scattered_ones_do_not() -> None:
    dims = (30, 40)
    images = np.zeros((3, *dims), np.float32)
    images[0, 10:20, 10:20] = 2.0
    images[1, ::6, ::8] = 5.0
    images[2, 15, 4:36] = 1.0
    block, scattered, line = coherence(images.reshape(3, -1).T, dims)
    assert block == pytest.approx((64 * 9 + 32 * 6 + 4 * 4) / 100, abs=0.8)
    assert block < (64 * 9 + 32 * 6 + 4 * 4) / 100, "what chance would give is taken off"
    assert scattered == pytest.approx(1, abs=0.25)
    assert line == pytest.approx(3, abs=0.3)
    assert coherence(np.zeros((1200, 1), np.float32), dims) == [0]


@pytest.mark.parametrize("kernel", ["heat", "cosine", "binary"])
def test_neighbours_that_fire_together_are_more_alike(kernel: str) -> None:
    dims, frames = (3, 4), 400
    trace = RNG.normal(size=(2, frames))
    movie = np.repeat(trace, 6, axis=0) * RNG.uniform(1, 4, (12, 1)) + 7 + 0.3 * RNG.normal(size=(12, frames))
    basis, _ = np.linalg.qr(movie.T)
    left, right = (movie @ basis).astype(np.float32), basis.T.astype(np.float32)
    graph = pixel_graph(left, right, dims, PixelGraph(kernel, width=0.8, weight=1.0)).toarray()
    correlation = np.corrcoef(movie)
    expected = {
        "heat": np.exp(-(1 - correlation) / 0.64),
        "cosine": np.maximum(correlation, 0),
        "binary": 1.0 + 0 * movie[:, :12],
    }
    places = np.stack(np.unravel_index(np.arange(12), dims), axis=1)
    touching = np.abs(places[:, None] - places[None]).max(2) == 1
    np.testing.assert_allclose(graph, np.where(touching, expected[kernel], 0), atol=1e-3)


def test_pure_traces_are_those_of_pixels_of_one_source() -> None:
    sources = unit(np.maximum(RNG.normal(size=(3, 60)), 0))
    mixing = np.concatenate([4 * np.eye(3), RNG.dirichlet(np.ones(3), 20)])
    found = pure_traces(mixing.astype(np.float32), sources.astype(np.float32), 3)
    cosine = unit(found) @ sources.T
    np.testing.assert_allclose(np.sort(cosine.argmax(1)), [0, 1, 2])
    np.testing.assert_allclose(cosine.max(1), 1, atol=1e-5)
    assert len(pure_traces(np.zeros((5, 3), np.float32), sources.astype(np.float32), 3)) == 0


def test_traces_are_regressed_on_all_footprints_together(factors: tuple[np.ndarray, np.ndarray]) -> None:
    footprints, traces = (f.astype(np.float32) for f in factors)
    np.testing.assert_allclose(regressed_traces(footprints, footprints @ traces), traces, atol=2e-3)
    assert regressed_traces(footprints[:, :0], footprints @ traces).shape == (0, 25)
