"""Searching planted cells: found where they are, whatever the unit, offset, tiling or dimension."""

from pathlib import Path

import numpy as np
import pytest
from planted import (
    CELL_PX,
    Planted,
    background,
    evidence_search,
    matches,
    merged,
    plant,
    refined,
    search,
    settings,
    store,
)
from scipy.sparse import csc_matrix

from caiman_pipeline.config.patch_cnmf import PatchSettings
from caiman_pipeline.extraction.search.greedy import chance_spread, greedy_search, transient_shape
from caiman_pipeline.extraction.search.initialise import Evidence, EvidenceSearch
from caiman_pipeline.extraction.tiles.methods import make_rules

CENTRES = [(10.0, 12.0), (13.0, 38.0), (24.0, 24.0), (33.0, 50.0), (38.0, 9.0), (40.0, 33.0)]
DIMS = (48, 60)


@pytest.fixture(scope="module")
def cells() -> Planted:
    return plant(DIMS, CENTRES)


def found_cells(footprints: object, cells: Planted, at_least: float = 0.8) -> int:
    return sum(cosine > at_least for _, _, cosine in matches(footprints.toarray(), cells))


def test_finds_every_planted_cell_and_nothing_else(tmp_path: Path, cells: Planted) -> None:
    candidates = search(store(tmp_path, cells.movie), cells.noise)
    assert candidates.footprints.shape[1] == len(CENTRES)
    assert found_cells(candidates.footprints, cells) == len(CENTRES)


def test_finds_nothing_in_noise(tmp_path: Path) -> None:
    noise = plant(DIMS, [])
    movie = store(tmp_path, noise.movie)
    found = merged(search(movie, noise.noise))
    assert found.footprints.shape[1] == 0
    components = refined(movie, found, noise.noise)
    assert components.n_components == 0
    assert components.background.signals.shape[1] == movie.n_frames


def test_half_of_the_field_empty_finds_the_cells_of_the_other(tmp_path: Path, cells: Planted) -> None:
    movie = cells.movie.copy()
    movie[:, 30:] = 0.0
    noise = np.full(DIMS, cells.noise, np.float32)
    noise[:, 30:] = 0.0
    from caiman_pipeline.extraction.tile import fit_tile

    binned = movie.reshape(-1, 200, 3).mean(-1)
    footprints, _ = fit_tile(
        binned,
        DIMS,
        noise=noise.ravel() / np.sqrt(3),
        valid=np.ones(len(binned), bool),
        seeds=csc_matrix((len(binned), 0)),
        settings=settings(),
    )
    rows = np.unravel_index(footprints.indices, DIMS)[1]
    assert footprints.shape[1] == 3
    assert rows.max() < 30


@pytest.mark.parametrize("frames", [slice(None), slice(100, 130)])
def test_nan_beyond_the_valid_pixels_changes_nothing(cells: Planted, frames: slice) -> None:
    """As `motion.border: nan` leaves it, in some frames or in all."""
    from caiman_pipeline.extraction.tile import fit_tile

    found, valid = [], np.ones(DIMS, bool)
    valid[:6], valid[:, :4] = False, False
    for filling in (1.0, np.nan):
        binned = cells.movie.reshape(-1, 200, 3).mean(-1)
        binned[np.ix_(~valid.ravel(), np.arange(200)[frames])] *= filling
        footprints, _ = fit_tile(
            binned,
            DIMS,
            noise=np.full(binned.shape[0], cells.noise / np.sqrt(3)),
            valid=valid.ravel(),
            seeds=csc_matrix((len(binned), 0)),
            settings=settings(),
        )
        found.append(footprints.toarray())
    np.testing.assert_array_equal(*found)
    assert found[0].shape[1] == len(CENTRES)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_a_scaled_movie_gives_the_same_components(tmp_path: Path, cells: Planted, scale: float) -> None:
    plain = search(store(tmp_path / "a", cells.movie), cells.noise)
    scaled = search(store(tmp_path / "b", cells.movie * np.float32(scale)), cells.noise * scale)
    assert scaled.footprints.shape == plain.footprints.shape
    assert abs(scaled.footprints - plain.footprints).max() < 1e-3
    np.testing.assert_allclose(scaled.traces / scale, plain.traces, atol=2e-3 * np.abs(plain.traces).max())


def test_an_offset_changes_nothing(tmp_path: Path, cells: Planted) -> None:
    plain = search(store(tmp_path / "a", cells.movie), cells.noise)
    lifted = search(store(tmp_path / "b", cells.movie + np.float32(500)), cells.noise)
    assert lifted.footprints.shape == plain.footprints.shape
    assert abs(lifted.footprints - plain.footprints).max() < 0.02


