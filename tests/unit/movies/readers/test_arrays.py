"""NumPy, HDF5 and Zarr movies: which dataset, which axes, and damaged files."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import zarr

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.readers.open import open_file

MOVIE = np.random.default_rng(0).integers(0, 60000, (7, 20, 31), dtype=np.uint16)


def save(path, array, *, key="movie"):
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file[key] = array
    else:
        group = zarr.open_group(path, mode="w")
        group.create_array(key, shape=array.shape, dtype=array.dtype, chunks=(3, *array.shape[1:]))[:] = array


@pytest.mark.parametrize("name", ["m.npy", "m.h5", "m.zarr"])
@pytest.mark.parametrize("dtype", ["<u2", ">i2", "<f4", ">f8"])
def test_frames_come_as_stored_in_native_byte_order(tmp_path, name, dtype):
    array = (MOVIE.astype(np.float64) - 30000).clip(0 if "u" in dtype else None).astype(dtype)
    save(tmp_path / name, array)
    reader = open_file(tmp_path / name, "TYX")
    assert (reader.n_frames, reader.dims) == (7, (20, 31))
    found = reader.read(2, 6)
    np.testing.assert_array_equal(found, array[2:6])
    assert found.dtype == reader.dtype == np.dtype(dtype).newbyteorder("=")


@pytest.mark.parametrize("name", ["m.npy", "m.h5", "m.zarr"])
def test_time_last_is_refused_unless_the_axes_are_named(tmp_path, name):
    save(tmp_path / name, MOVIE[:, :7, :5].transpose(1, 2, 0))
    square = np.moveaxis(np.repeat(MOVIE[:, :20, :20], 3, axis=0), 0, -1)
    save(tmp_path / f"s{name}", square)
    with pytest.raises(
        PipelineError, match=r"\(20, 20, 21\) needs its axes named: which of them is time.*`axes` column"
    ):
        open_file(tmp_path / f"s{name}")
    np.testing.assert_array_equal(open_file(tmp_path / f"s{name}", "YXT").read(4, 9), np.moveaxis(square, -1, 0)[4:9])
    np.testing.assert_array_equal(open_file(tmp_path / name, "YXT").read(1, 3), MOVIE[1:3, :7, :5])


@pytest.mark.parametrize("name", ["m.npy", "m.h5", "m.zarr"])
def test_four_axes_are_asked_for(tmp_path, name):
    save(tmp_path / name, MOVIE[:6].reshape(3, 2, 20, 31))
    with pytest.raises(PipelineError, match=r"\(3, 2, 20, 31\) needs its axes named"):
        open_file(tmp_path / name)
    assert open_file(tmp_path / name, "TZYX").dims == (2, 20, 31)


def test_fortran_ordered_array_is_read_the_same(tmp_path):
    np.save(tmp_path / "m.npy", np.asfortranarray(MOVIE))
    np.testing.assert_array_equal(open_file(tmp_path / "m.npy", "TYX").read(1, 7), MOVIE[1:7])


def nested(path):
    save(path, MOVIE, key="t0/channel0")
    if path.suffix == ".h5":
        with h5py.File(path, "a") as file:
            file["mask"] = np.zeros((20, 31))
    else:
        zarr.open_group(path, mode="a").create_array("mask", shape=(20, 31), dtype="f4")


@pytest.mark.parametrize("name", ["m.h5", "m.zarr"])
def test_the_only_movie_of_a_file_needs_no_name(tmp_path, name):
    nested(tmp_path / name)
    np.testing.assert_array_equal(open_file(tmp_path / name, "TYX").read(0, 7), MOVIE)


@pytest.mark.parametrize("name", ["m.h5", "m.zarr"])
@pytest.mark.parametrize("wanted", ["t0", "movie", "t0/channel1"])
def test_wrong_name_or_group_lists_what_is_there(tmp_path, name, wanted):
    nested(tmp_path / name)
    with pytest.raises(PipelineError, match=r"no dataset") as caught:
        open_file(tmp_path / name, dataset=wanted)
    assert "t0/channel0 (7, 20, 31)" in str(caught.value)
    assert "mask (20, 31)" in str(caught.value)


@pytest.mark.parametrize("name", ["m.h5", "m.zarr"])
def test_several_movies_are_asked_for(tmp_path, name):
    nested(tmp_path / name)
    if name == "m.h5":
        with h5py.File(tmp_path / name, "a") as file:
            file["t0/channel1"] = MOVIE[:3]
    else:
        zarr.open_group(tmp_path / name, mode="a").create_array("t0/channel1", shape=(3, 20, 31), dtype="u2")
    with pytest.raises(PipelineError, match=r"`dataset` column.*channel0.*channel1"):
        open_file(tmp_path / name)
    assert open_file(tmp_path / name, "TYX", "/t0/channel0").n_frames == 7


def test_linked_dataset_is_found_by_its_name(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["real"], file["other"] = MOVIE, MOVIE[:2]
        file["link"] = h5py.SoftLink("/real")
    assert open_file(tmp_path / "m.h5", "TYX", "link").n_frames == 7


@pytest.mark.parametrize("name", ["m.npy", "m.h5"])
@pytest.mark.parametrize("kept", [0.001, 0.5, 0.999])
def test_file_cut_short_is_named(tmp_path, name, kept):
    save(tmp_path / name, MOVIE)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: max(int(kept * len(data)), 1)])
    with pytest.raises(PipelineError, match=rf"{name}.*Copy it again"):
        open_file(tmp_path / name)


def test_damaged_chunk_is_named_when_it_is_read(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("m", data=MOVIE, chunks=(1, 20, 31), compression="gzip", fletcher32=True)
        offset = file["m"].id.get_chunk_info(4).byte_offset
    data = bytearray((tmp_path / "m.h5").read_bytes())
    data[offset : offset + 100] = bytes(100)
    (tmp_path / "m.h5").write_bytes(data)
    array = zarr.create_array(tmp_path / "m.zarr", shape=MOVIE.shape, dtype=MOVIE.dtype, chunks=(1, 20, 31))
    array[:] = MOVIE
    (tmp_path / "m.zarr/c/4/0/0").write_bytes(b"broken")
    for name in ("m.h5", "m.zarr"):
        reader = open_file(tmp_path / name, "TYX")
        np.testing.assert_array_equal(reader.read(0, 4), MOVIE[:4])
        with pytest.raises(PipelineError, match=rf"{name}.*frames 3 to 6 cannot be read"):
            reader.read(3, 6)


def test_what_is_no_movie_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", MOVIE)
    (tmp_path / "a.npz").rename(tmp_path / "archive.npy")
    np.save(tmp_path / "object.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "complex.npy", np.zeros((3, 4, 5), complex))
    np.save(tmp_path / "bool.npy", np.zeros((3, 4, 5), bool))
    np.save(tmp_path / "none.npy", np.zeros((0, 4, 5)))
    (tmp_path / "text.h5").write_text("no HDF5")
    (tmp_path / "empty.zarr").mkdir()
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(PipelineError, match=path.name):
            open_file(path)
