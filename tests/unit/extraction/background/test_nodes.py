"""Models of the background: nodes, a few shared components, or a constant."""

from pathlib import Path

import numpy as np
import pytest
from planted import Planted, background, disc, matches, merged, plant, refined, search, settings, store

from caiman_pipeline.extraction.background.low_rank import shared_maps
from caiman_pipeline.extraction.masks.usable import choose_seeds
from caiman_pipeline.model.components import Components
from caiman_pipeline.movies.store.parts import MovieStore

DIMS = (48, 60)
CENTRES = [(10.0, 12.0), (14.0, 17.5), (13.0, 38.0), (33.0, 50.0), (38.0, 9.0)]


def two_lights(centres: list[tuple[float, ...]], seed: int = 0) -> Planted:
    """Plant cells under two background signals, one bright at the left, one at the top."""
    cells = plant(DIMS, centres, neuropil=0.0, seed=seed)
    rng = np.random.default_rng(seed + 9)
    rows, columns = np.indices(DIMS)
    maps = np.stack([1.2 - columns / 60, 1.2 - rows / 48]).reshape(2, -1).T
    signals = np.stack([np.convolve(rng.normal(size=660), np.ones(61), "valid") for _ in range(2)]) / 8
    lights = (maps @ signals).reshape(*DIMS, -1)
    return Planted((cells.movie + lights).astype(np.float32), cells.footprints, cells.traces, cells.noise)


@pytest.fixture(scope="module")
def cells() -> Planted:
    return two_lights(CENTRES)


@pytest.fixture(scope="module")
def movie(cells: Planted, tmp_path_factory: pytest.TempPathFactory) -> MovieStore:
    return store(tmp_path_factory.mktemp("movie"), cells.movie)


def fit(movie: MovieStore, cells: Planted, **changes: object) -> Components:
    model = background(**changes)
    return refined(movie, merged(search(movie, cells.noise, tile=settings(background=model))), cells.noise, model=model)


def rest(components: Components, cells: Planted) -> np.ndarray:
    light = components.background
    model = components.footprints @ components.denoised + light.static[:, None] + light.spatial @ light.signals
    return cells.movie.reshape(model.shape) - model


@pytest.mark.parametrize("model", ["nodes", "low_rank"])
def test_cells_are_found_and_the_movie_explained(model: str, movie: MovieStore, cells: Planted) -> None:
    components = fit(movie, cells, model=model)
    found = matches(components.footprints.toarray(), cells)
    assert components.n_components == len(CENTRES)
    assert all(cosine > 0.95 for _, _, cosine in found)
    raw = components.denoised + components.residual
    assert all(np.corrcoef(raw[j], cells.traces[k])[0, 1] > 0.9 for k, j, _ in found)
    assert rest(components, cells).std() == pytest.approx(cells.noise, rel=0.04)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_low_rank_background_has_as_many_components_as_asked(count: int, movie: MovieStore, cells: Planted) -> None:
    light = fit(movie, cells, model="low_rank", components=count).background
    assert light.spatial.shape == (2880, count)
    assert light.signals.shape == (count, 600)
    assert light.spatial.data.min() >= 0


def test_masks_and_a_low_rank_background_go_together(movie: MovieStore, cells: Planted) -> None:
    from scipy.sparse import csc_matrix

    model = background(model="low_rank")
    masks = csc_matrix((cells.footprints[:, [3, 0]] > 0.3).astype(np.float32))
    seeds = choose_seeds(masks, np.ones(2880, bool), min_pixels=3)
    candidates = search(movie, cells.noise, tile=settings(searches=0, background=model), seeds=seeds)
    components = refined(movie, merged(candidates, n_masks=2), cells.noise, model=model)
    assert components.ids.tolist() == [0, 1]
    assert components.background.signals.shape == (2, 600)
    inside = masks.toarray() > 0
    assert not ((components.footprints > 0).toarray() & ~inside).any()


def test_without_a_background_of_its_own_light_leaks_into_traces(movie: MovieStore, cells: Planted) -> None:
    components = fit(movie, cells, model="static")
    assert components.background.signals.shape == (0, 600)
    assert rest(components, cells).std() > 1.1 * cells.noise


def test_a_kept_map_is_the_one_of_the_start(movie: MovieStore, cells: Planted) -> None:
    kept, updated = (fit(movie, cells, model="low_rank", update=u).background for u in (False, True))
    assert kept.spatial.shape == updated.spatial.shape
    smooth = kept.spatial.toarray()[:, 0].reshape(DIMS)
    rough = updated.spatial.toarray()[:, 0].reshape(DIMS)
    assert np.abs(np.diff(smooth, 2)).mean() < 0.5 * np.abs(np.diff(rough, 2)).mean()


def test_the_distance_of_nodes_counts(movie: MovieStore, cells: Planted) -> None:
    near, far = (fit(movie, cells, spacing=s / 8).background for s in (10.0, 25.0))
    assert near.signals.shape[0] > far.signals.shape[0] > 0


@pytest.mark.parametrize("model", ["nodes", "low_rank", "static"])
def test_dead_pixels_at_the_beginning_spoil_nothing(model: str, tmp_path: Path) -> None:
    cells = two_lights(CENTRES[2:])
    dead = cells.movie.copy()
    dead[0, :2] = 0.0
    noise = np.full(DIMS, cells.noise, np.float32)
    noise[0, :2] = 0.0
    movie, rules = store(tmp_path, dead), background(model=model)
    found = merged(search(movie, cells.noise, tile=settings(background=rules)))
    components = refined(movie, found, cells.noise, model=rules)
    light = components.background
    for values in (light.static, light.spatial.data, light.signals, components.denoised, components.residual):
        assert np.isfinite(values).all()
    assert light.spatial[:2].nnz == 0 or model == "nodes"


@pytest.mark.parametrize("model", ["nodes", "low_rank", "static"])
def test_an_empty_movie_has_a_background_and_no_components(model: str, tmp_path: Path) -> None:
    movie, rules = store(tmp_path, np.full((40, 44, 300), 7, np.float32)), background(model=model)
    found = merged(search(movie, 0.0, tile=settings(background=rules)))
    components = refined(movie, found, 0.0, model=rules)
    assert components.n_components == 0
    np.testing.assert_allclose(components.background.static, 7, atol=1e-5)
    assert np.isfinite(components.background.signals).all()


def test_shared_maps_are_what_signals_have_in_common() -> None:
    rng = np.random.default_rng(0)
    true, signals = rng.random((30, 2)), rng.exponential(size=(2, 500))
    maps = shared_maps((true @ signals + 0.01 * rng.normal(size=(30, 500))).astype(np.float32), count=2)
    assert maps.min() >= 0
    angle = np.linalg.qr(true)[0].T @ np.linalg.qr(maps)[0]
    np.testing.assert_allclose(np.linalg.svd(angle)[1].min(), 1, atol=0.02)


def test_background_of_a_movie_with_one_big_cell_is_not_the_cell(tmp_path: Path) -> None:
    big = disc((40, 44), (20.0, 22.0))
    cells = plant((40, 44), [(20.0, 22.0)], noise=0.3)
    movie, rules = store(tmp_path, cells.movie), background(model="low_rank", components=1)
    components = refined(
        movie, merged(search(movie, cells.noise, tile=settings(background=rules))), cells.noise, model=rules
    )
    assert matches(components.footprints.toarray(), Planted(cells.movie, big[:, None], cells.traces, 0.3))[0][2] > 0.95