def test_flipping_and_turning_the_movie_flips_and_turns_the_components(tmp_path: Path, cells: Planted) -> None:
    plain = search(store(tmp_path / "a", cells.movie), cells.noise)
    turned = search(store(tmp_path / "b", np.ascontiguousarray(cells.movie.transpose(1, 0, 2)[::-1])), cells.noise)
    back = turned.footprints.toarray().reshape(DIMS[1], DIMS[0], -1)[::-1].transpose(1, 0, 2).reshape(np.prod(DIMS), -1)
    cosine = plain.footprints.toarray().T @ back
    assert back.shape[1] == plain.footprints.shape[1]
    assert cosine.max(1).min() > 0.97


def test_batches_and_threads_give_identical_candidates(tmp_path: Path, cells: Planted) -> None:
    movie = store(tmp_path, cells.movie)
    one = search(movie, cells.noise, tile_px=40)
    many = search(movie, cells.noise, tile_px=40, batches=3, threads=2)
    assert (one.footprints != many.footprints).nnz == 0
    np.testing.assert_array_equal(one.traces, many.traces)
    np.testing.assert_array_equal(one.tiles, many.tiles)


def test_tiles_and_whole_field_agree(tmp_path: Path, cells: Planted) -> None:
    movie = store(tmp_path, cells.movie)
    whole = merged(search(movie, cells.noise))
    tiled = merged(search(movie, cells.noise, tile_px=40))
    cosine = (whole.footprints.T @ tiled.footprints).toarray()
    assert whole.footprints.shape[1] == tiled.footprints.shape[1]
    assert cosine.max(1).min() > 0.9


def test_a_cell_on_the_corner_of_four_tiles_is_one_component(tmp_path: Path) -> None:
    corner = plant((64, 72), [(32.0, 36.0), (12.0, 60.0)])
    movie = store(tmp_path, corner.movie)
    candidates = search(movie, corner.noise, tile_px=44)
    assert len(set(candidates.tiles)) > 1
    found = merged(candidates)
    assert found.footprints.shape[1] == 2
    assert found_cells(found.footprints, corner) == 2


@pytest.mark.parametrize("dims", [(41, 33), (17, 90), (45, 61)])
def test_fields_that_are_no_multiple_of_the_tile_are_covered(tmp_path: Path, dims: tuple[int, int]) -> None:
    centres = [(dims[0] - 7.0, dims[1] - 7.0), (8.0, 8.0)]
    cells = plant(dims, centres)
    found = merged(search(store(tmp_path, cells.movie), cells.noise, tile_px=40))
    assert found_cells(found.footprints, cells) == 2


def test_volumes_take_the_same_path(tmp_path: Path) -> None:
    cells = plant((5, 30, 42), [(1.0, 10.0, 12.0), (3.0, 20.0, 30.0)])
    movie = store(tmp_path, cells.movie)
    found = merged(search(movie, cells.noise))
    assert found.footprints.shape[1] == 2
    components = refined(movie, found, cells.noise)
    assert found_cells(components.footprints, cells) == 2


@pytest.mark.parametrize(("planes_per_cell", "planes"), [(0.8, 2), (0.4, 1)])
def test_a_cell_between_two_near_planes_is_one_component(tmp_path: Path, planes_per_cell: float, planes: int) -> None:
    """Planes further apart than a cell is tall share its light, out of focus; planes two cells apart show others."""
    cells, dims = plant((30, 42), [(12.0, 14.0)], neuropil=0.0), (3, 30, 42)
    rng, shares = np.random.default_rng(3), np.array([1.0, 0.8, 0.0]).reshape(3, 1, 1, 1)
    light = (cells.footprints @ cells.traces).reshape(1, 30, 42, 600) * shares
    noisy = (10 + light + cells.noise * rng.normal(size=light.shape)).astype(np.float32)
    cell_px = (planes_per_cell, CELL_PX, CELL_PX)
    tile = settings(
        3,
        cell_px=cell_px,
        initialise=EvidenceSearch(cell_px, 2.0, Evidence(2.5, 25.0)),
        rules=make_rules(PatchSettings(), cell_px, shapeless=False),
        background=background(3, model="static"),
    )
    found = search(store(tmp_path, noisy), cells.noise, tile=tile)
    weight = np.asarray(found.footprints.sum(1)).reshape(3, -1).sum(1)
    shown = (abs(found.footprints).toarray().reshape(*dims[:1], -1, found.footprints.shape[1]).sum(1) > 0).sum(0)
    assert list(shown) == [planes] * (3 - planes)
    assert weight[:2].min() > 0 == weight[2]


