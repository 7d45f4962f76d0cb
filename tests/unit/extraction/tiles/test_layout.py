"""Tiles cover every field, overlap as asked, and batches only deal them out."""

from itertools import pairwise

import numpy as np
import pytest

from caiman_pipeline.extraction.tiles.layout import tile_batch, tile_grid, tile_size
from caiman_pipeline.extraction.tiles.run import make_grid
from caiman_pipeline.model.errors import PipelineError


@pytest.mark.parametrize("dims", [(37, 53), (64, 65), (300, 41), (3, 90, 70), (1, 1)])
def test_cores_partition_the_field_and_tiles_stay_inside(dims: tuple[int, ...]) -> None:
    tile = tuple(min(float(n), 32.0) + 0.5 for n in dims)
    grid = tile_grid(dims, tile_px=tile, overlap_px=tuple(min(10.0, t / 3) for t in tile))
    count = np.zeros(dims, int)
    for t in grid.tiles:
        count[tuple(slice(a, b) for a, b in t.core)] += 1
        assert all(0 <= a <= c < d <= b <= n for (a, b), (c, d), n in zip(t.bounds, t.core, dims, strict=True))
    assert (count == 1).all()


def test_neighbours_share_at_least_the_overlap() -> None:
    grid = tile_grid((100, 40), tile_px=(40, 40), overlap_px=(16, 16))
    rows = sorted({t.bounds[0] for t in grid.tiles})
    assert len(rows) > 2
    assert all(before[1] - after[0] >= 16 for before, after in pairwise(rows))
    assert max(b - a for a, b in rows) <= 41


def test_a_one_pixel_remainder_makes_no_sliver() -> None:
    grid = tile_grid((65, 33), tile_px=(32, 32), overlap_px=(8, 8))
    cores = [b - a for t in grid.tiles for a, b in t.core]
    assert min(cores) >= 11


def test_an_overlap_as_large_as_the_tile_is_refused() -> None:
    with pytest.raises(PipelineError, match="cannot overlap"):
        tile_grid((100, 100), tile_px=(20, 20), overlap_px=(20, 20))
    with pytest.raises(PipelineError, match="cannot overlap"):
        tile_grid((100, 90), tile_px=(20, 20), overlap_px=(8, 19.5))  # less than a pixel is left for each
    assert len(tile_grid((100, 20), tile_px=(20, 20), overlap_px=(8, 19.5)).tiles) == 8  # one tile needs no room


@pytest.mark.parametrize("n_batches", [1, 2, 5, 40])
def test_batches_deal_out_every_tile_once(n_batches: int) -> None:
    grid = tile_grid((100, 90), tile_px=(40, 40), overlap_px=(16, 16))
    dealt = [t.index for b in range(n_batches) for t in tile_batch(grid, b, n_batches)]
    assert dealt == list(range(len(grid.tiles)))


def test_longer_movies_get_smaller_tiles_down_to_the_smallest() -> None:
    sizes = [
        tile_size((512, 512), n_bins=n, max_elements=6_000_000, smallest_px=(66, 66)) for n in (10, 300, 1200, 10**6)
    ]
    assert sizes[0] == (512, 512)
    assert sizes[1][0] > sizes[2][0] > sizes[3][0] == 66


def test_a_volume_is_cut_in_its_planes_first() -> None:
    size = tile_size((4, 512, 512), n_bins=500, max_elements=6_000_000, smallest_px=(6, 66, 66))
    assert size[0] >= 4
    assert 66 <= size[1] < 100


def test_tiles_smaller_than_four_cells_are_explained() -> None:
    with pytest.raises(PipelineError, match="less than four cells"):
        make_grid((200, 200), n_bins=100, cell_px=(10, 10), tile_px=(30, 30), overlap_px=(20, 20))
    with pytest.raises(PipelineError, match="less than two cells"):
        make_grid((200, 200), n_bins=100, cell_px=(10, 10), tile_px=(80, 80), overlap_px=(5, 5))


@pytest.mark.parametrize("overlap", [7.0, 15.0, 12.5])
def test_an_odd_overlap_is_not_rounded_down(overlap: float) -> None:
    grid = tile_grid((131, 90), tile_px=(40, 48), overlap_px=(overlap, overlap))
    for axis in (0, 1):
        lines = sorted({t.bounds[axis] for t in grid.tiles})
        assert len(lines) > 1
        assert all(before[1] - after[0] >= overlap for before, after in pairwise(lines))
