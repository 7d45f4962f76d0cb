"""Axes that array files state themselves: HDF5 labels and scales, xarray and OME-NGFF stores; the rest is asked for."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
import zarr

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Reading
from caiman_pipeline.movies.metadata import FileMetadata, read_metadata
from caiman_pipeline.movies.readers.open import open_file, open_movie_files

RNG = np.random.default_rng(3)
ROWS_COLUMNS_TIME = RNG.integers(0, 900, (9, 13, 30), dtype=np.uint16)
FRAMES = ROWS_COLUMNS_TIME.transpose(2, 0, 1)


def hdf5(path, array, *, labels=(), scales=(), **attributes):
    with h5py.File(path, "w") as file:
        movie = file.create_dataset("imaging", data=array)
        movie.attrs.update(attributes)
        for dim, label in zip(movie.dims, labels, strict=False):
            dim.label = label
        for i, name in enumerate(scales):
            file[name] = np.arange(array.shape[i])
            file[name].make_scale(name)
            movie.dims[i].attach_scale(file[name])
    return path


AXISTAGS = json.dumps({"axes": [{"key": "y", "typeFlags": 2}, {"key": "x"}, {"key": "t"}]})


@pytest.mark.parametrize(
    "said",
    [
        {"labels": "yxt"},
        {"labels": ("rows", "columns", "frames")},
        {"labels": ("Height", "WIDTH", " time ")},
        {"scales": ("y", "x", "time")},
        {"_ARRAY_DIMENSIONS": ["y", "x", "t"]},
        {"_ARRAY_DIMENSIONS": [b"row", b"col", b"frame"]},
        {"axistags": AXISTAGS},
        {"labels": ("", "", ""), "axistags": AXISTAGS},
    ],
)
def test_what_an_hdf5_file_says_of_its_axes_is_used(tmp_path, said):
    reader = open_file(hdf5(tmp_path / "m.h5", ROWS_COLUMNS_TIME, **said))
    assert (reader.n_frames, reader.dims) == (30, (9, 13))
    np.testing.assert_array_equal(reader.read(4, 11), FRAMES[4:11])


@pytest.mark.parametrize("said", [{}, {"_ARRAY_DIMENSIONS": ["dim_0", "dim_1", "dim_2"]}, {"scales": ()}])
@pytest.mark.parametrize("array", [ROWS_COLUMNS_TIME, FRAMES], ids=["time last", "time first"])
def test_axes_that_are_not_stated_are_asked_for(tmp_path, said, array):
    """Also where time is first: nothing in the array tells."""
    path = hdf5(tmp_path / "m.h5", array, **said)
    with pytest.raises(PipelineError, match=r"which of them is time\? .*`axes` column.*TYX.*YXT") as caught:
        open_file(path)
    assert str(array.shape) in str(caught.value)


@pytest.mark.parametrize("labels", [("y", "x", "lambda"), ("y", "y", "t"), ("ap", "lr", "t")])
def test_names_that_do_not_tell_are_shown_and_the_sheet_wins(tmp_path, labels):
    path = hdf5(tmp_path / "m.h5", ROWS_COLUMNS_TIME, labels=labels)
    with pytest.raises(PipelineError, match=rf"'{labels[0]}', '{labels[1]}', '{labels[2]}'.*`axes` column"):
        open_file(path)
    np.testing.assert_array_equal(open_file(path, "YXT").read(0, 30), FRAMES)


def test_channels_and_planes_that_a_file_names_are_asked_for_and_chosen(tmp_path):
    array = RNG.integers(0, 900, (12, 2, 3, 9, 13), dtype=np.uint16)
    path = hdf5(tmp_path / "m.h5", array, labels="tczyx")
    with pytest.raises(PipelineError, match=r"2 channels.*`channel` column"):
        open_file(path)
    reader = open_file(path, channel="2", planes="2-3")
    np.testing.assert_array_equal(reader.read(3, 7), array[3:7, 1, 1:])
    assert open_file(path, channel="1", planes="3").dims == (9, 13)


def test_a_zarr_array_s_names_are_used(tmp_path):
    for i, named in enumerate(
        ({"dimension_names": ["y", "x", "time"]}, {"attributes": {"_ARRAY_DIMENSIONS": list("yxt")}})
    ):
        array = zarr.create_array(tmp_path / f"{i}.zarr", shape=(9, 13, 30), dtype="u2", zarr_format=3 - i, **named)
        array[:] = ROWS_COLUMNS_TIME
        np.testing.assert_array_equal(open_file(tmp_path / f"{i}.zarr").read(2, 6), FRAMES[2:6])
    zarr.create_array(tmp_path / "n.zarr", shape=(9, 13, 30), dtype="u2")
    with pytest.raises(PipelineError, match=r"n\.zarr.*which of them is time"):
        open_file(tmp_path / "n.zarr")


def test_an_xarray_store_is_read_by_the_names_of_its_variable(tmp_path):
    group = zarr.open_group(tmp_path / "m.zarr", mode="w", zarr_format=2)
    for name, values, dims in (("fluorescence", ROWS_COLUMNS_TIME, "y x time"), ("time", np.arange(30.0), "time")):
        variable = group.create_array(name, shape=values.shape, dtype=values.dtype)
        variable[:], variable.attrs["_ARRAY_DIMENSIONS"] = values, dims.split()
    np.testing.assert_array_equal(open_file(tmp_path / "m.zarr").read(0, 5), FRAMES[:5])


MOVIE = RNG.integers(0, 900, (12, 2, 3, 8, 14), dtype=np.uint16)
AXES = [
    {"name": "t", "type": "time", "unit": "millisecond"},
    {"name": "c", "type": "channel"},
    *({"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"),
]
LEVELS = [
    {
        "path": str(i),
        "coordinateTransformations": [{"type": "scale", "scale": [50.0, 1.0, 5.0, 0.8 * 2**i, 0.6 * 2**i]}],
    }
    for i in (0, 1)
]
IMAGE = {"axes": AXES, "datasets": LEVELS}


def ngff(path, image=IMAGE, *, version="0.4", group="", **more):
    """Write an OME-NGFF image of two levels; ``group`` is where in the store."""
    root = zarr.open_group(path, mode="a", zarr_format=3 if version == "0.5" else 2)
    place = root.require_group(group) if group else root
    said = {"multiscales": [{"version": version, **image}], **more}
    place.attrs.update({"ome": {"version": version, **said}} if version == "0.5" else said)
    for name, movie in (("0", MOVIE), ("1", MOVIE[..., ::2, ::2])):
        place.create_array(name, shape=movie.shape, dtype=movie.dtype, chunks=(4, 1, 1, *movie.shape[3:]))[:] = movie
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_ome_ngff_image_is_read_at_level_0_by_its_axes(tmp_path, version):
    path = ngff(tmp_path / "m.ome.zarr", version=version)
    with pytest.raises(PipelineError, match=r"2 channels: 1, 2\. .*`channel` column"):
        open_file(path)
    np.testing.assert_array_equal(open_file(path, channel="2").read(1, 5), MOVIE[1:5, 1])
    np.testing.assert_array_equal(open_file(path, channel="1", planes="2").read(0, 12), MOVIE[:, 0, 1])
    assert read_metadata(path) == FileMetadata(20.0, (0.8, 0.6), 5.0)


def test_names_of_channels_are_those_of_the_image(tmp_path):
    path = ngff(tmp_path / "m.zarr", omero={"channels": [{"label": "GCaMP"}, {"label": "tdTomato"}]})
    np.testing.assert_array_equal(open_file(path, channel="tdtomato").read(0, 3), MOVIE[:3, 1])
    with pytest.raises(PipelineError, match=r"1 \(GCaMP\), 2 \(tdTomato\)"):
        open_file(path, channel="green")


def test_a_step_without_a_unit_is_not_known(tmp_path):
    axes = [{"name": n} for n in "tczyx"]
    path = ngff(tmp_path / "m.zarr", {"axes": axes, "datasets": LEVELS})
    assert read_metadata(path) == FileMetadata()
    whole = [{"type": "scale", "scale": [2.0, 1.0, 1.0, 1.0, 1.0]}]
    path = ngff(tmp_path / "n.zarr", {**IMAGE, "coordinateTransformations": whole})
    assert read_metadata(path).frame_rate_hz == 10.0


@pytest.mark.parametrize("image", [{"axes": list("tczyx"), "version": "0.3"}, {"version": "0.1"}])
def test_older_versions_of_the_format_are_read_too(tmp_path, image):
    path = ngff(tmp_path / "m.zarr", {**image, "datasets": [{"path": "0"}, {"path": "1"}]})
    np.testing.assert_array_equal(open_file(path, channel="1").read(0, 2), MOVIE[:2, 0])


def test_an_image_below_is_found_and_one_of_several_is_asked_for(tmp_path):
    path = ngff(tmp_path / "m.zarr", group="0")
    np.testing.assert_array_equal(open_file(path, channel="1").read(0, 2), MOVIE[:2, 0])
    ngff(path, group="1")
    with pytest.raises(PipelineError, match=r"`dataset` column.*0/0.*1/0"):
        open_file(path)
    for dataset in ("1", "1/0"):
        np.testing.assert_array_equal(open_file(path, dataset=dataset, channel="2").read(0, 2), MOVIE[:2, 1])
    np.testing.assert_array_equal(open_file(path, dataset="1/1", channel="2").read(0, 2), MOVIE[:2, 1, :, ::2, ::2])
    assert read_metadata(path, "1/1") == FileMetadata(20.0, (1.6, 1.2), 5.0)


def test_an_image_whose_array_is_gone_is_named(tmp_path):
    path = ngff(tmp_path / "m.zarr", {"axes": AXES, "datasets": [{"path": "full"}]})
    with pytest.raises(PipelineError, match=r"m\.zarr: its multiscales name an array 'full'"):
        open_file(path)


@pytest.mark.parametrize("names", ['["t", "y", "x"]', "frame height width", np.bytes_(b"time,y,x")])
def test_names_in_one_text_are_names_too(tmp_path, names):
    movie = MOVIE[:, 0, 0]
    hdf5(tmp_path / "m.h5", movie, _ARRAY_DIMENSIONS=names)
    np.testing.assert_array_equal(open_file(tmp_path / "m.h5").read(0, 12), movie)


def test_attributes_that_say_nothing_of_axes_and_sizes_are_passed_over(tmp_path):
    movie = MOVIE[:, 0, 0]
    for size in (0.5, "half a micrometre", [1.0, 2.0, 3.0, 4.0]):
        hdf5(tmp_path / "m.h5", movie, axistags="none", _ARRAY_DIMENSIONS=3, element_size_um=size)
        assert open_file(tmp_path / "m.h5", "TYX").n_frames == 12
        assert read_metadata(tmp_path / "m.h5") == FileMetadata()
    axes = [{"name": n, "unit": None} for n in "tczyx"]
    levels = [{"path": "0", "coordinateTransformations": None}]
    path = ngff(tmp_path / "m.zarr", {"axes": axes, "datasets": levels}, omero=None)
    np.testing.assert_array_equal(open_file(path, channel="1").read(0, 2), MOVIE[:2, 0])
    assert read_metadata(path) == FileMetadata()


def test_axes_of_the_sheet_that_overrule_the_file_s_are_told(tmp_path):
    hdf5(tmp_path / "m.h5", MOVIE[:, 0, 0], _ARRAY_DIMENSIONS=["t", "y", "x"])
    zarr.create_array(tmp_path / "m.zarr", data=MOVIE[:, 0, 0], dimension_names=["t", "y", "x"])
    for path in (tmp_path / "m.h5", tmp_path / "m.zarr"):
        assert open_movie_files([path], Reading("tyx")).notes == open_movie_files([path], Reading()).notes == ()
        [told] = open_movie_files([path], Reading("YXT")).notes
        assert told == f"{path.name}: the sheet's `axes` YXT are used, but the file calls its axes TYX"
