"""Components from masks: one for each, in its place and order, whatever the tiles; the others are explained."""

from pathlib import Path

import numpy as np
import pytest
from planted import Planted, matches, merged, plant, refined, search, settings, store
from scipy.sparse import csc_matrix

from caiman_pipeline.extraction.masks.usable import Seeds, choose_seeds
from caiman_pipeline.extraction.merge import Merged
from caiman_pipeline.movies.store.parts import MovieStore

CENTRES = [(10.0, 12.0), (14.0, 17.5), (13.0, 38.0), (33.0, 50.0), (38.0, 9.0)]
DIMS = (48, 60)
ORDER = [3, 0, 4, 1, 2]


@pytest.fixture(scope="module")
def cells() -> Planted:
    return plant(DIMS, CENTRES)


@pytest.fixture(scope="module")
def movie(cells: Planted, tmp_path_factory: pytest.TempPathFactory) -> MovieStore:
    return store(tmp_path_factory.mktemp("movie"), cells.movie)


def box(rows: slice, columns: slice) -> np.ndarray:
    image = np.zeros(DIMS)
    image[rows, columns] = 1
    return image.ravel()


def chosen(masks: list[np.ndarray], usable: np.ndarray | None = None) -> Seeds:
    everywhere = np.ones(np.prod(DIMS), bool)
    matrix = csc_matrix(np.stack(masks, axis=1).astype(np.float32))
    return choose_seeds(matrix, everywhere if usable is None else usable, min_pixels=3)


def cell_masks(cells: Planted) -> list[np.ndarray]:
    return [cells.footprints[:, k] > 0.3 for k in ORDER]


def seeded(
    movie: MovieStore, cells: Planted, seeds: Seeds, *, searches: int = 0, tile_px: float | None = None
) -> Merged:
    candidates = search(movie, cells.noise, tile=settings(searches=searches), seeds=seeds, tile_px=tile_px)
    return merged(candidates, n_masks=seeds.n_masks)


def test_each_mask_becomes_the_component_of_its_number_and_stays_within_it(movie: MovieStore, cells: Planted) -> None:
    seeds = chosen(cell_masks(cells))
    components = refined(movie, seeded(movie, cells, seeds), cells.noise)
    assert list(components.ids) == [0, 1, 2, 3, 4]
    raw = components.denoised + components.residual
    for j, k in enumerate(ORDER):
        inside = seeds.masks[:, j].toarray().ravel() > 0
        footprint = components.footprints[:, j].toarray().ravel()
        assert (footprint[~inside] == 0).all()
        assert (footprint[inside] > 0).mean() > 0.9
        assert np.corrcoef(raw[j], cells.traces[k])[0, 1] > 0.9


def test_kept_masks_are_not_weighted_anew(movie: MovieStore, cells: Planted) -> None:
    seeds = chosen(cell_masks(cells))
    components = refined(movie, seeded(movie, cells, seeds), cells.noise, keep_seeds=True)
    expected = seeds.masks.toarray() / np.linalg.norm(seeds.masks.toarray(), axis=0)
    np.testing.assert_allclose(components.footprints.toarray(), expected, atol=1e-6)


def test_masks_that_cannot_be_used_are_listed_and_leave_the_numbers_of_the_others(
    movie: MovieStore, cells: Planted
) -> None:
    usable = np.ones(DIMS, bool)
    usable[:, 55:] = False
    first, second = cell_masks(cells)[1:3]
    masks = [np.zeros(len(first)), first, box(slice(20, 21), slice(20, 21)), second, box(slice(5, 9), slice(56, 60))]
    seeds = chosen(masks, usable.ravel())
    assert seeds.dropped == (
        (0, "empty"),
        (2, "too small: 1 of at least 3 px"),
        (4, "outside the field of view"),
    )
    assert list(seeded(movie, cells, seeds).ids) == [1, 3]


def test_a_mask_on_the_border_is_cut_there_and_used(cells: Planted, tmp_path: Path) -> None:
    valid = np.ones(DIMS, bool)
    valid[:8] = False
    movie = store(tmp_path, cells.movie, valid)
    seeds = chosen(cell_masks(cells), valid.ravel())
    components = refined(movie, seeded(movie, cells, seeds), cells.noise)
    assert list(components.ids) == [0, 1, 2, 3, 4]
    assert valid.ravel()[components.footprints.indices].all()


def test_a_silent_mask_keeps_its_support(movie: MovieStore, cells: Planted) -> None:
    silent = box(slice(25, 29), slice(28, 32))
    seeds = chosen([*cell_masks(cells), silent])
    components = refined(movie, seeded(movie, cells, seeds), cells.noise)
    assert list(components.ids) == [0, 1, 2, 3, 4, 5]
    assert set(components.footprints[:, 5].indices) <= set(np.flatnonzero(silent))
    assert components.footprints[:, 5].nnz > 0


def test_overlapping_and_equal_masks_are_neither_merged_nor_reordered(movie: MovieStore, cells: Planted) -> None:
    masks = cell_masks(cells)
    found = seeded(movie, cells, chosen([masks[0], masks[0], masks[1]]))
    assert list(found.ids) == [0, 1, 2]
    assert found.n_seeds == 3


