"""Frames that take part in nothing: the record, and the movie without them."""

from __future__ import annotations

import numpy as np
import pytest
from planted import store

from caiman_pipeline.extraction.binning import bin_tile
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.tiles import Tile
from caiman_pipeline.movies.left_out import (
    describe_left_out,
    from_ranges,
    kept_parts,
    put_back_left_out,
    record_left_out,
    runs,
    to_ranges,
)
from caiman_pipeline.movies.store import bounds as store_module
from caiman_pipeline.movies.store.bounds import part_bounds, part_name
from caiman_pipeline.movies.store.parts import Part, open_store, write_index
from caiman_pipeline.movies.store.scratch import near

DIMS = (7, 11)


def test_of_several_reasons_the_first_counts_and_ranges_come_back():
    record = record_left_out(
        12, {"listed": np.array([3, 4, 9]), "empty": np.array([4, 5]), "unlike": np.arange(12) == 9}
    )
    assert record.tolist() == [0, 0, 0, 1, 1, 2, 0, 0, 0, 1, 0, 0]
    assert to_ranges(record) == {"listed": [[3, 5], [9, 10]], "empty": [[5, 6]]}
    np.testing.assert_array_equal(from_ranges(to_ranges(record), 12), record)
    assert describe_left_out(record) == "4 of 12 (3 listed, 1 empty)"
    assert describe_left_out(record[:3]) == "0 of 3"
    assert runs(np.array([True, False, True, True])) == [(0, 1), (2, 4)]


@pytest.mark.parametrize("ranges", [{"listed": [[3, 13]]}, {"tired": [[3, 4]]}, {"empty": [[4, 4]]}])
def test_a_record_of_another_movie_is_refused(ranges):
    with pytest.raises(ValueError, match="not of this movie"):
        from_ranges(ranges, 12)


def _stored(folder, movie, left_out):
    store(folder, movie)
    parts = [Part(folder / part_name(i), a, b) for i, (a, b) in enumerate(part_bounds(movie.shape[-1], DIMS))]
    path = folder / "movie.json"
    write_index(
        path, dims=DIMS, frame_rate_hz=10.0, parts=parts, valid=np.ones(DIMS, bool), source={}, left_out=left_out
    )
    return open_store(path)


@pytest.fixture
def spoiled(tmp_path, monkeypatch):
    """A movie of six parts of which frames are left out, the whole third part among them."""
    monkeypatch.setattr(store_module, "PART_BYTES", 4 * 7 * 11 * 16)
    movie = np.random.default_rng(2).normal(size=(*DIMS, 90)).astype(np.float32)
    left_out = np.zeros(90, np.uint8)
    left_out[[0, 15, 16, 40, 89]] = 1
    left_out[32:48] = 2
    return _stored(tmp_path, movie, left_out), movie, left_out == 0


@pytest.mark.parametrize("scratch", [False, True])
def test_the_movie_is_that_of_the_frames_that_take_part(spoiled, tmp_path, scratch):
    movie, frames, kept = spoiled
    (tmp_path / "near").mkdir()
    with near(movie, str(tmp_path / "near") if scratch else "") as opened:
        assert opened.n_frames == kept.sum() == 70
        np.testing.assert_array_equal(opened.kept, kept)
        for _ in range(2):
            pieces = list(opened.read_parts())
            assert [p[0] for p in pieces] == [0, *(p[1] for p in pieces[:-1])]
            whole = np.concatenate([p[2] for p in pieces], axis=1)
            assert all(p[2].flags.c_contiguous for p in pieces)
            np.testing.assert_array_equal(whole, frames.reshape(-1, 90)[:, kept])
        tile = Tile(0, ((2, 6), (3, 10)), ((2, 6), (3, 10)))
        box = np.concatenate([p[2] for p in opened.read_tile(tile)], axis=1)
        np.testing.assert_array_equal(box, frames[2:6, 3:10][..., kept].reshape(28, -1))
        binned = bin_tile(opened, tile, bin_frames=4)
        np.testing.assert_allclose(binned, box[:, :68].reshape(28, 17, 4).mean(2), atol=1e-6)


def test_a_movie_of_which_all_frames_take_part_is_read_as_it_is(tmp_path):
    movie = store(tmp_path, np.ones((*DIMS, 20), np.float32))
    assert movie.kept.all()
    assert kept_parts(movie.parts, movie.kept) == movie.parts


def test_an_index_with_a_wrong_record_is_refused(spoiled, tmp_path):
    path = tmp_path / "movie.json"
    path.write_text(path.read_text().replace('"listed"', '"tired"'))
    with pytest.raises(PipelineError, match=r"not a readable movie index.*not of this movie"):
        open_store(path)


def test_rows_are_spread_over_the_recording():
    kept = np.array([True, False, True, True, False])
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    nan = np.nan
    np.testing.assert_array_equal(put_back_left_out(rows, kept), [[0, nan, 1, 2, nan], [3, nan, 4, 5, nan]])
    assert put_back_left_out(rows, kept[[0, 2, 3]]) is rows
