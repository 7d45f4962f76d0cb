"""Movies as other tools write them: NumPy archives, MATLAB, NWB, Scanbox, suite2p, CaImAn."""

from __future__ import annotations

from datetime import UTC, datetime

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO, NWBFile
from pynwb.image import ImageSeries
from pynwb.ophys import OpticalChannel, TwoPhotonSeries
from roiextractors import SbxImagingExtractor
from scipy.io import savemat

import caiman_pipeline as cp
from caiman_pipeline.batch.starter import look_through
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.metadata import read_metadata
from caiman_pipeline.movies.readers.open import open_file

RNG = np.random.default_rng(5)
FRAMES = RNG.integers(0, 999, (13, 7, 12), dtype=np.uint16)
VOLUMES = RNG.integers(0, 999, (5, 3, 7, 12), dtype=np.uint16)


def assert_reads(reader, expected):
    """All frames, some of them, and one again that lies before."""
    assert (reader.n_frames, reader.dims) == (len(expected), expected.shape[1:])
    np.testing.assert_array_equal(reader.read(0, len(expected)), expected)
    np.testing.assert_array_equal(reader.read(2, 4), expected[2:4])
    assert reader.read(1, 2).dtype == reader.dtype == expected.dtype


# NumPy archives


@pytest.mark.parametrize("order", ["C", "F"])
def test_npz(tmp_path, order):
    np.savez(tmp_path / "m.npz", mask=np.ones((7, 12)), movie=np.asarray(FRAMES.transpose(1, 2, 0), order=order))
    assert_reads(open_file(tmp_path / "m.npz", "YXT"), FRAMES)
    np.savez(tmp_path / "two.npz", a=FRAMES, b=FRAMES + 1)
    with pytest.raises(PipelineError, match=r"name the dataset.*a .*b "):
        open_file(tmp_path / "two.npz", "TYX")
    assert_reads(open_file(tmp_path / "two.npz", "TYX", "b"), FRAMES + 1)


def test_npz_that_cannot_be_read_in_pieces_or_at_all(tmp_path):
    np.savez_compressed(tmp_path / "m.npz", movie=FRAMES)
    with pytest.raises(PipelineError, match="'movie' is compressed as a whole"):
        open_file(tmp_path / "m.npz", "TYX")
    np.savez(tmp_path / "o.npz", movie=np.array([{}], dtype=object))
    with pytest.raises(PipelineError, match="Python objects, which are never loaded"):
        open_file(tmp_path / "o.npz", "TYX")
    np.savez(tmp_path / "whole.npz", movie=FRAMES)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-700])
    with pytest.raises(PipelineError, match=r"cut\.npz: not a whole \.npz archive"):
        open_file(tmp_path / "cut.npz", "TYX")


# MATLAB


@pytest.mark.parametrize("compressed", [True, False])
def test_mat_of_version_5(tmp_path, compressed):
    variables = {"mov": FRAMES.transpose(1, 2, 0), "rate": 30.0, "name": "mouse"}
    savemat(tmp_path / "m.mat", variables, do_compression=compressed)
    assert_reads(open_file(tmp_path / "m.mat", "YXT"), FRAMES)
    with pytest.raises(PipelineError, match="which of them is time"):
        open_file(tmp_path / "m.mat")
    (tmp_path / "cut.mat").write_bytes((tmp_path / "m.mat").read_bytes()[:100])
    with pytest.raises(PipelineError, match=r"cut\.mat: not a readable MATLAB file"):
        open_file(tmp_path / "cut.mat", "YXT")


def test_mat_of_version_73(tmp_path):
    with h5py.File(tmp_path / "m.mat", "w", userblock_size=512) as file:
        # MATLAB's mov(row, column, plane, frame) is stored in reverse.
        file["mov"] = VOLUMES.transpose(0, 1, 3, 2)
        file["mov"].attrs["MATLAB_class"] = np.bytes_("uint16")
    assert_reads(open_file(tmp_path / "m.mat", "YXZT"), VOLUMES)
    with pytest.raises(PipelineError, match="letters alone"):
        open_file(tmp_path / "m.mat", "TZ3YX")


