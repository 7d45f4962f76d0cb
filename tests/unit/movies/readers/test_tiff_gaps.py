"""TIFF movies whose writers say too little of their images, or of which images are missing."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from tiff_makers import header, images, opened, write_scanimage, write_set

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.metadata import read_metadata
from caiman_pipeline.movies.readers.open import open_file

DEPTHS = "SI.hFastZ.userZs = [0 25 -50.5]\n"


@pytest.mark.parametrize("back", [0, 1])
def test_planes_whose_depths_a_user_listed_are_told_apart(tmp_path, back):
    pages = images(5 * (3 + back))
    text = header(fast="true", slices=1, per_volume=3 + back, back=back, volumes=5, frames=1)
    write_scanimage(tmp_path / "m.tif", pages, DEPTHS + text)
    np.testing.assert_array_equal(opened(tmp_path / "m.tif")[0], pages.reshape(5, -1, 5, 7)[:, :3])
    assert read_metadata(tmp_path / "m.tif").frame_rate_hz == 6


def test_volumes_of_planes_that_are_not_told_are_asked_about(tmp_path):
    path, pages = tmp_path / "m.tif", images(20)
    write_scanimage(path, pages, header(fast="true", slices=1, per_volume=4, back=1, volumes=5, frames=1))
    with pytest.raises(PipelineError, match=r"4 frames per volume.*TZ4YX.*TC1YX.*`planes`.*1-3"):
        open_file(path)
    assert read_metadata(path).frame_rate_hz is None
    np.testing.assert_array_equal(opened(path, axes="TZ4YX", planes="1-3")[0], pages.reshape(5, 4, 5, 7)[:, :3])
    np.testing.assert_array_equal(opened(path, axes="TC1YX")[0], pages)


def test_one_plane_that_a_drive_holds_is_a_plain_movie(tmp_path):
    for stated in ({"per_volume": 1}, {"per_volume": 20, "frames": 20}, {"per_volume": 21, "frames": 20, "back": 1}):
        write_scanimage(tmp_path / "m.tif", images(20), header(fast="true", slices=1, **stated))
        np.testing.assert_array_equal(opened(tmp_path / "m.tif")[0], images(20))
        assert read_metadata(tmp_path / "m.tif").frame_rate_hz == 30


@pytest.mark.parametrize("full", [True, False])
def test_an_ome_set_of_which_a_frame_is_missing_is_told(tmp_path, full):
    paths = write_set(tmp_path, images(6), [(t, 0, 0) for t in range(6)], size=(6, 1, 1), full=full)
    frames, notes = opened(*paths)
    np.testing.assert_array_equal(frames, images(6))
    assert notes == ()
    frames, notes = opened(*paths[:3], *paths[4:])
    np.testing.assert_array_equal(frames, images(6)[[0, 1, 2, 4, 5]])
    assert notes == (f"{paths[0].name}: 6 images are announced by OME-XML, 5 are there, and those are read",)


def test_times_of_which_no_image_is_there_are_told(tmp_path):
    places = [(t, 0, c) for t in range(6) for c in range(2)]
    pages = images(12)
    paths = write_set(tmp_path, pages, places, size=(6, 1, 2), names=("Ch1", "Ch2"))
    assert opened(*paths, channel="Ch2")[1] == ()
    frames, notes = opened(*(p for p, (t, _, _) in zip(paths, places, strict=True) if t not in (2, 3)), channel="Ch2")
    np.testing.assert_array_equal(frames, pages[1::2][[0, 1, 4, 5]])
    assert "images of 2 times are not in the files listed, the first after time 1" in notes[0]


def test_frames_that_a_writer_called_channels_are_read_as_the_message_says(tmp_path):
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, images(40), imagej=True)  # axes that are not named are channels there
    with pytest.raises(
        PipelineError, match=r"40 channels: 1, 2, .*12, \.\.\.\..*`channel` column.*TC1YX under `axes`"
    ) as found:
        open_file(path)
    assert "13" not in str(found.value)
    np.testing.assert_array_equal(opened(path, axes="TC1YX")[0], images(40))


@pytest.mark.parametrize("axes", ["YXT", "XYT", "TXY", "YTX", "TZXY"])
def test_axes_that_a_writer_names_in_another_order_are_used(tmp_path, axes):
    movie = images(48, 5, 7).reshape(12, 4, 5, 7)[:, : 4 if "Z" in axes else 1]
    movie = movie if "Z" in axes else movie[:, 0]
    own = "TZYX" if "Z" in axes else "TYX"
    stored = movie.transpose([own.index(letter) for letter in axes])
    tifffile.imwrite(tmp_path / "m.tif", stored, photometric="minisblack", metadata={"axes": axes})
    np.testing.assert_array_equal(opened(tmp_path / "m.tif")[0], movie)
    np.testing.assert_array_equal(opened(tmp_path / "m.tif", axes=axes)[0], movie)
