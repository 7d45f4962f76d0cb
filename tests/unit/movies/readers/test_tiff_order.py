"""Channels, planes and counts of TIFF movies: what the files say is used, what they do not say is asked for."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from tiff_makers import (
    header,
    images,
    ome_xml,
    opened,
    write_described,
    write_equidistant,
    write_scanimage,
    write_set,
)

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Reading
from caiman_pipeline.movies.metadata import read_metadata
from caiman_pipeline.movies.readers.open import open_file, open_movie_files


def split(tmp_path, pages, text, *cuts, **options):
    paths = []
    for i, part in enumerate(np.split(pages, cuts)):
        paths.append(tmp_path / f"m_{i + 1:05d}.tif")
        write_scanimage(paths[-1], part, text, **options)
    return paths


@pytest.mark.parametrize("saved", ["[1 3]", "[1;3]", "[1, 3]"])
def test_scanimage_channels_are_told_apart_and_chosen_by_its_own_numbers_and_names(tmp_path, saved):
    pages = images(12).reshape(6, 2, 5, 7)
    path = tmp_path / "m.tif"
    write_scanimage(path, pages.reshape(-1, 5, 7), header(channels=saved))
    with pytest.raises(PipelineError, match=r"m\.tif: holds 2 channels: 1, 3 \(GCaMP\)\..*`channel` column"):
        open_file(path)
    for channel, at in (("1", 0), ("3", 1), ("gcamp", 1)):
        np.testing.assert_array_equal(opened(path, channel=channel)[0], pages[:, at])
    np.testing.assert_array_equal(opened(path, channel="3", axes="TYX")[0], pages[:, 1])
    np.testing.assert_array_equal(opened(path, channel="3", axes="TCYX")[0], pages[:, 1])
    with pytest.raises(PipelineError, match=r"`channel` is '2', but the file's channels are 1, 3"):
        open_file(path, channel="2")


@pytest.mark.parametrize(
    ("axes", "reason"),
    [
        ("TYX", "holds 2 channels"),
        ("TXY", "holds 2 channels"),
        ("TZYX", "TZ2YX"),
        ("ZTYX", "If ScanImage's header is wrong"),
    ],
)
def test_no_letters_turn_stated_channels_into_frames_or_planes(tmp_path, axes, reason):
    path = tmp_path / "m.tif"
    write_scanimage(path, images(12), header(channels="[1 2]"))
    with pytest.raises(PipelineError, match=rf"(?=.*`channel` column).*{reason}"):
        open_file(path, axes)


@pytest.mark.parametrize("axes", ["TYX", "ZTYX", "TCYX", "TZCYX"])
def test_no_letters_turn_stated_planes_into_frames(tmp_path, axes):
    path = tmp_path / "m.tif"
    write_scanimage(path, images(12), header(fast="true", slices=3, per_volume=4, back=1, frames=1))
    if axes == "TZCYX":
        assert opened(path, axes=axes)[0].shape == (3, 3, 5, 7)
        return
    with pytest.raises(PipelineError, match=r"ScanImage's header.*how many images take turns"):
        open_file(path, axes)
    assert opened(path, axes="TYX", planes="2")[0].shape == (3, 5, 7)


def test_a_single_channel_of_another_number_is_read_and_no_other_is_taken_for_it(tmp_path):
    path = tmp_path / "m.tif"
    write_scanimage(path, images(6), header(channels="2"))
    np.testing.assert_array_equal(opened(path)[0], images(6))
    np.testing.assert_array_equal(opened(path, channel="2")[0], images(6))
    with pytest.raises(PipelineError, match="`channel` is '1', but the file's channel is 2"):
        open_file(path, channel="1")


def test_a_header_that_is_wrong_can_be_overruled_with_numbers(tmp_path):
    path = tmp_path / "m.tif"
    write_scanimage(path, images(12), header(channels="[1 2]"))
    np.testing.assert_array_equal(opened(path, axes="TC1YX")[0], images(12))
    np.testing.assert_array_equal(opened(path, axes="TZ3YX")[0], images(12).reshape(4, 3, 5, 7))


FAST = {
    "channels": "[1 2 4]",
    "fast": "true",
    "per_volume": 6,
    "back": 2,
    "discard": "true",
    "volumes": 7,
    "slices": 4,
    "frames": 1,
}


@pytest.mark.parametrize("cuts", [(), (18,), (5, 40, 41, 100)])
def test_planes_and_channels_go_on_from_file_to_file_and_the_way_back_is_left_out(tmp_path, cuts):
    pages = images(7 * 6 * 3).reshape(7, 6, 3, 5, 7)
    paths = split(tmp_path, pages.reshape(-1, 5, 7), header(**FAST), *cuts)
    frames, notes = opened(*paths, channel="4")
    np.testing.assert_array_equal(frames, pages[:, :4, 2])
    assert notes == ()
    np.testing.assert_array_equal(opened(*paths, channel="2", planes="2-4")[0], pages[:, 1:4, 1])
    np.testing.assert_array_equal(opened(*paths, channel="1", planes="3")[0], pages[:, 2, 0])
    with pytest.raises(PipelineError, match="planes 1 to 4"):
        open_movie_files(paths, Reading(channel="1", planes="1-5"))


def test_an_acquisition_that_was_stopped_within_a_volume_keeps_what_is_whole(tmp_path):
    """Two images lack of the last volume's planes; of its third plane and of its first channel nothing does."""
    pages, shaped = images(7 * 6 * 3), images(7 * 6 * 3).reshape(7, 6, 3, 5, 7)
    paths = split(tmp_path, pages[: 18 * 6 + 10], header(**FAST), 50)
    frames, notes = opened(*paths, channel="4")
    np.testing.assert_array_equal(frames, shaped[:6, :4, 2])
    assert "126 images are announced by ScanImage's header, 118 are there" in notes[0]
    assert "unfinished (10 of 18 images), its frame is left out" in notes[1]
    np.testing.assert_array_equal(opened(*paths, channel="4", planes="3")[0], shaped[:, 2, 2])
    np.testing.assert_array_equal(opened(*paths, channel="1")[0], shaped[:, :4, 0])
    assert "left out" not in opened(*paths, channel="1")[1][1]
    with pytest.raises(PipelineError, match="less than one turn"):
        open_movie_files(split(tmp_path, pages[:5], header(**FAST)), Reading(channel="1"))