def test_what_is_written_for_matlab_is_read_as_matlab_shows_it(tmp_path):
    cp.save_movie(VOLUMES, tmp_path / "m.mat")
    assert_reads(open_file(tmp_path / "m.mat", "YXZT"), VOLUMES)


# NWB


def write_nwb(path, series):
    file = NWBFile("s", path.name, datetime(2024, 5, 17, tzinfo=UTC))
    channel = OpticalChannel(name="c", description="c", emission_lambda=520.0)
    plane = file.create_imaging_plane(
        name="p",
        optical_channel=channel,
        description="p",
        device=file.create_device("d"),
        excitation_lambda=920.0,
        indicator="GCaMP6f",
        location="V1",
    )
    for name, facts in series.items():
        file.add_acquisition(TwoPhotonSeries(name=name, imaging_plane=plane, unit="n.a.", **facts))
    with NWBHDF5IO(path, "w") as io:
        io.write(file)
    return path


def test_nwb(tmp_path):
    path = write_nwb(tmp_path / "m.nwb", {"Green": {"data": FRAMES.transpose(0, 2, 1), "rate": 15.5}})
    assert_reads(open_file(path), FRAMES)
    assert read_metadata(path).frame_rate_hz == 15.5
    # Written in another order than the standard's: the sheet says so.
    assert_reads(open_file(path, "TYX"), FRAMES.transpose(0, 2, 1))
    movie = cp.open_movie(path)
    assert (movie.shape, movie.frame_rate_hz) == (FRAMES.shape, 15.5)


def test_nwb_of_volumes_several_series_and_time_stamps(tmp_path):
    times = np.arange(5) / 4.0 + 10
    facts = {"data": VOLUMES.transpose(0, 3, 2, 1), "timestamps": times}
    path = write_nwb(tmp_path / "m.nwb", {"Green": facts, "Red": {"data": FRAMES.transpose(0, 2, 1), "rate": 30.0}})
    with pytest.raises(PipelineError, match=r"name the dataset.*acquisition/Green.*acquisition/Red"):
        open_file(path)
    for name in ("Green", "acquisition/Green", "/acquisition/Green/data"):
        assert_reads(open_file(path, None, name), VOLUMES)
    assert read_metadata(path, "Green").frame_rate_hz == 4.0


def test_nwb_that_names_other_files_or_holds_no_movie(tmp_path):
    file = NWBFile("s", "i", datetime(2024, 5, 17, tzinfo=UTC))
    file.add_acquisition(
        ImageSeries(name="V", external_file=["../a.tif"], format="external", timestamps=[0.0, 0.5], unit="n.a.")
    )
    with NWBHDF5IO(tmp_path / "m.nwb", "w") as io:
        io.write(file)
    with pytest.raises(PipelineError, match=r"are in other files: \.\./a\.tif"):
        open_file(tmp_path / "m.nwb")
    (tmp_path / "n.nwb").write_bytes(b"no HDF5")
    with pytest.raises(PipelineError, match="not a whole NWB file"):
        open_file(tmp_path / "n.nwb")


# Scanbox


def write_scanbox(folder, frames, **info):
    """Write frames (t, rows, columns, channels) as Scanbox does: 65535 is dark; the header is a struct `info`."""
    rows, columns = frames.shape[1:3]
    header = {"sz": [rows, columns], "channels": 2, "scanmode": 1, "resfreq": 8000, "recordsPerBuffer": rows}
    header |= {"scanbox_version": 2, "config": {"lines": rows}, **info}
    savemat(folder / "m.mat", {"info": header})
    (65535 - frames).astype("<u2").tofile(folder / "m.sbx")
    return folder / "m.sbx"


def test_scanbox_as_roiextractors_reads_it(tmp_path):
    path = write_scanbox(tmp_path, FRAMES[..., None])
    other = SbxImagingExtractor(path)
    assert_reads(open_file(path), other.get_series(0, 13))
    assert_reads(open_file(path), FRAMES)
    assert read_metadata(path).frame_rate_hz == pytest.approx(other.get_sampling_frequency(), abs=1)
    assert path in look_through(tmp_path).movies
    assert [p.name for p in look_through(tmp_path).movies] == ["m.sbx"]