def test_a_volume_of_noise_holds_no_component(tmp_path: Path) -> None:
    """However many voxels there are, noise above threshold is no evidence."""
    empty = plant((6, 48, 56), [], neuropil=0.0)
    assert search(store(tmp_path, empty.movie), empty.noise).footprints.shape[1] == 0


def test_pixels_outside_the_valid_field_are_in_no_component(tmp_path: Path, cells: Planted) -> None:
    valid = np.ones(DIMS, bool)
    valid[:20] = False
    candidates = search(store(tmp_path, cells.movie, valid), cells.noise)
    assert candidates.footprints.shape[1] == 4
    assert valid.ravel()[candidates.footprints.indices].all()


def test_a_dead_pixel_and_a_hot_pixel_are_in_no_component(tmp_path: Path, cells: Planted) -> None:
    movie = cells.movie.copy()
    movie[10, 12] = 0.0
    noise = np.full(DIMS, cells.noise, np.float32)
    noise[10, 12] = 0.0
    from caiman_pipeline.extraction.tile import fit_tile

    binned = movie.reshape(-1, 200, 3).mean(-1)
    footprints, traces = fit_tile(
        binned,
        DIMS,
        noise=noise.ravel() / np.sqrt(3),
        valid=np.ones(len(binned), bool),
        seeds=csc_matrix((len(binned), 0)),
        settings=settings(),
    )
    assert np.isfinite(traces).all()
    assert footprints[10 * DIMS[1] + 12].nnz == 0
    assert footprints.shape[1] == len(CENTRES)


def test_more_evidence_asked_means_fewer_components(tmp_path: Path, cells: Planted) -> None:
    movie = store(tmp_path, cells.movie)
    strict = search(movie, cells.noise, tile=settings(initialise=evidence_search(least=1e6)))
    assert strict.footprints.shape[1] == 0


def test_the_search_stops_at_the_most_components_allowed(tmp_path: Path, cells: Planted) -> None:
    few = search(store(tmp_path, cells.movie), cells.noise, tile=settings(max_components=2, searches=1))
    assert few.footprints.shape[1] == 2


def test_a_dim_cell_is_found_by_whole_transients_where_single_bins_do_not_show_it() -> None:
    """Transients of 4 standard deviations in the filtered movie: too few above the threshold, bin by bin."""
    dims, n_bins, decay_bins = (27, 34), 400, 3.0
    rng = np.random.default_rng(5)
    y, x = np.indices(dims)
    disc = (np.hypot(y - 12, x - 19) <= 4).astype(np.float32).ravel()
    transient = np.exp(-np.arange(12) / decay_bins)
    trace = np.zeros(n_bins, np.float32)
    for onset in (40, 110, 205, 300, 350):
        trace[onset : onset + 12] += transient.astype(np.float32)
    movie = rng.normal(size=(dims[0] * dims[1], n_bins)).astype(np.float32) + 0.6 * disc[:, None] * trace
    everywhere = np.ones(dims[0] * dims[1], bool)
    by_bins, by_transients = (
        greedy_search(
            movie.copy(),
            dims,
            cell_px=(8.0, 8.0),
            decay_bins=decay,
            threshold=2.5,
            min_evidence=25.0,
            max_components=5,
            allowed=everywhere,
        )
        for decay in (0.0, decay_bins)
    )
    assert by_bins.footprints.shape[1] == 0
    assert by_transients.footprints.shape[1] == 1
    footprint = by_transients.footprints[:, 0]
    assert footprint @ disc / (np.linalg.norm(footprint) * np.linalg.norm(disc)) > 0.7
    assert np.corrcoef(by_transients.traces[0], trace)[0, 1] > 0.5


def test_transients_shorter_than_a_bin_are_looked_for_in_single_bins() -> None:
    assert len(transient_shape(0.0)) == 1
    assert len(transient_shape(0.5)) == 1
    np.testing.assert_allclose(transient_shape(2.0), np.exp([0, -0.5, -1.0]), rtol=1e-6)
    assert chance_spread(transient_shape(0.0)) == 1.0
    beside, beyond = (0.6065 + 0.6065 * 0.3679) / 1.5032, 0.3679 / 1.5032
    assert chance_spread(transient_shape(2.0)) == pytest.approx(np.sqrt(1 + 2 * beside**2 + 2 * beyond**2), rel=1e-3)