@pytest.mark.parametrize("other", [{"acquisition": 2}, {"epoch": "[2024 1 2 10 0 5]"}])
def test_acquisitions_that_were_started_anew_begin_with_the_first_plane_again(tmp_path, other):
    text = header(fast="true", per_volume=4, back=1, discard="true", slices=3, volumes=9, frames=1)
    first = {"epoch": "[2024 1 2 9 0 5]"} if "epoch" in other else {}
    write_scanimage(tmp_path / "a_1.tif", images(10), text, **first)
    write_scanimage(tmp_path / "a_2.tif", images(9) + 1000, text, **other)
    frames, notes = opened(tmp_path / "a_1.tif", tmp_path / "a_2.tif")
    volumes = [images(8).reshape(2, 4, 5, 7), images(8).reshape(2, 4, 5, 7) + 1000]
    np.testing.assert_array_equal(frames, np.concatenate(volumes)[:, :3])
    assert sum("unfinished" in note for note in notes) == 2


def test_volumes_have_the_rate_of_volumes_also_where_one_plane_is_read(tmp_path):
    path = tmp_path / "m.tif"
    write_scanimage(path, images(8), header(fast="true", per_volume=4, back=1, discard="true", slices=3, frames=1))
    assert read_metadata(path).frame_rate_hz == 6
    write_scanimage(path, images(8), header())
    assert read_metadata(path).frame_rate_hz == 30


