"""Demixing against least squares on the movie, products against numpy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import csc_matrix, csr_matrix, random

from caiman_pipeline.extraction.products import add_regression_sums, bin_columns, sparse_dense
from caiman_pipeline.extraction.temporal import demix, local_signals, make_projection, target_traces, unexplained
from caiman_pipeline.model.background import Follower

RNG = np.random.default_rng(12)
P, K, N, T = 60, 4, 3, 700


@pytest.fixture(scope="module")
def model():
    """Overlapping footprints (P, K), and a background that pixels follow, each with a gain of its own."""
    footprints = np.zeros((P, K))
    for k in range(K):
        footprints[10 * k + 3 : 10 * k + 20, k] = RNG.uniform(1, 3, 17)
    blocks = np.zeros((N, P))
    blocks[0, 49:52], blocks[1, 52:56], blocks[2, 56:60] = 1 / 3, 0.25, 0.25
    follower = Follower(
        csr_matrix(blocks.astype(np.float32)),
        csr_matrix(np.eye(N, dtype=np.float32)),
        csr_matrix(RNG.uniform(0, 1, (P, N)).astype(np.float32)),
    )
    gain, static = RNG.uniform(0.5, 1.5, P).astype(np.float32), RNG.uniform(5, 9, P).astype(np.float32)
    return footprints, follower, gain, static, RNG.uniform(0.5, 2, P).astype(np.float32)


def test_traces_are_those_of_weighted_least_squares_once_the_background_is_off(model) -> None:
    footprints, follower, gain, static, noise = model
    traces, signals = RNG.exponential(size=(K, T)), RNG.normal(size=(N, T))
    spread = gain[:, None] * follower.interpolation.toarray()
    movie = footprints @ traces + static[:, None] + 0.2 * RNG.normal(size=(P, T))
    watched_noise = follower.average(movie.astype(np.float32))
    movie += spread @ signals
    projection = make_projection(csc_matrix(footprints), follower, gain=gain, static=static, noise=noise)
    weighted = footprints / noise[:, None].astype(float) ** 2
    np.testing.assert_allclose(projection.readout.toarray(), weighted, rtol=1e-5)
    seen = weighted.T @ movie
    nodes = follower.average(movie)
    leak = follower.averaging @ footprints
    coupling = weighted.T @ spread
    expected = np.linalg.solve(
        weighted.T @ footprints - coupling @ leak, seen - (weighted.T @ static)[:, None] - coupling @ nodes
    )
    for threads in (1, 2):
        found = demix(projection, seen, nodes, rounds=60, threads=threads)
        np.testing.assert_allclose(found, expected, atol=1e-3)
    assert watched_noise.shape == (N, T)
    target = target_traces(projection, seen, nodes)
    rest = unexplained(projection, target, expected)
    np.testing.assert_allclose(rest, 0, atol=1e-3)
    one_off = expected.copy()
    one_off[2] += 1
    overlap = weighted.T @ footprints - coupling @ leak
    np.testing.assert_allclose(
        unexplained(projection, target, one_off)[:, 0], -overlap[:, 2] / np.diag(overlap), atol=1e-3
    )
    np.testing.assert_allclose(local_signals(projection, nodes, expected), nodes - leak @ expected, atol=1e-4)


def test_an_empty_footprint_has_a_trace_of_zeros(model) -> None:
    footprints, follower, gain, static, noise = model
    empty = np.concatenate([footprints, np.zeros((P, 1))], axis=1)
    projection = make_projection(csc_matrix(empty), follower, gain=gain, static=static, noise=noise)
    found = demix(projection, RNG.normal(size=(K + 1, 9)), np.zeros((N, 9)), rounds=3)
    assert not found[K].any()
    assert found[:K].all()


@pytest.mark.parametrize("threads", [1, 3])
def test_products_with_a_movie_less_its_level(threads: int) -> None:
    matrix = random(7, 30, density=0.3, random_state=4, dtype=np.float32).tocsr()
    movie, level = RNG.normal(100, 1, (30, 41)).astype(np.float32), RNG.normal(100, 1, 30).astype(np.float32)
    found = sparse_dense(matrix, movie, level=level, threads=threads)
    np.testing.assert_allclose(found, matrix @ (movie - level[:, None]), atol=1e-4)


def test_columns_are_averaged_between_edges() -> None:
    frames, level = RNG.normal(size=(6, 30)).astype(np.float32), RNG.normal(size=6).astype(np.float32)
    edges = np.array([2, 3, 10, 27])
    found = bin_columns(frames, edges, level=level, threads=2)
    expected = [(frames[:, a:b] - level[:, None]).mean(1) for a, b in pairwise(edges)]
    np.testing.assert_allclose(found, np.stack(expected, axis=1), atol=1e-5)


def test_sums_of_the_regression_are_weighted_sums_over_bins() -> None:
    pixels, bins, weights = 5, 13, RNG.uniform(1, 3, 13).astype(np.float32)
    movie, traces, signals = (RNG.normal(size=(n, bins)).astype(np.float32) for n in (pixels, 3, 2))
    mix = csr_matrix(RNG.uniform(0, 1, (pixels, 2)).astype(np.float32))
    support = csr_matrix(np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1]], np.float32))
    sums, with_y, with_g = np.ones((pixels, 4)), np.ones(support.nnz), np.ones(support.nnz)
    arguments = (movie, weights, traces, signals, mix.data, mix.indices, mix.indptr, support.indices, support.indptr)
    for start, stop in ((0, 2), (2, 5)):
        add_regression_sums(start, stop, *arguments, sums, with_y, with_g)
    local, rows = mix @ signals, np.repeat(np.arange(pixels), np.diff(support.indptr))
    expected = np.stack([(weights * v).sum(1) for v in (movie, local, local * local, movie * local)], axis=1)
    np.testing.assert_allclose(sums, 1 + expected, rtol=1e-4, atol=1e-4)
    for found, values in ((with_y, movie), (with_g, local)):
        np.testing.assert_allclose(
            found, 1 + (weights * values[rows] * traces[support.indices]).sum(1), rtol=1e-4, atol=1e-4
        )
