"""Rules of the spatial update: where footprints may grow, which regression, and what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import Planted, matches, merged, plant, refined, rules, search, store
from scipy.sparse import csc_matrix, csr_matrix

from caiman_pipeline.extraction.spatial import RegressionSums, SpatialModel, clean_footprints, solve_pixels
from caiman_pipeline.extraction.supports import ellipse_supports, grow_supports, shape_footprints, shaped_image
from caiman_pipeline.model.components import Components
from caiman_pipeline.movies.store.parts import MovieStore

DIMS = (30, 44)
EVERYWHERE = np.ones(30 * 44, bool)
NONE = csc_matrix((30 * 44, 0), dtype=np.float32)


def column(image: np.ndarray) -> csc_matrix:
    return csc_matrix(image.reshape(-1, 1).astype(np.float32))


def solved_as(image: np.ndarray) -> SpatialModel:
    nothing = np.zeros(image.size, np.float32)
    return SpatialModel(column(image), nothing, nothing)


def bar(rows: slice, columns: slice, value: float = 1.0) -> np.ndarray:
    image = np.zeros(DIMS)
    image[rows, columns] = value
    return image


def test_dilation_reaches_as_far_as_it_says() -> None:
    grown = grow_supports(
        column(bar(slice(10, 12), slice(20, 22))),
        DIMS,
        rules=rules(reach_px=(3.0, 3.0)),
        allowed=EVERYWHERE,
        masks=NONE,
    )
    rows, columns = np.unravel_index(grown.indices, DIMS)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (7, 14, 17, 24)


def test_an_ellipse_follows_the_footprints_axes() -> None:
    slanted = np.zeros(DIMS)
    for i in range(12):
        slanted[8 + i // 2, 10 + i : 13 + i] = 1
    near, far = (
        ellipse_supports(column(slanted), DIMS, factor=f, allowed=EVERYWHERE).toarray().reshape(DIMS)
        for f in (2.0, 4.0)
    )
    assert near.sum() < far.sum()
    along, across = far[8 + 8, 10 + 16 + 1], far[8 + 14, 10 + 4]
    assert along
    assert not across
    assert far[slanted > 0].all()


def test_an_ellipse_stays_inside_what_is_allowed() -> None:
    allowed = EVERYWHERE.reshape(DIMS).copy()
    allowed[:, :21] = False
    footprint = bar(slice(10, 16), slice(22, 28))
    grown = ellipse_supports(column(footprint), DIMS, factor=4.0, allowed=allowed.ravel())
    assert allowed.ravel()[grown.indices].all()


def test_masks_do_not_grow() -> None:
    mask, free = column(bar(slice(3, 5), slice(3, 5))), column(bar(slice(20, 22), slice(30, 32)))
    both = csc_matrix(np.concatenate([mask.toarray(), free.toarray()], axis=1))
    grown = grow_supports(both, DIMS, rules=rules(), allowed=EVERYWHERE, masks=mask)
    assert grown[:, 0].nnz == 4
    assert grown[:, 1].nnz > 4


def peaked() -> np.ndarray:
    image = np.zeros(DIMS)
    image[10:15, 20:25] = 1.0
    image[12, 22] = 4.0
    image[10:15, 25] = 0.3
    return image


@pytest.mark.parametrize(("fraction", "pixels"), [(0.05, 30), (0.1, 25), (0.5, 1)])
def test_threshold_by_share_of_the_peak(fraction: float, pixels: int) -> None:
    kept = shaped_image(peaked(), rules(threshold="max", max_fraction=fraction))
    assert np.count_nonzero(kept) == pixels


@pytest.mark.parametrize(("fraction", "pixels"), [(1.0, 30), (0.95, 25), (0.3, 1)])
def test_threshold_by_share_of_energy(fraction: float, pixels: int) -> None:
    kept = shaped_image(peaked(), rules(threshold="energy", energy_fraction=fraction))
    assert np.count_nonzero(kept) == pixels


def test_the_median_filter_drops_single_pixels_and_leaves_weights() -> None:
    image = peaked()
    image[3, 3] = 5.0
    kept = shaped_image(image, rules(median_px=3, connected=False))
    assert kept[3, 3] == 0
    assert kept[12, 22] == 4.0


def test_closing_fills_a_gap_with_what_is_around() -> None:
    image = bar(slice(10, 15), slice(20, 27), 2.0)
    image[12, 23] = 0
    assert shaped_image(image, rules())[12, 23] == 0
    assert 1 < shaped_image(image, rules(closing_px=3))[12, 23] < 2


@pytest.mark.parametrize("threshold", ["significance", "max", "energy"])
def test_the_inside_of_a_ring_stays_empty(threshold: str) -> None:
    y, x = np.indices(DIMS)
    r = np.hypot(y - 14, x - 21)
    ring = np.where((r > 3.5) & (r < 6), 1.0, 0.0)
    chosen = rules(threshold=threshold)
    kept = shape_footprints(solved_as(ring), DIMS, rules=chosen, allowed=EVERYWHERE, masks=NONE, keep_masks=False)
    assert np.count_nonzero(kept.toarray().reshape(DIMS)[r < 3.5]) == 0
    assert kept.nnz == np.count_nonzero(ring)
    grown = grow_supports(column(ring), DIMS, rules=chosen, allowed=EVERYWHERE, masks=column(ring))
    np.testing.assert_array_equal(grown.toarray().ravel() > 0, ring.ravel() > 0)


def test_closing_does_not_fill_dead_pixels() -> None:
    image = bar(slice(10, 15), slice(20, 27))
    image[12, 23] = 0
    allowed = EVERYWHERE.copy()
    allowed[12 * 44 + 23] = False
    shaped = shape_footprints(
        solved_as(image), DIMS, rules=rules(closing_px=3), allowed=allowed, masks=NONE, keep_masks=False
    )
    assert shaped.nnz == 34


@pytest.mark.parametrize(("connected", "pixels"), [(True, 12), (False, 18)])
def test_the_main_part_is_kept_or_all(connected: bool, pixels: int) -> None:
    image = bar(slice(2, 5), slice(2, 6)) + bar(slice(20, 23), slice(30, 32))
    for threshold in ("significance", "max"):
        chosen = rules(connected=connected, threshold=threshold)
        shaped = shape_footprints(
            solved_as(image), DIMS, rules=chosen, allowed=EVERYWHERE, masks=NONE, keep_masks=False
        )
        assert shaped.nnz == pixels


def test_footprints_that_are_too_small_become_empty() -> None:
    for threshold in ("significance", "energy"):
        chosen = rules(min_pixels=8, threshold=threshold)
        small = solved_as(bar(slice(2, 4), slice(2, 5)))
        shaped = shape_footprints(small, DIMS, rules=chosen, allowed=EVERYWHERE, masks=NONE, keep_masks=False)
        assert shaped.shape == (1320, 1)
        assert shaped.nnz == 0


def sums_of(traces: np.ndarray, movie: np.ndarray) -> RegressionSums:
    n_pixels, n_traces = len(movie), len(traces)
    full = csr_matrix(np.ones((n_pixels, n_traces)))
    pixels = np.stack([movie.sum(1), *np.zeros((3, n_pixels))], axis=1)
    products = (movie @ traces.T)[np.repeat(np.arange(n_pixels), n_traces), full.indices]
    return RegressionSums(movie.shape[1], pixels, full, products, np.zeros(full.nnz), traces.sum(1), traces @ traces.T)


def test_few_components_explain_a_pixel_with_an_l0_penalty() -> None:
    rng = np.random.default_rng(0)
    shared = rng.exponential(size=400)
    traces = shared + 0.35 * rng.exponential(size=(4, 400))
    movie = 2.0 * traces[[1]] + 0.5 * rng.normal(size=(60, 400))
    solved = {
        method: solve_pixels(
            sums_of(traces, movie), noise=np.full(60, 0.5, np.float32), significance=3.0, regression=method, threads=1
        ).footprints
        for method in ("nonnegative", "nnls_l0")
    }
    entries = {method: (a > 0).toarray().sum(0) for method, a in solved.items()}
    assert entries["nnls_l0"][1] == 60
    assert entries["nnls_l0"].sum() < entries["nonnegative"].sum()
    np.testing.assert_allclose(solved["nnls_l0"][:, 1].toarray().mean(), 2.0, rtol=0.05)


def test_an_l0_penalty_keeps_both_traces_where_both_are_there() -> None:
    rng = np.random.default_rng(1)
    traces = rng.exponential(size=(3, 400))
    movie = traces[0] + 0.5 * traces[2] + 0.3 * rng.normal(size=(20, 400))
    solved = solve_pixels(
        sums_of(traces, movie), noise=np.full(20, 0.3, np.float32), significance=3.0, regression="nnls_l0", threads=1
    )
    means = solved.footprints.toarray().mean(0)
    np.testing.assert_allclose(means, [1, 0, 0.5], atol=0.03)


@pytest.fixture(scope="module")
def cells() -> Planted:
    return plant((48, 60), [(10.0, 12.0), (14.0, 17.5), (33.0, 40.0)])


@pytest.fixture(scope="module")
def movie(cells: Planted, tmp_path_factory: pytest.TempPathFactory) -> MovieStore:
    return store(tmp_path_factory.mktemp("movie"), cells.movie)


CHANGES: list[dict[str, Any]] = [
    {"growth": "ellipse"},
    {"growth": "ellipse", "ellipse_factor": 1.5},
    {"regression": "nnls_l0"},
    {"threshold": "pooled"},
    {"threshold": "max"},
    {"threshold": "max", "max_fraction": 0.5},
    {"threshold": "energy"},
    {"threshold": "energy", "energy_fraction": 0.8},
    {"median_px": 3},
    {"closing_px": 3},
    {"connected": False},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_every_rule_still_finds_the_cells_and_changes_the_result(
    change: dict[str, Any], movie: MovieStore, cells: Planted
) -> None:
    found = merged(search(movie, cells.noise))
    plain, changed = refined(movie, found, cells.noise), refined(movie, found, cells.noise, footprints=rules(**change))
    assert all(cosine > 0.85 for _, _, cosine in matches(changed.footprints.toarray(), cells))
    assert changed.footprints.shape == plain.footprints.shape
    if change not in ({"connected": False}, {"closing_px": 3}, {"growth": "ellipse"}):
        assert (changed.footprints != plain.footprints).nnz > 0


def unexplained(components: Components, planted: Planted) -> float:
    background = components.background
    model = components.footprints @ components.denoised + background.static[:, None]
    model += background.spatial @ background.signals
    return float(np.std(planted.movie.reshape(len(model), -1) - model))


def test_components_of_a_footprint_rule_explain_the_movie(movie: MovieStore, cells: Planted, tmp_path: Path) -> None:
    components = refined(movie, merged(search(movie, cells.noise)), cells.noise, footprints=rules(regression="nnls_l0"))
    assert unexplained(components, cells) == pytest.approx(cells.noise, rel=0.03)


@pytest.mark.parametrize("plain", [True, False])
def test_a_volumes_footprint_keeps_the_run_of_planes_that_show_sections(plain: bool) -> None:
    """Single pixels in the next plane and what lies beyond a gap go; each plane of the run stays whole."""
    image = np.zeros((6, 12, 15), np.float32)
    image[1:3, 3:8, 4:10] = [[[1.0]], [[0.2]]]
    image[3, 4, 5:7] = 3.0
    image[4, 3:8, 4:10] = 0.5
    expected = image.copy()
    expected[3:] = 0
    image[1, 5, 6], expected[1, 5, 6] = 3.0, 2.0  # a spike, cut at twice the upper quartile
    if plain:
        cleaned = clean_footprints(csc_matrix(image.reshape(-1, 1)), image.shape, min_pixels=3)
        np.testing.assert_array_equal(cleaned.toarray().reshape(image.shape), expected)
    else:
        np.testing.assert_array_equal(shaped_image(image, rules(3, threshold="max", max_fraction=0.01)), expected)


@pytest.mark.parametrize("threshold", ["significance", "max", "energy"])
@pytest.mark.parametrize(("fewest", "pixels"), [(20, 20), (21, 0)])
def test_a_footprint_of_just_enough_pixels_is_kept(threshold: str, fewest: int, pixels: int) -> None:
    image = column(bar(slice(5, 9), slice(10, 15)))
    chosen = rules(threshold=threshold, min_pixels=fewest)
    shaped = shape_footprints(
        solved_as(image.toarray().reshape(DIMS)), DIMS, rules=chosen, allowed=EVERYWHERE, masks=NONE, keep_masks=False
    )
    assert shaped.nnz == pixels


@pytest.mark.parametrize("threshold", ["significance", "max", "energy"])
def test_pixels_that_touch_at_a_corner_are_one_part(threshold: str) -> None:
    """A slanted process one pixel wide."""
    image = np.zeros(DIMS)
    image[np.arange(6, 18), np.arange(11, 23)] = 1.0
    chosen = rules(threshold=threshold)
    shaped = shape_footprints(solved_as(image), DIMS, rules=chosen, allowed=EVERYWHERE, masks=NONE, keep_masks=False)
    assert shaped.nnz == 12
    kept = shaped_image(image.astype(np.float32), rules(threshold="max", closing_px=0))
    assert np.count_nonzero(kept) == 12


def test_one_bright_pixel_apart_is_not_the_main_part() -> None:
    image = bar(slice(6, 12), slice(10, 17))
    image[24, 36] = 4.0
    cleaned = clean_footprints(column(image), DIMS, min_pixels=3)
    np.testing.assert_array_equal(cleaned.toarray().reshape(DIMS) > 0, image == 1.0)
