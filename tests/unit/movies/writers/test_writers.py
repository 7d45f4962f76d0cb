"""Written movies as other libraries read them: pixels, axes, rate and sizes; whole, or absent."""

import json
import subprocess
import sys

import cv2
import h5py
import numpy as np
import pytest
import tifffile
import zarr
from pynwb import NWBHDF5IO

import caiman_pipeline as cp
from caiman_pipeline.cli.main import main
from caiman_pipeline.movies.metadata import FileMetadata, read_metadata
from caiman_pipeline.movies.writers.open import movie_writer

PLANE, VOLUME = (23, 20, 34), (11, 3, 20, 34)
FACTS = {"frame_rate_hz": 7.5, "pixel_size_um": "2.0 x 1.5"}
START = {"session_start": "2024-05-17T09:30:00+02:00"}


def a_movie(shape=PLANE, dtype=np.uint16):
    return np.random.default_rng(3).integers(0, 200, shape).astype(dtype)


def saved(folder, name, movie, **options):
    spacing = {"plane_spacing_um": 4.0} if movie.ndim == 4 else {}
    cp.save_movie(movie, folder / name, facts={**FACTS, **spacing, **START}, **options)
    return folder / name


@pytest.mark.parametrize("shape", [PLANE, VOLUME], ids=["plane", "volume"])
def test_ome_tiff_is_read_by_tifffile_with_axes_and_sizes(tmp_path, shape):
    movie = a_movie(shape)
    path = saved(tmp_path, "m.tif", movie)
    with tifffile.TiffFile(path) as file:
        assert (file.is_ome, file.is_bigtiff) == (True, True)
        series = file.series[0]
        assert series.axes == {3: "TYX", 4: "TZYX"}[movie.ndim]
        np.testing.assert_array_equal(series.asarray(), movie)
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    assert (pixels["PhysicalSizeY"], pixels["PhysicalSizeX"]) == (2.0, 1.5)
    assert pixels["TimeIncrement"] == pytest.approx(1 / 7.5)


def test_imagej_hyperstack_is_read_by_tifffile(tmp_path):
    movie = a_movie(VOLUME, np.float32)
    path = saved(tmp_path, "m.tif", movie, format="imagej")
    with tifffile.TiffFile(path) as file:
        assert file.is_imagej
        assert not file.is_bigtiff
        assert file.series[0].axes == "TZYX"
        np.testing.assert_array_equal(file.asarray(), movie)
        assert file.imagej_metadata["finterval"] == pytest.approx(1 / 7.5)
        assert (file.imagej_metadata["spacing"], file.imagej_metadata["unit"]) == (4.0, "um")
        across, down = (file.pages[0].tags[f"{axis}Resolution"].value for axis in "XY")
    assert across[0] / across[1] == pytest.approx(1 / 1.5)
    assert down[0] / down[1] == pytest.approx(1 / 2.0)


def test_a_hyperstack_that_imagej_would_cut_is_refused(tmp_path):
    shape = (70_000, 256, 256)
    with (
        pytest.raises(cp.PipelineError, match=r"m\.tif: ImageJ's own files end at 4 GB, .* 4.6 GB"),
        movie_writer(tmp_path / "m.tif", shape, np.dtype(np.uint8), name="imagej"),
    ):
        pytest.fail("the movie was begun")
    with pytest.raises(cp.PipelineError, match="holds uint8, uint16, float32, not int16"):
        saved(tmp_path, "m.tif", a_movie(dtype=np.int16), format="imagej")
    assert list(tmp_path.iterdir()) == []


def test_hdf5_is_read_by_h5py(tmp_path):
    movie = a_movie(VOLUME, np.int16)
    with h5py.File(saved(tmp_path, "m.h5", movie)) as file:
        np.testing.assert_array_equal(file["movie"][:], movie)
        assert [dim.label for dim in file["movie"].dims] == ["T", "Z", "Y", "X"]
        assert file["movie"].attrs["element_size_um"].tolist() == [4.0, 2.0, 1.5]
        assert file["movie"].attrs["frame_rate_hz"] == 7.5


def test_zarr_is_an_ome_ngff_image(tmp_path):
    movie = a_movie(VOLUME)
    group = zarr.open_group(saved(tmp_path, "m.zarr", movie), mode="r")
    image = group.attrs["ome"]["multiscales"][0]
    assert [axis["name"] for axis in image["axes"]] == ["t", "z", "y", "x"]
    assert [axis["unit"] for axis in image["axes"]] == ["second", "micrometer", "micrometer", "micrometer"]
    assert image["datasets"][0]["coordinateTransformations"][0]["scale"] == pytest.approx([1 / 7.5, 4.0, 2.0, 1.5])
    np.testing.assert_array_equal(group[image["datasets"][0]["path"]][:], movie)


