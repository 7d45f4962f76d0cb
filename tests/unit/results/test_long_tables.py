"""Tables too long for memory are indexed as arrays are, by rows and by frames, in any order."""

from __future__ import annotations

import os
import tracemalloc

import h5py
import numpy as np
import pytest

from caiman_pipeline.results import long_tables
from caiman_pipeline.results.long_tables import LongTable, frame_blocks, in_memory, on_disk, trace_blocks


@pytest.fixture
def new_table(tmp_path, monkeypatch):
    """Tables of 7 rows have blocks of 64 frames."""
    monkeypatch.setattr(long_tables, "BLOCK_BYTES", 4 * 7 * 70)
    with h5py.File(tmp_path / "result.h5", "w") as file:
        yield on_disk(file, tmp_path / "result.h5").working


ROWS = [slice(None), slice(2, 5), slice(6, 7), slice(3, 3), slice(-3, None)]
FRAMES = [slice(None), slice(0, 64), slice(64, 128), slice(60, 140), slice(199, 200), slice(5, 5), slice(150, None)]


def test_any_order_of_reads_and_writes_gives_what_an_array_gives(new_table):
    table, array = new_table((7, 200)), in_memory().working((7, 200))
    assert (table.shape, len(table), table.dtype) == (array.shape, 7, array.dtype)
    rng = np.random.default_rng(0)
    for _ in range(300):
        key = (ROWS[rng.integers(len(ROWS))], FRAMES[rng.integers(len(FRAMES))])
        if rng.random() < 0.5:
            table[key] = array[key] = rng.normal(size=array[key].shape).astype(np.float32)
        np.testing.assert_array_equal(table[key], array[key], strict=True)
    np.testing.assert_array_equal(table[2:4], array[2:4], strict=True)
    np.testing.assert_array_equal(table[:], array, strict=True)


def test_what_was_never_written_is_zero_and_tables_without_rows_are_whole(new_table):
    assert not new_table((7, 200))[:, 3:190].any()
    empty = new_table((0, 200))
    empty[:, 5:9] = np.zeros((0, 4), np.float32)
    assert empty[:, 2:150].shape == (0, 148)


def test_memory_is_that_of_a_block_and_the_file_goes_with_the_table(new_table, tmp_path):
    table = new_table((7, 100_000))
    tracemalloc.start()
    for frames in frame_blocks(table):
        table[:, frames] = np.full((7, frames.stop - frames.start), frames.start, np.float32)
    assert table[3:4, 99_990:][0, 0] == 99_968
    assert tracemalloc.get_traced_memory()[1] < 7 * 100_000 * 4 / 10
    tracemalloc.stop()
    assert [p.name for p in tmp_path.iterdir()] == ["result.h5"]
    before = len(os.listdir("/proc/self/fd"))
    del table
    assert len(os.listdir("/proc/self/fd")) == before - 1


def test_blocks_cover_a_table_once_and_follow_its_size():
    table = in_memory().working((500, 9000))
    blocks = list(frame_blocks(table))
    assert [b.start for b in blocks] == [0, *(b.stop for b in blocks[:-1])]
    assert blocks[-1].stop == 9000
    assert blocks[0].stop & (blocks[0].stop - 1) == 0
    assert 500 * 4 * blocks[0].stop <= long_tables.BLOCK_BYTES
    assert [b.stop - b.start for b in trace_blocks(slice(3, 12), 10**6)] == [4, 4, 1]
    assert list(trace_blocks(slice(3, 12), 100)) == [slice(3, 12)]


def test_a_full_disk_is_told(monkeypatch, new_table):
    table = new_table((7, 200))
    monkeypatch.setattr(os, "pwrite", lambda *_: 0)
    with pytest.raises(OSError, match="No space"):
        table[2:4] = np.ones((2, 200), np.float32)
    assert isinstance(table, LongTable)
