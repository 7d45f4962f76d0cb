"""The spatial update against non-negative least squares on the movie itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.sparse import csc_matrix, csr_matrix

from caiman_pipeline.extraction.spatial import (
    RegressionSums,
    clean_footprints,
    dilate_supports,
    main_sections,
    normalise,
    solve_pixels,
)

RNG = np.random.default_rng(5)
P, K, T = 12, 3, 80


def sums_of(movie: np.ndarray, local: np.ndarray, traces: np.ndarray, weights: np.ndarray, support: np.ndarray):
    """Return the sums over time that the update starts from; ``local`` (P, T) are the background's signals."""
    structure = csr_matrix(support.astype(float))
    rows = np.repeat(np.arange(len(movie)), np.diff(structure.indptr))
    pixels = np.stack([(weights * v).sum(1) for v in (movie, local, local * local, movie * local)], axis=1)
    with_traces = [(weights * m[rows] * traces[structure.indices]).sum(1) for m in (movie, local)]
    products = (traces * weights) @ traces.T
    return RegressionSums(
        float(weights.sum()),
        pixels,
        structure,
        *with_traces,
        trace_sums=(traces * weights).sum(1),
        trace_products=products,
    )


@pytest.fixture(scope="module")
def case() -> tuple[np.ndarray, ...]:
    traces, local = RNG.exponential(size=(K, T)), RNG.normal(5, 1, (P, T))
    weights, support = RNG.uniform(0.5, 2, T), RNG.random((P, K)) < 0.7
    support[0], support[1] = True, False
    true = np.where(support, RNG.uniform(-0.5, 2, (P, K)), 0)
    movie = 20 + true @ traces + RNG.uniform(0.3, 1.5, (P, 1)) * local + 0.1 * RNG.normal(size=(P, T))
    return movie, local, traces, weights, support


def by_least_squares(movie, local, traces, weights, support):
    """Weights of traces (>= 0), gain and static of each pixel, by nnls on the frames; the constant has any sign."""
    root, found = np.sqrt(weights), np.zeros((P, K + 2))
    for p in range(P):
        columns = [*traces[support[p]], local[p], np.ones(T), -np.ones(T)]
        solution, _ = nnls(np.stack(columns, axis=1) * root[:, None], movie[p] * root)
        found[p, :K][support[p]] = solution[: support[p].sum()]
        found[p, K], found[p, K + 1] = solution[-3], solution[-2] - solution[-1]
    return found


def test_each_pixel_is_a_nonnegative_mixture_of_traces_background_and_a_constant(case: tuple[np.ndarray, ...]) -> None:
    expected = by_least_squares(*case)
    model = solve_pixels(
        sums_of(*case), noise=np.full(P, 1e-3, np.float32), significance=0.0, regression="nonnegative", threads=1
    )
    assert (expected[:, :K] > 0).sum() > 10
    assert ((expected[:, :K] == 0) & case[4]).any(), "some are held at zero"
    np.testing.assert_allclose(model.footprints.toarray(), expected[:, :K], atol=2e-3)
    np.testing.assert_allclose(model.gain, expected[:, K], atol=2e-3)
    np.testing.assert_allclose(model.static, expected[:, K + 1], atol=2e-2)


@pytest.mark.parametrize("regression", ["nonnegative", "nnls_l0"])
def test_weights_below_their_standard_error_times_the_significance_go(
    case: tuple[np.ndarray, ...], regression: str
) -> None:
    traces = case[2]
    weak = 3.0 * 0.4 / np.sqrt(((traces - traces.mean(1, keepdims=True)) ** 2).sum(1))
    support, flat = np.ones((P, K), bool), np.ones(T)
    shares = np.concatenate([np.linspace(0.5, 0.93, P // 2), np.linspace(1.07, 1.6, P // 2)])
    movie = 7 + np.outer(shares, weak[0] * traces[0])
    model = solve_pixels(
        sums_of(movie, np.zeros((P, T)), traces, flat, support[:, :] & (np.arange(K) == 0)),
        noise=np.full(P, 0.4, np.float32),
        significance=3.0,
        regression=regression,
        threads=1,
    )
    np.testing.assert_array_equal(model.footprints[:, 0].toarray().ravel() > 0, shares > 1)
    np.testing.assert_allclose(
        model.footprints[:, 0].toarray().ravel()[P // 2 :], (shares * weak[0])[P // 2 :], rtol=1e-3
    )


def test_threads_change_nothing(case: tuple[np.ndarray, ...]) -> None:
    found = [
        solve_pixels(
            sums_of(*case), noise=np.full(P, 0.1, np.float32), significance=1.0, regression="nnls_l0", threads=n
        ).footprints
        for n in (1, 3)
    ]
    assert (found[0] != found[1]).nnz == 0


def test_supports_grow_by_an_ellipse_and_stay_within_what_is_allowed() -> None:
    dims = (15, 22)
    image, allowed = np.zeros(dims), np.ones(dims, bool)
    image[7, 10] = image[0, 21] = 1
    allowed[:, 12:] = False
    y, x = np.indices(dims)
    expected = [((y - a) / 2.5) ** 2 + ((x - b) / 4.0) ** 2 <= 1 for a, b in ((7, 10), (0, 21))]
    grown = dilate_supports(
        csc_matrix(image.reshape(-1, 1)), dims, radius_px=(2.5, 4.0), allowed=allowed.ravel()
    ).toarray()
    np.testing.assert_array_equal(grown.reshape(dims) > 0, (expected[0] | expected[1]) & allowed)
    same = dilate_supports(csc_matrix(image.reshape(-1, 1)), dims, radius_px=(0.0, 0.0), allowed=np.ones(330, bool))
    np.testing.assert_array_equal(same.toarray().reshape(dims), image)


def test_a_footprint_of_two_parts_that_are_too_small_each_becomes_empty() -> None:
    dims = (16, 24)
    image = np.zeros(dims)
    image[2:4, 2:6], image[10:12, 15:17] = 1.0, 0.9
    assert clean_footprints(csc_matrix(image.reshape(-1, 1)), dims, min_pixels=12).nnz == 0
    assert clean_footprints(csc_matrix(image.reshape(-1, 1)), dims, min_pixels=8).nnz == 8


def test_sections_are_the_run_of_planes_around_the_heaviest() -> None:
    counts = (10, 1, 2, 10, 9, 1, 8)
    points = np.stack([np.repeat(np.arange(7), counts), np.arange(41), np.arange(41)])
    kept = main_sections(points, np.where(points[0] == 3, 1.1, 1.0))
    assert list(np.unique(points[0][kept])) == [2, 3, 4], "a fifth of the largest section is one"
    heavy = main_sections(points, np.where(points[0] == 6, 5.0, 1.0))
    assert list(np.unique(points[0][heavy])) == [6]
    assert main_sections(points[1:], np.ones(41)).all()


def test_footprints_get_unit_norm_and_empty_ones_stay() -> None:
    matrix = csc_matrix(np.array([[3, 0, 1], [4, 0, 1], [0, 0, 1]], np.float32))
    scaled, norms = normalise(matrix)
    np.testing.assert_allclose(norms, [5, 1, 3**0.5])
    np.testing.assert_allclose(scaled.toarray() * norms, matrix.toarray(), rtol=1e-6)