@pytest.mark.parametrize(
    ("stated", "back"),
    [
        ({"per_volume": 4, "back": 1, "discard": "true"}, 1),
        ({"per_volume": 4, "back": 1, "discard": "false"}, 1),
        ({"per_volume": 3, "back": 0}, 0),
        ({"per_volume": 3, "back": 1, "discard": "true"}, 0),  # not written in that version: it counts what it wrote
        ({"per_volume": 1, "back": 1, "discard": "true"}, 1),  # no volume in what it counts
        ({"per_volume": 4, "back": 1, "discard": "true", "frames": 120}, 1),  # left from before
    ],
)
def test_what_is_written_on_the_way_back_follows_from_the_header(tmp_path, stated, back):
    pages = images(5 * (3 + back))
    write_scanimage(tmp_path / "m.tif", pages, header(fast="true", slices=3, volumes=5, **{"frames": 1, **stated}))
    np.testing.assert_array_equal(opened(tmp_path / "m.tif")[0], pages.reshape(5, -1, 5, 7)[:, :3])


def test_a_header_that_contradicts_itself_is_asked_about(tmp_path):
    path = tmp_path / "m.tif"
    write_scanimage(path, images(30), header(fast="true", slices=3, per_volume=5, back=1, discard="true", frames=1))
    with pytest.raises(PipelineError, match=r"3 slices and 1 flyback frames, but 5 frames per volume.*TZ5YX.*`planes`"):
        open_file(path)
    np.testing.assert_array_equal(opened(path, axes="TZ5YX", planes="1-3")[0], images(30).reshape(6, 5, 5, 7)[:, :3])


NEWER = (
    "SI.VERSION_MAJOR = 2022\nSI.hChannels.channelSave = 1\nSI.hFastZ.enable = {fast}\n"
    "SI.hStackManager.enable = {on}\nSI.hStackManager.stackMode = '{mode}'\nSI.hStackManager.numSlices = 11\n"
    "SI.hStackManager.actualNumSlices = {slices}\nSI.hStackManager.framesPerSlice = {frames}\n"
    "SI.hStackManager.numFramesPerVolume = {shown}\nSI.hStackManager.numFramesPerVolumeWithFlyback = {written}\n"
    "SI.hStackManager.actualNumVolumes = 4"
)


def test_newer_scanimage_states_planes_and_way_back_of_its_own(tmp_path):
    path = tmp_path / "m.tif"
    values = {"fast": "true", "on": "true", "mode": "fast", "slices": 3, "frames": 1, "shown": 3, "written": 5}
    write_scanimage(path, images(20), NEWER.format(**values))
    np.testing.assert_array_equal(opened(path)[0], images(20).reshape(4, 5, 5, 7)[:, :3])
    off = values | {"fast": "false", "on": "false", "slices": 1, "shown": 1, "written": 1, "frames": "Inf"}
    write_scanimage(path, images(20), NEWER.format(**off))
    np.testing.assert_array_equal(opened(path)[0], images(20))


def test_of_planes_taken_one_after_the_other_one_is_chosen(tmp_path):
    """A slow stack: all frames of a plane come before the next plane."""
    path = tmp_path / "m.tif"
    write_scanimage(path, images(24), header(slices=3, frames=4, channels="[1 2]"))
    with pytest.raises(PipelineError, match=r"4 frames of each plane before the next.*`planes` column"):
        open_file(path, channel="2")
    np.testing.assert_array_equal(opened(path, channel="2", planes="3")[0], images(24).reshape(3, 4, 2, 5, 7)[2, :, 1])


@pytest.mark.parametrize("average", [1, 3])
def test_a_count_that_is_announced_and_not_there_is_a_warning(tmp_path, average):
    write_scanimage(tmp_path / "m.tif", images(20), header(frames=3000, average=average))
    frames, notes = opened(tmp_path / "m.tif")
    np.testing.assert_array_equal(frames, images(20))
    assert notes == (
        f"m.tif: {3000 // average} images are announced by ScanImage's header, 20 are there, and those are read",
    )
    write_scanimage(tmp_path / "m.tif", images(20), header(frames=20 * average, average=average))
    assert opened(tmp_path / "m.tif")[1] == ()
    paths = split(tmp_path, images(20), header(frames=20 * average, average=average), 8, 16)
    assert opened(*paths)[1] == ()


