"""Background that is learned from a ring around each pixel."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted import CELL_PX, Planted, background, matches, merged, plant, refined, search, settings, store
from scipy.ndimage import gaussian_filter
from scipy.sparse import csc_matrix, identity

from caiman_pipeline.extraction.background.protocol import Piece
from caiman_pipeline.extraction.background.ring import (
    RIDGE,
    Ring,
    pair_steps,
    ring_offsets,
    ring_products,
    solve_ring,
)
from caiman_pipeline.extraction.temporal import demix, fold_projection, make_projection
from caiman_pipeline.model.background import RingBackground, SummedBackground, background_from_arrays
from caiman_pipeline.model.components import Components
from caiman_pipeline.movies.store.parts import MovieStore
from caiman_pipeline.quality.spatial_corr import Contrast, activity_weights, compare_with_movie
from caiman_pipeline.traces.dff import background_under

DIMS = (48, 60)
CENTRES = [(10.0, 12.0), (14.0, 17.5), (13.0, 38.0), (33.0, 50.0), (38.0, 9.0)]


def out_of_focus(seed: int = 0) -> Planted:
    """Plant cells under many wide lights, each with a signal of its own, bright beside the cells."""
    cells = plant(DIMS, CENTRES, neuropil=0.0, seed=seed)
    rng = np.random.default_rng(seed + 7)
    maps = np.stack([gaussian_filter(rng.normal(size=DIMS), 14) * 18 for _ in range(12)]).reshape(12, -1).T
    signals = np.stack([np.convolve(rng.normal(size=640), np.ones(41), "valid") for _ in range(12)]) / 6
    lights = (maps @ signals).reshape(*DIMS, -1)
    return Planted((cells.movie + 50 + lights).astype(np.float32), cells.footprints, cells.traces, cells.noise)


@pytest.fixture(scope="module")
def cells() -> Planted:
    return out_of_focus()


@pytest.fixture(scope="module")
def movie(cells: Planted, tmp_path_factory: pytest.TempPathFactory) -> MovieStore:
    return store(tmp_path_factory.mktemp("movie"), cells.movie)


def fit(movie: MovieStore, cells: Planted, **changes: object) -> Components:
    model = background(**{"model": "ring", **changes})
    return refined(movie, merged(search(movie, cells.noise, tile=settings(background=model))), cells.noise, model=model)


@pytest.fixture(scope="module")
def components(movie: MovieStore, cells: Planted) -> Components:
    return fit(movie, cells)


def light_of(components: Components, movie: np.ndarray) -> np.ndarray:
    """The background at all frames, (P, T)."""
    rest = movie.reshape(-1, movie.shape[-1]) - components.footprints @ components.denoised
    frames = range(movie.shape[-1])
    return np.stack([components.background.image(t, rest[:, t]) for t in frames], axis=1)


def raw_correlations(components: Components, cells: Planted) -> list[float]:
    raw = components.denoised + components.residual
    found = matches(components.footprints.toarray(), cells)
    return [float(np.corrcoef(raw[j], cells.traces[k])[0, 1]) for k, j, _ in found]


def test_cells_are_found_and_the_movie_explained(components: Components, movie: MovieStore, cells: Planted) -> None:
    assert len(CENTRES) <= components.n_components <= len(CENTRES) + 2
    assert all(cosine > 0.9 for _, _, cosine in matches(components.footprints.toarray(), cells))
    assert min(raw_correlations(components, cells)) > 0.8
    model = light_of(components, cells.movie) + components.footprints @ components.denoised
    rest = cells.movie.reshape(model.shape) - model
    assert rest.std() < 1.15 * cells.noise
    assert abs(rest.mean()) < 0.02


def test_light_out_of_focus_is_followed_where_a_constant_is_not_enough(
    components: Components, movie: MovieStore, cells: Planted
) -> None:
    constant = refined(movie, merged(search(movie, cells.noise)), cells.noise, model=background(model="static"))
    assert np.median(raw_correlations(components, cells)) > np.median(raw_correlations(constant, cells)) + 0.05


def test_weights_are_those_of_least_squares_whatever_the_pieces() -> None:
    rng, coarse = np.random.default_rng(0), (9, 13)
    n_blocks, n_bins = int(np.prod(coarse)), 90
    rows, columns = np.indices(coarse).reshape(2, -1)
    lights = np.stack([rows / 9, columns / 13, np.ones(n_blocks)]).T @ rng.normal(size=(3, n_bins))
    movie = (0.5 + lights + 0.3 * rng.normal(size=lights.shape)).astype(np.float32)
    movie[40] = 0  # never changes: it tells its neighbours nothing
    weights = rng.uniform(0.5, 1, n_bins).astype(np.float32)
    pieces = [Piece(movie[:, a:b], weights[a:b], np.arange(a, b)) for a, b in ((0, 70), (70, 90))]
    offsets = ring_offsets((2.4, 3.1))
    found = solve_ring(ring_products(iter(pieces), coarse, offsets), coarse, offsets).toarray()
    mean = movie @ weights / weights.sum()
    centred = (movie - mean[:, None]) * np.sqrt(weights)
    for q in (0, 12, 58, n_blocks - 1):
        around = np.array([rows[q], columns[q]]) + offsets
        inside = (around >= 0).all(1) & (around < coarse).all(1)
        near = np.ravel_multi_index(tuple(around[inside].T), coarse)
        near = near[near != 40]
        gram = centred[near] @ centred[near].T
        gram += RIDGE * np.trace(gram) / len(near) * np.eye(len(near))
        np.testing.assert_allclose(found[q, near], np.linalg.solve(gram, centred[near] @ centred[q]), atol=1e-4)
        assert np.count_nonzero(found[q]) == len(near)
    assert not found[:, 40].any()


def test_a_ring_keeps_its_distance_from_its_centre() -> None:
    offsets = ring_offsets((4.0, 6.0))
    assert (np.hypot(*(offsets / (4.0, 6.0)).T) >= 1).all()
    assert (np.hypot(*(offsets / (5.0, 7.0)).T) < 1).all()
    assert {tuple(-o) for o in offsets} == {tuple(o) for o in offsets}
    steps = {tuple(s) for s in pair_steps(offsets)}
    both = steps | {tuple(-a for a in s) for s in steps}
    assert all(tuple(a - b) in both for a in offsets for b in offsets)


def test_a_readout_that_takes_the_background_off_gives_the_traces_of_one_that_is_told_of_it(
    components: Components, cells: Planted
) -> None:
    ring = components.background
    assert isinstance(ring, RingBackground)
    rng, n_pixels = np.random.default_rng(4), int(np.prod(DIMS))
    gain, static = rng.uniform(0.8, 1.2, n_pixels).astype(np.float32), rng.normal(size=n_pixels).astype(np.float32)
    given = {"gain": gain, "static": static, "noise": rng.uniform(0.5, 2, n_pixels)}
    told = make_projection(components.footprints, ring.follows(), **given)
    folded = fold_projection(components.footprints, ring.follows(), **given)
    movie = (cells.movie - 60).reshape(n_pixels, -1)
    traces = [demix(p, p.readout.T @ movie, p.watch[1] @ (p.watch[0] @ movie), rounds=30) for p in (told, folded)]
    np.testing.assert_allclose(traces[1], traces[0], atol=2e-3 * np.abs(traces[0]).max())


def test_light_under_the_footprints_is_that_of_the_operator(components: Components, cells: Planted) -> None:
    under = background_under(components.background, components.footprints.T.tocsr(), dark_level=3.0)
    expected = components.footprints.T @ (light_of(components, cells.movie) - 3.0)
    np.testing.assert_allclose(under, expected, atol=1e-2 * np.abs(expected).std())
    merge = components.footprints[:, [1]] * 0.6 + components.footprints[:, [0]] * 0.8
    both = background_under(components.background, merge.T.tocsr(), dark_level=3.0)
    np.testing.assert_allclose(both[0], 0.6 * expected[1] + 0.8 * expected[0], atol=1e-2 * expected.std())


def test_the_mean_image_is_the_mean_of_all_images(components: Components, cells: Planted) -> None:
    means = components.background.signals.mean(1)
    expected = light_of(components, cells.movie).mean(1)
    np.testing.assert_allclose(components.background.level_image(means), expected, atol=0.01)


def test_what_is_seen_around_transients_is_freed_from_the_ring(
    components: Components, movie: MovieStore, cells: Planted
) -> None:
    background = components.background
    light = light_of(components, cells.movie) - background.static[:, None]
    told = SummedBackground(background.static, identity(len(light), np.float32, format="csc"), light.astype(np.float32))
    values = []
    for model in (background, told, SummedBackground(background.static, csc_matrix((len(light), 0)), light[:0])):
        raw = components.denoised + components.residual
        weights = activity_weights(raw, transients=2, transient_frames=6)
        seen = compare_with_movie(
            movie,
            replace(components, background=model),
            Contrast(weights, components.denoised, model.parts()[1]),
            margin_px=(4.0, 4.0),
            threads=1,
            progress=lambda done, total: None,
        )
        values.append(seen.r_value)
    np.testing.assert_allclose(values[0], values[1], atol=2e-3)
    assert np.abs(values[0] - values[2]).max() > 0.02


def test_results_hold_the_operator(components: Components) -> None:
    arrays = components.background.arrays()
    again = background_from_arrays(arrays, 600)
    assert isinstance(again, RingBackground)
    rest = np.linspace(0, 9, int(np.prod(DIMS))).astype(np.float32)
    np.testing.assert_array_equal(again.image(3, rest), components.background.image(3, rest))
    still = background_from_arrays({"background_static": arrays["background_static"]}, 600)
    np.testing.assert_array_equal(still.image(3, rest), arrays["background_static"])


def test_parts_and_threads_do_not_change_the_result(components: Components, movie: MovieStore, cells: Planted) -> None:
    model = background(model="ring")
    found = merged(search(movie, cells.noise, tile=settings(background=model)))
    again = refined(movie, found, cells.noise, model=model, threads=3)
    np.testing.assert_array_equal(again.denoised, components.denoised)
    np.testing.assert_array_equal(again.background.signals, components.background.signals)


def test_no_dense_movie_is_kept(components: Components) -> None:
    ring = components.background
    assert isinstance(ring, RingBackground)
    assert ring.signals.shape == (components.n_components, 600)
    assert max(m.nnz for m in (ring.blocks, ring.weights, ring.interpolation)) < 60 * np.prod(DIMS)


def test_radius_and_side_of_the_blocks_count(movie: MovieStore, cells: Planted) -> None:
    near, far, coarse = (
        fit(movie, cells, **changes).background
        for changes in ({"ring_size_factor": 0.8}, {"ring_size_factor": 1.6}, {"ssub_B": 3})
    )
    reach = []
    for ring in (near, far):
        side = round(np.sqrt(np.prod(DIMS) / ring.blocks.shape[0]))
        rows = np.array(ring.weights.nonzero()) // (DIMS[1] // side)
        reach.append(side * np.abs(rows[0] - rows[1]).max())
    assert reach[0] * 1.5 < reach[1]
    assert coarse.blocks.shape[0] == 16 * 20
    assert near.blocks.shape[0] == DIMS[0] * DIMS[1]


def test_blocks_of_unequal_size_lie_where_their_pixels_are() -> None:
    ring = Ring(radius_px=(CELL_PX, CELL_PX), block_px=4)
    use = np.ones(50 * 63, bool)
    use[:70] = False
    follower = ring.lay_out((50, 63), use=use)
    assert follower.blocks.shape == (13 * 16, 50 * 63)
    rows, columns = np.indices((50, 63)).reshape(2, -1)
    np.testing.assert_allclose(np.asarray(follower.interpolation.sum(1)).ravel(), 1, rtol=1e-6)
    inner = (rows > 8) & (rows < 46) & (columns > 2) & (columns < 60)
    place = follower.interpolation @ (follower.blocks @ columns.astype(np.float32))
    np.testing.assert_allclose(place[inner], columns[inner], atol=1e-3)
    assert follower.blocks[:, :63].nnz == 0


def test_a_volume_has_rings_within_its_planes(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    cells = plant((4, 40, 52), [(1.0, 12.0, 14.0), (2.0, 25.0, 36.0)], neuropil=0.0)
    lights = gaussian_filter(rng.normal(size=(4, 40, 52)), (0.5, 8, 8)) * 40
    wave = np.convolve(rng.normal(size=619), np.ones(20), "valid") / 5
    movie = (cells.movie + 20 + lights[..., None] * wave).astype(np.float32)
    stored = store(tmp_path, movie)
    model = background(3, model="ring")
    found = merged(search(stored, cells.noise, tile=settings(3, background=model)))
    components = refined(stored, found, cells.noise, model=model)
    rows, columns = components.background.weights.nonzero()
    plane = components.background.weights.shape[0] // 4
    np.testing.assert_array_equal(rows // plane, columns // plane)
    assert min(cosine for _, _, cosine in matches(components.footprints.toarray(), cells)) > 0.85


def test_a_movie_without_anything_in_it_is_no_failure(tmp_path: Path) -> None:
    movie, model = store(tmp_path, np.full((40, 44, 300), 7, np.float32)), background(model="ring")
    components = refined(movie, merged(search(movie, 0.0, tile=settings(background=model))), 0.0, model=model)
    assert components.n_components == 0
    assert np.isfinite(components.background.level_image(np.zeros(0))).all()


def test_later_rounds_learn_the_ring_from_what_the_model_of_the_traces_leaves(
    movie: MovieStore, cells: Planted
) -> None:
    model = background(model="ring", ring_size_factor=0.6)
    found = merged(search(movie, cells.noise, tile=settings(background=model)))
    weights = [
        refined(movie, found, cells.noise, model=model, rounds=rounds, denoise=denoise).background.weights
        for rounds, denoise in ((1, None), (2, None), (2, np.zeros_like), (1, np.zeros_like))
    ]
    once, twice, untold, other = weights
    assert abs(once - other).max() == 0
    assert abs(twice - untold).max() > 0.01