def test_numpy_reads_npy_and_npz(tmp_path):
    movie = a_movie(dtype=np.float32)
    np.testing.assert_array_equal(np.load(saved(tmp_path, "m.npy", movie), allow_pickle=False), movie)
    with np.load(saved(tmp_path, "m.npz", movie), allow_pickle=False) as archive:
        assert archive.files == ["movie"]
        np.testing.assert_array_equal(archive["movie"], movie)


def test_matlab_file_has_matlabs_header_classes_and_order(tmp_path):
    movie = a_movie(VOLUME)
    path = saved(tmp_path, "m.mat", movie)
    head = path.read_bytes()[:128]
    assert head.startswith(b"MATLAB 7.3 MAT-file")
    assert head[124:] == b"\x00\x02IM"
    with h5py.File(path) as file:
        assert file["movie"].attrs["MATLAB_class"] == b"uint16"
        # MATLAB shows the axes in reverse: rows, columns, planes, frames.
        np.testing.assert_array_equal(file["movie"][:].transpose(), movie.transpose(2, 3, 1, 0))
        assert file["frame_rate_hz"][0, 0] == 7.5


@pytest.mark.parametrize("name", ["m.avi", "m.mkv"])
def test_lossless_videos_keep_every_bit(tmp_path, name):
    movie = a_movie(dtype=np.uint8)
    capture = cv2.VideoCapture(str(saved(tmp_path, name, movie)))
    assert capture.get(cv2.CAP_PROP_FPS) == 7.5
    frames = [capture.read()[1][..., 0] for _ in movie]
    np.testing.assert_array_equal(frames, movie)
    assert not capture.read()[0]
    with pytest.raises(cp.PipelineError, match="even number of rows and columns"):
        saved(tmp_path, f"odd_{name}", a_movie((5, 21, 34), np.uint8))


def test_mp4_is_stretched_between_quantiles_and_padded_to_even_sizes(tmp_path):
    ramp = np.broadcast_to(np.linspace(100.0, 4100.0, 47), (12, 31, 47)).astype(np.float32)
    ramp[0] = np.nan  # left out
    capture = cv2.VideoCapture(str(saved(tmp_path, "m.mp4", ramp.copy(), quantiles=(0, 1))))
    frames = [capture.read()[1][..., 0] for _ in ramp]
    assert frames[3].shape == (32, 48)
    assert frames[0].max() < 5
    expected = (ramp[3, 0] - 100) / 4000 * 255
    assert np.abs(frames[3][5, :47] - expected).max() < 6


@pytest.mark.parametrize("shape", [PLANE, VOLUME], ids=["plane", "volume"])
def test_nwb_is_read_by_pynwb(tmp_path, shape):
    movie = a_movie(shape)
    with NWBHDF5IO(saved(tmp_path, "m.nwb", movie), "r") as io:
        series = io.read().acquisition["TwoPhotonSeries"]
        np.testing.assert_array_equal(series.data[:].transpose(0, *reversed(range(1, movie.ndim))), movie)
        assert series.rate == 7.5
        assert series.imaging_plane.grid_spacing[:].tolist() == [1.5, 2.0, 4.0][: movie.ndim - 1]
    with pytest.raises(cp.PipelineError, match="needs `session_start`"):
        cp.save_movie(movie, tmp_path / "n.nwb", facts=FACTS)


def test_what_was_written_is_read_here_with_its_facts(tmp_path):
    movie = a_movie(VOLUME)
    for name in ("m.tif", "m.h5", "m.zarr"):
        opened = cp.open_movie(saved(tmp_path, name, movie))
        np.testing.assert_array_equal(opened, movie)
        facts = (opened.frame_rate_hz, opened.pixel_size_um, opened.plane_spacing_um)
        assert facts == (7.5, (2.0, 1.5), 4.0), name


def test_values_that_do_not_fit_are_refused_and_nothing_is_left(tmp_path):
    movie = a_movie(dtype=np.float32)
    movie[17, 2, 3] = -1.0
    with pytest.raises(cp.PipelineError, match="frame 17 holds -1, which uint8 cannot hold"):
        saved(tmp_path, "m.h5", movie, dtype="uint8")
    movie[17, 2, 3] = np.nan
    with pytest.raises(cp.PipelineError, match="frame 17 holds nan"):
        saved(tmp_path, "m.zarr", movie, dtype="uint8")
    assert list(tmp_path.iterdir()) == []