OLD = {
    "state": "state.configName='a'\rstate.software.version=3.8\rstate.acq.numberOfFrames={n}\r"
    "state.acq.numberOfZSlices=1\rstate.acq.frameRate=3.9\rstate.acq.averaging=0\rstate.acq.savingChannel1={one}\r"
    "state.acq.savingChannel2=1\rstate.acq.savingChannel3=0\r",
    "SI4": "Frame Number = 1\nscanimage.SI4.acqNumFrames = {n}\nscanimage.SI4.channelsSave = {saved}\n"
    "scanimage.SI4.fastZEnable = 0\nscanimage.SI4.stackNumSlices = 1\n",
    "SI5": "scanimage.SI5.channelsSave = {saved}\nscanimage.SI5.fastZEnable = false\n"
    "scanimage.SI5.acqNumFrames = {n}\n",
    "2015": "frameNumbers = 1\nscanimage.SI.hChannels.channelSave = {saved}\nscanimage.SI.hFastZ.enable = false\n"
    "scanimage.SI.hStackManager.framesPerSlice = {n}\nscanimage.SI.hStackManager.numSlices = 1\n",
}


@pytest.mark.parametrize("version", OLD)
def test_no_frame_of_older_scanimage_files_is_lost_and_channels_are_told_apart(tmp_path, version):
    paths = []
    for i, part in enumerate(np.split(images(120), 3)):
        paths.append(tmp_path / f"run_{i + 1:03d}.tif")
        write_equidistant(paths[-1], part, OLD[version].format(n=120, one=0, saved="2"))
    frames, notes = opened(*paths)
    np.testing.assert_array_equal(frames, images(120))
    assert notes == ()
    for path, part in zip(paths, np.split(images(120), 3), strict=True):
        write_equidistant(path, part, OLD[version].format(n=60, one=1, saved="[1;2]"))
    with pytest.raises(PipelineError, match="holds 2 channels: 1, 2"):
        open_movie_files(paths, Reading())
    np.testing.assert_array_equal(opened(*paths, channel="2")[0], images(120)[1::2])


def test_fast_stacks_of_scanimage_4_are_volumes(tmp_path):
    text = (
        "scanimage.SI4.channelsSave = 1\nscanimage.SI4.fastZEnable = 1\nscanimage.SI4.stackNumSlices = 3\n"
        "scanimage.SI4.fastZDiscardFlybackFrames = false\nscanimage.SI4.fastZPeriod = 0.25\n"
    )
    write_equidistant(tmp_path / "m.tif", images(15), text)
    np.testing.assert_array_equal(opened(tmp_path / "m.tif")[0], images(15).reshape(5, 3, 5, 7))
    assert read_metadata(tmp_path / "m.tif").frame_rate_hz == 4


IMAGEJ = "ImageJ=1.53t\nimages={n}\n{more}loop=false\n"


@pytest.mark.parametrize("order", ["czt", "zct", "ctz"])
def test_imagej_stacks_follow_the_order_that_they_state(tmp_path, order):
    more = f"channels=2\nslices=3\nframes=4\nhyperstack=true\norder={order}\n"
    size = {"c": 2, "z": 3, "t": 4}
    pages = images(24, dtype=np.uint16)
    write_described(tmp_path / "m.tif", pages, IMAGEJ.format(n=24, more=more))
    shaped = pages.reshape(*(size[letter] for letter in reversed(order)), 5, 7)
    shaped = np.moveaxis(shaped, [order[::-1].index(letter) for letter in "tzc"], [0, 1, 2])
    with pytest.raises(PipelineError, match="holds 2 channels: 1, 2"):
        open_file(tmp_path / "m.tif")
    np.testing.assert_array_equal(opened(tmp_path / "m.tif", channel="2")[0], shaped[:, :, 1])
    np.testing.assert_array_equal(opened(tmp_path / "m.tif", channel="1", planes="3")[0], shaped[:, 2, 0])


