from __future__ import annotations

import numpy as np
import pytest

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.tiles import Tile
from caiman_pipeline.movies.store.bounds import part_bounds
from caiman_pipeline.movies.store.parts import find_stored, open_store, write_index
from caiman_pipeline.movies.store.traffic import TRAFFIC
from caiman_pipeline.movies.store.writing import PartWriter, keep_elsewhere
from caiman_pipeline.movies.store.zarr_parts import chunk_shape

DIMS = (96, 150)


@pytest.fixture
def movie():
    return np.random.default_rng(3).normal(size=(*DIMS, 1500)).astype(np.float32)


def _write(folder, movie, url=""):
    folder.mkdir()
    bounds = [(i, *b) for i, b in enumerate(part_bounds(movie.shape[-1], movie.shape[:-1]))]
    if url:
        keep_elsewhere(folder, url, dims=movie.shape[:-1], parts=bounds)
    with PartWriter(folder) as writer:
        for index, start, stop in bounds:
            writer.write(index, movie[..., start:stop])
    from dataclasses import replace

    parts = [replace(find_stored(folder)[i], start=a, stop=b) for i, a, b in bounds]
    write_index(
        folder / "movie.json",
        dims=movie.shape[:-1],
        frame_rate_hz=30.0,
        parts=parts,
        valid=np.ones(movie.shape[:-1], bool),
        source={},
    )
    return open_store(folder / "movie.json")


@pytest.fixture
def stores(tmp_path, movie):
    """The same movie on disk and as an array elsewhere."""
    return _write(tmp_path / "disk", movie), _write(tmp_path / "array", movie, f"file://{tmp_path}/store/1-of-1.zarr")


def test_parts_are_cut_and_read_as_on_disk(stores, movie):
    disk, elsewhere = stores
    for (a, b, frames), (c, d, others) in zip(disk.read_parts(), elsewhere.read_parts(), strict=True):
        assert (a, b) == (c, d)
        assert np.array_equal(frames, others)


def test_a_tile_moves_its_chunks_and_not_the_recording(stores, movie):
    _, elsewhere = stores
    tile = Tile(0, ((10, 34), (101, 125)), ((10, 34), (101, 125)))
    before = TRAFFIC.read_bytes
    found = np.concatenate([frames for *_, frames in elsewhere.read_tile(tile)], axis=1)
    moved = TRAFFIC.read_bytes - before
    assert np.array_equal(found, movie[10:34, 101:125].reshape(-1, 1500))
    assert found.nbytes <= moved < movie.nbytes / 3


def test_nothing_is_left_in_the_blocks_folder_but_the_pointer(stores, tmp_path):
    assert {p.name for p in (tmp_path / "array").iterdir()} == {"array.json", "movie.json"}


def test_a_damaged_chunk_is_an_error(stores, tmp_path):
    (shard, *_) = sorted((tmp_path / "store").rglob("c/0/0/*"))
    content = bytearray(shard.read_bytes())
    content[1000] ^= 1
    shard.write_bytes(content)
    with pytest.raises(PipelineError, match="cannot be read"):
        list(stores[1].read_parts())


def test_chunks_are_small_and_fit_planes_and_volumes():
    assert chunk_shape((512, 512), 64) == (16, 16)
    assert chunk_shape((96, 150), 1024) == (8, 8)
    assert chunk_shape((3, 256, 256), 64)[0] <= 4


def test_a_block_without_parts_makes_no_array_and_names_none(tmp_path, movie):
    """As where a recording has fewer parts than blocks."""
    (tmp_path / "empty").mkdir()
    keep_elsewhere(tmp_path / "empty", f"file://{tmp_path}/store/2-of-2.zarr", dims=DIMS, parts=[])
    with PartWriter(tmp_path / "empty"):
        pass
    assert not (tmp_path / "store").exists()
    assert find_stored(tmp_path / "empty") == {}
    full = _write(tmp_path / "full", movie, f"file://{tmp_path}/store/1-of-2.zarr")
    assert full.n_frames == 1500
    assert np.array_equal(full.parts[-1].read(), movie[..., full.parts[-1].start :])


def test_a_block_that_begins_later_is_read_where_it_belongs(tmp_path, movie):
    bounds = [(i, *b) for i, b in enumerate(part_bounds(1500, DIMS))]
    assert len(bounds) > 1
    (tmp_path / "late").mkdir()
    keep_elsewhere(tmp_path / "late", f"file://{tmp_path}/store/2-of-2.zarr", dims=DIMS, parts=bounds[1:])
    with PartWriter(tmp_path / "late") as writer:
        for index, start, stop in bounds[1:]:
            writer.write(index, movie[..., start:stop])
    for index, part in find_stored(tmp_path / "late").items():
        assert (part.start, part.stop) == bounds[index][1:]
        assert np.array_equal(part.read(), movie[..., part.start : part.stop])