def test_scanbox_with_two_channels_and_both_ways_of_the_mirror(tmp_path):
    both = np.stack([FRAMES, FRAMES + 50], axis=-1)
    path = write_scanbox(tmp_path, both, channels=1, scanmode=0)
    with pytest.raises(PipelineError, match=r"2 channels: 1 \(green\), 2 \(red\)"):
        open_file(path)
    assert_reads(open_file(path, channel="red"), FRAMES + 50)
    assert read_metadata(path).frame_rate_hz == pytest.approx(8000 * 2 / 7, rel=1e-5)


def test_scanbox_planes_are_asked_for(tmp_path):
    path = write_scanbox(tmp_path, VOLUMES.reshape(15, 7, 12, 1), volscan=1, otwave=[0, 500, 900])
    with pytest.raises(PipelineError, match=r"3 planes in turn.*TZ3YXC"):
        open_file(path)
    assert_reads(open_file(path, "TZ3YXC"), VOLUMES)
    assert read_metadata(path).frame_rate_hz == pytest.approx(8000 / 7 / 3, rel=1e-5)


def test_scanbox_without_header_or_cut_short(tmp_path):
    path = write_scanbox(tmp_path, FRAMES[..., None])
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 10)
    with pytest.raises(PipelineError, match="no whole number of frames of 7 x 12"):
        open_file(path)
    (tmp_path / "m.mat").write_bytes(b"?")
    with pytest.raises(PipelineError, match="not a readable header"):
        open_file(path)
    (tmp_path / "m.mat").unlink()
    with pytest.raises(PipelineError, match=r"m\.mat that says how large"):
        open_file(path)


# suite2p, CaImAn


def test_suite2p_binary_needs_its_size(tmp_path):
    frames = FRAMES.astype(np.int16) - 40
    frames.tofile(tmp_path / "data.bin")
    with pytest.raises(PipelineError, match=r"ops\.npy is a pickle, which is never loaded.*TY512X796"):
        open_file(tmp_path / "data.bin")
    assert_reads(open_file(tmp_path / "data.bin", "TY7X12"), frames)
    with pytest.raises(PipelineError, match="no whole number of int16 frames of 8 x 12"):
        open_file(tmp_path / "data.bin", "TY8X12")
    frames.tofile(tmp_path / "other.bin")
    with pytest.raises(PipelineError, match="numbers without a size or type"):
        open_file(tmp_path / "other.bin", "TY7X12")


@pytest.mark.parametrize("order", ["F", "C"])
@pytest.mark.parametrize("movie", [FRAMES, VOLUMES], ids=["plane", "volume"])
def test_caiman_map(tmp_path, order, movie):
    """A matrix (pixels, frames) whose pixels are in Fortran order, as the format is documented."""
    movie = movie.astype(np.float32)
    sizes = (*movie.shape[-2:], movie.shape[1] if movie.ndim == 4 else 1)
    images = np.moveaxis(movie, 1, -1) if movie.ndim == 4 else movie
    matrix = images.reshape(len(movie), -1, order="F").T
    name = "m_d1_{}_d2_{}_d3_{}".format(*sizes) + f"_order_{order}_frames_{len(movie)}.mmap"
    mapped = np.memmap(tmp_path / name, np.float32, "w+", shape=matrix.shape, order=order)
    mapped[:] = matrix
    mapped.flush()
    assert_reads(open_file(tmp_path / name), movie)
    (tmp_path / name).rename(tmp_path / name.replace("frames_", "frames_1"))
    with pytest.raises(PipelineError, match=r"bytes, but .* by its name"):
        open_file(tmp_path / name.replace("frames_", "frames_1"))
    (tmp_path / "m.mmap").write_bytes(b"1234")
    with pytest.raises(PipelineError, match="in their names"):
        open_file(tmp_path / "m.mmap")


# HDF5


def test_pixels_of_another_file_are_not_read(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(range(240)))
    with h5py.File(tmp_path / "m.h5", "w") as file:
        external = [(str(tmp_path / "secret"), 0, 240)]
        file.create_dataset("mov", (4, 6, 10), "u1", external=external)
    with pytest.raises(PipelineError, match=r"m\.h5: the pixels of /mov are said to be bytes of another file"):
        open_file(tmp_path / "m.h5", "TYX")