def test_pieces_of_imagej_stacks_that_announce_the_whole_are_read_with_a_warning(tmp_path):
    pages = images(6, dtype=np.uint16)
    said = IMAGEJ.format(n=120, more="frames=120\nhyperstack=true\n")
    write_described(tmp_path / "half.tif", pages, said)
    frames, notes = opened(tmp_path / "half.tif")
    np.testing.assert_array_equal(frames, pages)
    assert notes == ("half.tif: 120 images are announced by ImageJ's description, 6 are there, and those are read",)
    for more in ("slices=120\n", "channels=2\nslices=3\nframes=20\nhyperstack=true\n"):
        singles = [tmp_path / f"frame_{i:04d}.tif" for i in range(6)]
        for path, page in zip(singles, pages, strict=True):
            tifffile.imwrite(path, page, description=IMAGEJ.format(n=120, more=more), metadata=None)
        frames, notes = opened(*singles)
        np.testing.assert_array_equal(frames, pages)
        assert notes[0].startswith("frame_0000.tif: 120 images are announced")
        assert "5 more files" in notes[0]
    write_described(tmp_path / "volumes.tif", pages, IMAGEJ.format(n=40, more="slices=4\nframes=10\n"))
    frames, notes = opened(tmp_path / "volumes.tif")
    np.testing.assert_array_equal(frames, pages[None, :4])
    assert "unfinished (2 of 4 images)" in notes[1]


def test_an_imagej_stack_of_planes_or_frames_is_asked_about_without_a_circle(tmp_path):
    pages = images(12, dtype=np.uint16)
    write_described(tmp_path / "m.tif", pages, IMAGEJ.format(n=12, more="slices=12\n"))
    with pytest.raises(PipelineError, match=r"calls its axes 'ZYX'.*which of them is time.*`axes` column"):
        open_file(tmp_path / "m.tif")
    np.testing.assert_array_equal(opened(tmp_path / "m.tif", axes="TYX")[0], pages)
    np.testing.assert_array_equal(opened(tmp_path / "m.tif", axes="TZ4YX")[0], pages.reshape(3, 4, 5, 7))
    np.testing.assert_array_equal(opened(tmp_path / "m.tif", axes="ZYX")[0], pages[None])


def test_time_and_planes_that_were_swapped_are_read_as_the_sheet_says(tmp_path):
    pages = images(12, dtype=np.uint16)
    write_described(tmp_path / "m.tif", pages, IMAGEJ.format(n=12, more="slices=4\nframes=3\nhyperstack=true\n"))
    np.testing.assert_array_equal(opened(tmp_path / "m.tif")[0], pages.reshape(3, 4, 5, 7))
    np.testing.assert_array_equal(opened(tmp_path / "m.tif", axes="ZTYX")[0], pages.reshape(3, 4, 5, 7).swapaxes(0, 1))


def test_plain_pages_take_turns_as_the_sheet_says(tmp_path):
    pages = images(24)
    paths = [tmp_path / "a.tif", tmp_path / "b.tif"]
    for path, part in zip(paths, np.split(pages, [7]), strict=True):
        write_described(path, part, "a camera")
    np.testing.assert_array_equal(opened(*paths)[0], pages)
    np.testing.assert_array_equal(opened(*paths, axes="TYX")[0], pages)
    np.testing.assert_array_equal(opened(*paths, axes="TXY")[0], pages.swapaxes(1, 2))
    shaped = pages.reshape(4, 3, 2, 5, 7)
    np.testing.assert_array_equal(opened(*paths, axes="TZ3C2YX", channel="2")[0], shaped[:, :, 1])
    np.testing.assert_array_equal(opened(*paths, axes="TC2YX", channel="1")[0], pages[::2])
    for axes in ("TZYX", "TCYX", "TZCYX"):
        with pytest.raises(PipelineError, match="say how many, for example TZ4YX or TC2YX"):
            open_movie_files(paths, Reading(axes))
    with pytest.raises(PipelineError, match="leaves one without a number"):
        open_movie_files(paths, Reading("TZC2YX"))


