"""Movies that are indexed like arrays: what is read is what the array holds, and nothing else is read."""

import h5py
import numpy as np
import pytest

import caiman_pipeline as cp
from caiman_pipeline.movies.lazy import ArrayReader, Movie, RawFrames
from caiman_pipeline.movies.readers.open import RawMovie
from caiman_pipeline.movies.store.parts import open_store
from caiman_pipeline.notebook.movie import as_movie, as_store

VOLUME = np.random.default_rng(1).integers(0, 4000, (11, 3, 5, 7)).astype(np.uint16)
KEYS = [
    np.s_[4],
    np.s_[-1],
    np.s_[2:9],
    np.s_[::3],
    np.s_[::-2],
    np.s_[...],
    np.s_[:0],
    np.s_[5, 1, 2, 3],
    np.s_[1:4, ..., 2:5],
    np.s_[..., -1],
    np.s_[:, 1, ::2, ::-1],
    np.s_[:, :, 4:0:-3],
    np.s_[:, :, :, 7:],
    np.s_[[3, 1, 1, 10]],
    np.s_[np.arange(11) % 3 == 1, 2],
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_a_movie_is_indexed_like_an_array(key):
    movie = as_movie(VOLUME)
    np.testing.assert_array_equal(movie[key], VOLUME[key])
    assert movie[key].dtype == VOLUME.dtype


@pytest.mark.parametrize("key", [np.s_[11], np.s_[0, 3], np.s_[0, 0, 0, 0, 0], np.s_[0, [1, 2]], np.s_[[[1], [2]]]])
def test_what_cannot_be_indexed_is_an_error(key):
    with pytest.raises(IndexError):
        as_movie(VOLUME)[key]


def test_only_the_frames_asked_for_are_read():
    read = []

    class Watched(ArrayReader):
        def read(self, start, stop):
            read.append((start, stop))
            return super().read(start, stop)

    movie = Movie(RawFrames(RawMovie((Watched(VOLUME[:6]), Watched(VOLUME[6:])))))
    np.testing.assert_array_equal(movie[[7, 2, 5, 6]], VOLUME[[7, 2, 5, 6]])
    assert read == [(2, 3), (5, 6), (0, 2)]


def test_facts_are_those_that_the_files_state(tmp_path):
    for name, height in (("a.h5", 2.0), ("b.h5", 2.0), ("c.h5", 3.0)):
        with h5py.File(tmp_path / name, "w") as file:
            file["movie"] = VOLUME[:, 0]
            file["movie"].attrs["element_size_um"] = [1.0, height, 0.5]
    one = cp.open_movie(tmp_path / "a.h5", axes="TYX")
    assert one.pixel_size_um == (2.0, 0.5)
    assert one.frame_rate_hz is None
    assert "11 frames of 5 x 7 pixels, uint16" in repr(one)
    assert cp.open_movie([tmp_path / "a.h5", tmp_path / "b.h5"], axes="TYX").pixel_size_um == (2.0, 0.5)
    # What files do not agree about is not known.
    assert cp.open_movie([tmp_path / "a.h5", tmp_path / "c.h5"], axes="TYX").pixel_size_um is None


def test_channels_and_planes_are_read_as_said(tmp_path):
    np.save(tmp_path / "m.npy", VOLUME)
    movie = cp.open_movie(tmp_path / "m.npy", axes="TCYX", channel=2)
    np.testing.assert_array_equal(np.asarray(movie), VOLUME[:, 1])
    flat = cp.open_movie(tmp_path / "m.npy", axes="TZYX", planes="2-3")
    np.testing.assert_array_equal(flat[:], VOLUME[:, 1:])


def test_axes_that_are_not_known_are_asked_for(tmp_path):
    np.save(tmp_path / "m.npy", VOLUME)
    with pytest.raises(cp.PipelineError, match="axes"):
        cp.open_movie(tmp_path / "m.npy")
    with pytest.raises(cp.PipelineError, match="not found"):
        cp.open_movie(tmp_path / "gone.tif")


@pytest.mark.parametrize("array", [VOLUME[0, 0], VOLUME > 3, np.zeros((0, 4, 5)), np.full((3, 4, 5), "a")])
def test_arrays_that_are_no_movie_are_refused(array):
    with pytest.raises(cp.PipelineError):
        as_movie(array)


def test_the_corrected_movie_lines_up_with_the_recording(recording):
    movie, store = cp.open_movie(recording / "results/asym/movie/movie.json"), None
    store = open_store(recording / "results/asym/movie/movie.json")
    assert movie.shape == (420, 48, 66)
    assert not store.kept[17]
    assert np.isnan(movie[17]).all()
    whole = np.concatenate([part.read() for part in store.parts], axis=-1)
    np.testing.assert_array_equal(movie[store.kept, 3:20, 5], np.moveaxis(whole[3:20, 5], -1, 0))
    np.testing.assert_array_equal(movie[300], whole[..., 299])


def test_an_array_is_read_as_a_store_and_left_as_it_is():
    frames = np.random.default_rng(2).normal(size=(9, 1, 1)).astype(np.float32)
    frames[4] = np.nan
    before = frames.copy()
    store = as_store(as_movie(frames), 10.0)
    assert store.n_frames == 8
    assert store.left_out.tolist() == [0, 0, 0, 0, 2, 0, 0, 0, 0]
    read = np.concatenate([part.read() for part in store.parts], axis=-1)
    np.testing.assert_array_equal(read[0, 0], np.delete(before[:, 0, 0], 4))
    np.testing.assert_array_equal(frames, before)
