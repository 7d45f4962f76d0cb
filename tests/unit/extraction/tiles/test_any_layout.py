"""Whatever the field and the tiles: they cover it, cores partition it, neighbours overlap, batches deal out all."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from any_input import few
from hypothesis import assume, given
from hypothesis import strategies as st

from caiman_pipeline.extraction.masks.seeds import assign_seeds
from caiman_pipeline.extraction.masks.usable import choose_seeds
from caiman_pipeline.extraction.tiles.layout import tile_batch, tile_grid, tile_size
from caiman_pipeline.model.tiles import TileGrid


@st.composite
def grids(draw: st.DrawFn) -> tuple[TileGrid, tuple[float, ...], tuple[float, ...]]:
    """Return a grid, and the size and overlap of tiles that were asked for."""
    dims = tuple(draw(st.lists(st.integers(1, 70), min_size=2, max_size=3)))
    tile = tuple(draw(st.floats(4, 80)) for _ in dims)
    overlap = tuple(draw(st.floats(0, 0.7)) * t for t in tile)
    assume(np.prod([n / (t - o) + 1 for n, t, o in zip(dims, tile, overlap, strict=True)]) < 400)
    return tile_grid(dims, tile_px=tile, overlap_px=overlap), tile, overlap


@few
@given(grids())
def test_tiles_cover_the_field_and_cores_partition_it(case: tuple) -> None:
    grid, tile, overlap = case
    owner, covered = np.zeros(grid.dims, int), np.zeros(grid.dims, bool)
    for t in grid.tiles:
        owner[tuple(slice(a, b) for a, b in t.core)] += 1
        covered[t.slices] = True
        assert all(0 <= a <= c < d <= b <= n for (a, b), (c, d), n in zip(t.bounds, t.core, grid.dims, strict=True))
        assert t.shape == covered[t.slices].shape
        # Cores are equal, and inner tiles overlap on both sides; sizes are rounded to whole pixels.
        limits = (most + asked / 2 + 3 for most, asked in zip(tile, overlap, strict=True))
        assert all(size <= limit for size, limit in zip(t.shape, limits, strict=True))
    assert (owner == 1).all()
    assert covered.all()
    assert [t.index for t in grid.tiles] == list(range(len(grid.tiles)))
    for axis, asked in enumerate(overlap):
        lines = sorted({t.bounds[axis] for t in grid.tiles})
        length = grid.dims[axis]
        assert all(a[1] - b[0] >= asked or b[0] == 0 or a[1] == length for a, b in pairwise(lines))


@few
@given(grids(), st.integers(1, 30))
def test_batches_deal_out_every_tile_once_and_evenly(case: tuple, n_batches: int) -> None:
    grid, *_ = case
    batches = [tile_batch(grid, b, n_batches) for b in range(n_batches)]
    assert [t.index for batch in batches for t in batch] == list(range(len(grid.tiles)))
    assert max(map(len, batches)) - min(map(len, batches)) <= 1


@few
@given(grids(), st.integers(0, 2**32 - 1))
def test_each_mask_belongs_to_the_tile_whose_core_holds_most_of_it(case: tuple, seed: int) -> None:
    from scipy.sparse import csc_matrix

    grid, *_ = case
    rng = np.random.default_rng(seed)
    masks = (rng.random((int(np.prod(grid.dims)), 3)) < 0.05).astype(np.float32)
    masks[rng.integers(len(masks)), :] = 1
    owned = assign_seeds(grid, choose_seeds(csc_matrix(masks), np.ones(len(masks), bool), min_pixels=1))
    for k, owner in enumerate(owned.owners):
        image = masks[:, k].reshape(grid.dims)
        held = [image[tuple(slice(a, b) for a, b in t.core)].sum() for t in grid.tiles]
        assert held[owner] == max(held)


@few
@given(st.tuples(st.integers(20, 600), st.integers(20, 600)), st.integers(1, 10**5), st.floats(5, 40))
def test_a_tile_of_the_binned_movie_stays_within_its_budget_unless_it_is_the_smallest(
    dims: tuple[int, int], n_bins: int, smallest: float
) -> None:
    size = tile_size(dims, n_bins=n_bins, max_elements=200_000, smallest_px=(smallest, smallest))
    assert all(s <= max(n, smallest) for s, n in zip(size, dims, strict=True))
    assert np.prod(size) * n_bins <= 200_000 * 1.001 or min(size) == smallest