def test_rows_and_columns_may_lie_across_the_pages(tmp_path):
    """An array of rows, columns, time, saved as if its rows were frames."""
    movie = images(30, 5, 7)
    tifffile.imwrite(tmp_path / "m.tif", np.moveaxis(movie, 0, -1), photometric="minisblack")
    np.testing.assert_array_equal(opened(tmp_path / "m.tif", axes="YXT")[0], movie)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_colours_of_a_movie_are_channels(tmp_path, planar, compression):
    movie = images(4 * 3, dtype=np.uint16).reshape(4, 3, 5, 7)
    stored = np.moveaxis(movie, 1, -1) if planar == "contig" else movie
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, stored, photometric="rgb", planarconfig=planar, compression=compression)
    with pytest.raises(PipelineError, match=r"holds 3 channels: 1 \(red\), 2 \(green\), 3 \(blue\)"):
        open_file(path)
    for channel, at in (("blue", 2), ("1", 0)):
        np.testing.assert_array_equal(opened(path, channel=channel)[0], movie[:, at])
    for axes in ("TYX", "TYXC", "TYXS", "TCYX", "TSYX"):
        np.testing.assert_array_equal(opened(path, axes=axes, channel="2")[0], movie[:, 1])
    with pytest.raises(PipelineError, match="colours"):
        open_file(path, "TZYX")
    singles = [tmp_path / f"frame_{i}.tif" for i in range(4)]
    for single, page in zip(singles, stored, strict=True):
        tifffile.imwrite(single, page, photometric="rgb", planarconfig=planar, compression=compression)
    np.testing.assert_array_equal(opened(*singles, channel="2")[0], movie[:, 1])


@pytest.mark.parametrize("order", ["XYCZT", "XYZCT", "XYZTC", "XYTCZ"])
def test_ome_images_are_put_in_the_order_that_they_state(tmp_path, order):
    size = {"T": 4, "Z": 3, "C": 2}
    pages = images(24)
    xml = ome_xml("<TiffData/>", order=order, size=(4, 3, 2), names=("red", "green"))
    write_described(tmp_path / "m.ome.tif", pages, xml)
    letters = order[:1:-1]
    shaped = pages.reshape(*(size[letter] for letter in letters), 5, 7)
    shaped = np.moveaxis(shaped, [letters.index(letter) for letter in "TZC"], [0, 1, 2])
    with pytest.raises(PipelineError, match=r"holds 2 channels: 1 \(red\), 2 \(green\)"):
        open_file(tmp_path / "m.ome.tif")
    np.testing.assert_array_equal(opened(tmp_path / "m.ome.tif", channel="green")[0], shaped[:, :, 1])
    np.testing.assert_array_equal(opened(tmp_path / "m.ome.tif", channel="1", planes="2")[0], shaped[:, 1, 0])
    write_described(tmp_path / "m.ome.tif", pages[:20], xml)
    if order == "XYZCT":
        frames, notes = opened(tmp_path / "m.ome.tif", channel="1")
        np.testing.assert_array_equal(frames, shaped[:3, :, 0])
        assert any("24 images are announced by OME-XML, 20 are there" in note for note in notes)


def test_ome_images_may_be_listed_one_by_one(tmp_path):
    """As Micro-Manager lists them: each page with its own place, in the order in which they were taken."""
    pages = images(12)
    places = [(t, c) for t in range(6) for c in ((0, 1) if t % 2 else (1, 0))]
    blocks = "".join(f'<TiffData IFD="{i}" FirstT="{t}" FirstC="{c}"/>' for i, (t, c) in enumerate(places))
    write_described(tmp_path / "m.ome.tif", pages, ome_xml(blocks, size=(6, 1, 2)))
    expected = pages[[places.index((t, 1)) for t in range(6)]]
    np.testing.assert_array_equal(opened(tmp_path / "m.ome.tif", channel="2")[0], expected)