def test_quantiles_stretch_over_the_types_range(tmp_path):
    movie = a_movie(dtype=np.float32)
    low, high = np.quantile(movie, [0.1, 0.9])
    path = saved(tmp_path, "m.npy", movie, dtype="int16", quantiles=(0.1, 0.9))
    expected = np.rint(-32768 + np.clip((movie.astype(float) - low) / (high - low), 0, 1) * 65535)
    np.testing.assert_array_equal(np.load(path), expected)
    with pytest.raises(cp.PipelineError, match="are both 7: nothing to show"):
        saved(tmp_path, "n.npy", np.full(PLANE, 7.0), quantiles=(0.1, 0.9))
    with pytest.raises(cp.PipelineError, match="two numbers from 0 to 1 in rising order"):
        saved(tmp_path, "n.npy", movie, quantiles=(0.9, 0.1))


def test_a_piece_of_a_movie(tmp_path):
    movie = a_movie(VOLUME)
    path = saved(tmp_path, "m.npy", movie, frames=(2, 7), rows=(1, 19), columns=(4, 9))
    np.testing.assert_array_equal(np.load(path), movie[2:7, :, 1:19, 4:9])
    with pytest.raises(cp.PipelineError, match="columns 4 to 99 are asked for, of a movie of 34 columns"):
        saved(tmp_path, "n.npy", movie, columns=(4, 99))


def test_files_are_not_written_over_unless_asked(tmp_path):
    (tmp_path / "m.npy").write_bytes(b"precious")
    with pytest.raises(cp.PipelineError, match="is there already"):
        saved(tmp_path, "m.npy", a_movie())
    assert (tmp_path / "m.npy").read_bytes() == b"precious"
    saved(tmp_path, "m.npy", a_movie(), overwrite=True)
    assert np.load(tmp_path / "m.npy").shape == PLANE


def test_unknown_formats_types_and_facts_are_refused(tmp_path):
    for options, what in (({"format": "xyz"}, "no format 'xyz'"), ({"dtype": "uint9"}, "no type of pixels")):
        with pytest.raises(cp.PipelineError, match=what):
            saved(tmp_path, "m.tif", a_movie(), **options)
    with pytest.raises(cp.PipelineError, match="frame_rate_hz"):
        cp.save_movie(a_movie(), tmp_path / "m.tif", facts={"frame_rate_hz": -1})
    assert list(tmp_path.iterdir()) == []


def test_the_verb_converts_and_tells_what_the_file_said(tmp_path):
    movie = a_movie()
    np.save(tmp_path / "m.npy", movie)
    facts = ["--recording", "axes=TYX", "frame_rate_hz=7.5", "pixel_size_um=2.0 x 1.5"]
    main(["convert", str(tmp_path / "m.npy"), "--output", str(tmp_path / "m.tif"), "--frames", "3", "20", *facts])
    main(["convert", str(tmp_path / "m.tif"), "--output", str(tmp_path / "m.zarr")])
    opened = cp.open_movie(tmp_path / "m.zarr")
    assert (opened.frame_rate_hz, opened.pixel_size_um) == (7.5, (2.0, 1.5))
    np.testing.assert_array_equal(opened, movie[3:20])


@pytest.mark.parametrize("name", ["ome-tiff", "hdf5", "zarr", "mp4"])
def test_memory_does_not_grow_with_the_movie(tmp_path, name):
    """A movie of 192 MB, whose frames are made as they are asked for, in little more than one of 24 MB."""
    code = (
        "import json, resource, sys\nimport numpy as np\nimport caiman_pipeline as cp\n"
        "class Endless:\n"
        "    dtype, dims = np.dtype(np.uint8), (512, 512)\n"
        "    def __init__(self, n): self.n_frames, self.shape = n, (n, 512, 512)\n"
        "    def __getitem__(self, key): return np.full((key.stop - key.start, 512, 512), 7, np.uint8)\n"
        "peaks = []\n"
        "for n in (96, 768):\n"
        "    cp.save_movie(Endless(n), sys.argv[1], format=sys.argv[2], overwrite=True)\n"
        "    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
        "print(json.dumps(peaks))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "m"), name], capture_output=True, text=True, check=True
    )
    short, long = json.loads(done.stdout)
    assert long - short < 60


def test_facts_that_are_not_known_are_not_written(tmp_path):
    with movie_writer(tmp_path / "m.zarr", PLANE, np.dtype(np.uint8)) as append:
        append(a_movie(dtype=np.uint8))
    axes = zarr.open_group(tmp_path / "m.zarr", mode="r").attrs["ome"]["multiscales"][0]["axes"]
    assert not any("unit" in axis for axis in axes)
    assert read_metadata(tmp_path / "m.zarr") == FileMetadata()