def test_tiles_do_not_change_which_components_there_are(movie: MovieStore, cells: Planted) -> None:
    seeds = chosen([*cell_masks(cells), box(slice(18, 30), slice(20, 40))])
    whole, tiled = seeded(movie, cells, seeds), seeded(movie, cells, seeds, tile_px=40)
    np.testing.assert_array_equal(whole.ids, tiled.ids)
    assert abs(whole.footprints - tiled.footprints).max() < 1e-6
    for a, b in zip(whole.traces[:5], tiled.traces[:5], strict=True):
        assert np.corrcoef(a, b)[0, 1] > 0.95


def test_a_search_afterwards_adds_what_no_mask_covers(movie: MovieStore, cells: Planted) -> None:
    seeds = chosen([*cell_masks(cells)[:2], np.zeros(np.prod(DIMS))])
    found = seeded(movie, cells, seeds, searches=2)
    assert list(found.ids[:2]) == [0, 1]
    assert list(found.ids[2:]) == [3, 4, 5]
    assert found.n_seeds == 2
    assert all(cosine > 0.8 for _, _, cosine in matches(found.footprints.toarray(), cells))


def test_what_is_found_again_under_a_mask_is_left_out(movie: MovieStore, cells: Planted) -> None:
    from dataclasses import replace

    seeds = chosen(cell_masks(cells))
    both = search(movie, cells.noise, tile=settings(searches=0), seeds=seeds)
    again = search(movie, cells.noise)
    from scipy.sparse import hstack

    joined = replace(
        both,
        footprints=hstack([again.footprints, both.footprints]).tocsc(),
        traces=np.concatenate([again.traces, both.traces]),
        tiles=np.zeros(10, np.int64),
        depth=np.concatenate([again.depth, both.depth]),
        seeds=np.concatenate([again.seeds, both.seeds]),
    )
    found = merged(joined, n_masks=5)
    assert list(found.ids) == [0, 1, 2, 3, 4]
    assert found.n_seeds == 5
    assert sorted(a for a, _ in found.dropped) == [0, 1, 2, 3, 4]


def test_no_masks_that_can_be_used_is_no_failure(movie: MovieStore, cells: Planted) -> None:
    components = refined(movie, seeded(movie, cells, chosen([np.zeros(np.prod(DIMS))])), cells.noise)
    assert components.n_components == 0


def test_dead_pixels_under_a_mask_do_not_count(movie: MovieStore, cells: Planted, tmp_path: Path) -> None:
    """Without noise there is nothing to measure a pixel by: it is in no seed, and such a mask is none."""
    from caiman_pipeline.config.patch_cnmf import PatchSettings
    from caiman_pipeline.extraction.masks.seeds import find_seeds

    first, second = cell_masks(cells)[:2]
    np.save(tmp_path / "masks.npy", np.stack([first, second]).reshape(2, *DIMS))
    noise = np.full(DIMS, cells.noise, np.float32)
    dead = np.flatnonzero(first)[::3]
    noise.ravel()[dead] = 0
    noise.ravel()[np.flatnonzero(second)[2:]] = 0
    settings = PatchSettings(init="seeded", seeded={"file": str(tmp_path / "masks.npy"), "min_pixels": 3})
    seeds = find_seeds(settings, movie, noise)
    assert list(seeds.numbers) == [0]
    assert seeds.dropped == ((1, "too small: 2 of at least 3 px"),)
    assert set(seeds.masks.indices) == set(np.flatnonzero(first)) - set(dead)


def test_a_mask_with_pixels_that_are_dead_in_a_tile_is_fitted_on_the_others(movie: MovieStore, cells: Planted) -> None:
    from caiman_pipeline.extraction.masks.seeds import assign_seeds, seeds_in_tile
    from caiman_pipeline.extraction.tiles.layout import tile_grid

    first, silent = cell_masks(cells)[0], box(slice(40, 43), slice(2, 6))
    grid = tile_grid(DIMS, tile_px=(30, 60), overlap_px=(12, 12))
    owned = assign_seeds(grid, chosen([first, silent]))
    tile = grid.tiles[owned.owners[0]]
    usable = np.ones(DIMS, bool)
    usable.ravel()[np.flatnonzero(first)[::2]] = False
    usable.ravel()[np.flatnonzero(silent)] = False
    here = usable[tile.slices].ravel()
    inside, local = seeds_in_tile(owned, tile, DIMS, usable=here)
    assert list(inside) == [0]
    pixels = np.arange(np.prod(DIMS)).reshape(DIMS)[tile.slices].ravel()
    assert set(pixels[local.indices]) == set(np.flatnonzero(first & usable.ravel())) & set(pixels)


def test_a_mask_of_just_enough_pixels_is_a_seed() -> None:
    masks = [box(slice(5, 6), slice(5, 8)), box(slice(9, 10), slice(5, 7))]
    seeds = chosen(masks)
    assert list(seeds.numbers) == [0]
    assert seeds.dropped == ((1, "too small: 2 of at least 3 px"),)