@pytest.mark.parametrize("full", [True, False])
def test_files_of_an_ome_set_are_put_in_order_by_what_its_xml_says(tmp_path, full):
    places = [(t, z, c) for c in range(2) for z in range(3) for t in range(4)]
    pages = images(24)
    paths = write_set(tmp_path, pages, places, size=(4, 3, 2), full=full, names=("Ch1", "Ch2"))
    shaped = pages.reshape(2, 3, 4, 5, 7)
    with pytest.raises(PipelineError, match=r"holds 2 channels: 1 \(Ch1\), 2 \(Ch2\)"):
        open_movie_files(paths, Reading())
    np.testing.assert_array_equal(opened(*paths, channel="Ch2")[0], shaped[1].swapaxes(0, 1))
    np.testing.assert_array_equal(opened(*paths[12:])[0], shaped[1].swapaxes(0, 1), "one channel is listed")
    np.testing.assert_array_equal(opened(*paths[4:8])[0], shaped[0, 1], "one plane of one channel is listed")
    with pytest.raises(PipelineError, match=r"the image of time 1, plane 2 is not in the files"):
        open_movie_files([p for p in paths if p.name != "m_t001_z1_c0.ome.tif"], Reading(channel="1"))
    frames, notes = opened(*(p for p in paths if p.name != "m_t003_z2_c0.ome.tif"), channel="1")
    np.testing.assert_array_equal(frames, shaped[0].swapaxes(0, 1)[:3])
    assert any("unfinished" in note for note in notes)


def test_one_appended_series_after_the_other_keeps_its_volumes(tmp_path):
    volumes = images(36).reshape(6, 3, 2, 5, 7)[:, :, 0]
    for start, stop in ((0, 2), (2, 3), (3, 6)):
        tifffile.imwrite(
            tmp_path / "m.tif",
            volumes[start:stop],
            append=start > 0,
            metadata={"axes": "TZYX"},
            photometric="minisblack",
        )
    np.testing.assert_array_equal(opened(tmp_path / "m.tif")[0], volumes)


def test_a_stack_that_was_cut_between_pages_by_its_writer_keeps_its_pages(tmp_path):
    """The last page written points to the next, which is not there: the program ended before it was written."""
    path = tmp_path / "m.tif"
    write_equidistant(path, images(9), "a camera")
    step = (path.stat().st_size - 8) // 9
    data = path.read_bytes()
    path.write_bytes(data[: 8 + 5 * step])
    frames, notes = opened(path)
    np.testing.assert_array_equal(frames, images(5))
    assert "was not closed" in notes[0]
    tifffile.imwrite(tmp_path / "ends.tif", images(9), photometric="minisblack")
    with tifffile.TiffFile(tmp_path / "ends.tif") as file:
        directories = [page.offset for page in file.pages]
    (tmp_path / "ends.tif").write_bytes((tmp_path / "ends.tif").read_bytes()[: directories[4]])
    with pytest.raises(PipelineError, match=r"ends\.tif"):
        open_file(tmp_path / "ends.tif")  # the images of pages whose directories are lost are there
    for more in (7, 150, step - 3):
        path.write_bytes(data[: 8 + 5 * step + more])
        with pytest.raises(PipelineError, match=r"m\.tif: the file is cut short"):
            open_file(path)


def test_thumbnails_are_no_frames(tmp_path):
    with tifffile.TiffWriter(tmp_path / "m.tif") as writer:
        writer.write(images(4), metadata=None, photometric="minisblack")
        writer.write(images(1)[0, ::2, ::2], subfiletype=1, metadata=None)
    np.testing.assert_array_equal(opened(tmp_path / "m.tif")[0], images(4))
