"""TIFF movies as microscopes and ImageJ write them, and damaged ones."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.readers.open import open_file

MOVIE = np.random.default_rng(0).integers(0, 60000, (7, 20, 31), dtype=np.uint16)
COMPRESSIONS = [None, "zlib", "lzw", "zstd"]
REAL = Path("/work/shared/data/formats")


def read_all(path, axes=None):
    reader = open_file(path, axes)
    frames = reader.read(0, reader.n_frames)
    assert frames.shape == (reader.n_frames, *reader.dims)
    assert frames.dtype == reader.dtype
    return frames


def write_pages(path, frames, **options):
    with tifffile.TiffWriter(path) as writer:
        for frame in frames:
            writer.write(frame, contiguous=False, metadata=None, **options)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_every_pixel_type_keeps_its_values(tmp_path, dtype, byteorder, compression):
    values = np.linspace(-30000, 30000, 7 * 20 * 31).reshape(7, 20, 31)
    info = None if dtype == "float32" else np.iinfo(dtype)
    frames = (values if info is None else np.clip(values, info.min, info.max)).astype(dtype)
    tifffile.imwrite(tmp_path / "m.tif", frames, byteorder=byteorder, compression=compression)
    found = read_all(tmp_path / "m.tif")
    np.testing.assert_array_equal(found, frames)
    assert found.dtype == np.dtype(dtype)


def test_full_range_of_unsigned_pixels_stays_positive(tmp_path):
    ramp = np.arange(65536, dtype=np.uint16).reshape(4, 128, 128)
    tifffile.imwrite(tmp_path / "m.tif", ramp, photometric="minisblack")
    found = read_all(tmp_path / "m.tif").astype(np.float32)
    assert (found.min(), found.max()) == (0, 65535)
    assert (np.diff(found.ravel()) == 1).all()


def test_frames_are_read_where_asked(tmp_path):
    for compression in COMPRESSIONS:
        tifffile.imwrite(tmp_path / "m.tif", MOVIE, compression=compression)
        reader = open_file(tmp_path / "m.tif")
        for start, stop in ((0, 1), (2, 5), (6, 7)):
            np.testing.assert_array_equal(reader.read(start, stop), MOVIE[start:stop])


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_all_frames_of_appended_stacks_are_read(tmp_path, compression):
    path = tmp_path / "m.tif"
    for start, stop in ((0, 2), (2, 7)):
        tifffile.imwrite(path, MOVIE[start:stop], append=start > 0, compression=compression)
    with tifffile.TiffFile(path) as file:
        assert len(file.series) == 2
    np.testing.assert_array_equal(read_all(path), MOVIE)
    np.testing.assert_array_equal(open_file(path).read(1, 4), MOVIE[1:4])


def test_single_images_appended_one_by_one_or_to_a_stack_are_frames(tmp_path):
    for frame in MOVIE:
        tifffile.imwrite(tmp_path / "singles.tif", frame, append=(tmp_path / "singles.tif").exists())
    tifffile.imwrite(tmp_path / "stack.tif", MOVIE[:6])
    tifffile.imwrite(tmp_path / "stack.tif", MOVIE[6], append=True)
    for name in ("singles.tif", "stack.tif"):
        np.testing.assert_array_equal(read_all(tmp_path / name), MOVIE)
        np.testing.assert_array_equal(read_all(tmp_path / name, "TYX" if name == "stack.tif" else None), MOVIE)


def test_appended_images_of_another_size_or_type_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "size.tif", MOVIE[:6])
    tifffile.imwrite(tmp_path / "size.tif", MOVIE[:, :15], append=True)
    with pytest.raises(PipelineError, match=r"size\.tif.*\(20, 31\), \(15, 31\)"):
        open_file(tmp_path / "size.tif")
    tifffile.imwrite(tmp_path / "type.tif", MOVIE[:6])
    tifffile.imwrite(tmp_path / "type.tif", MOVIE.astype(np.float32), append=True)
    with pytest.raises(PipelineError, match=r"type\.tif.*uint16, float32"):
        open_file(tmp_path / "type.tif")


def test_imagej_movie_with_a_single_directory_has_all_its_frames(tmp_path):
    """ImageJ writes one directory only above 4 GB; the number of frames is in its description."""
    path = tmp_path / "ij.tif"
    tifffile.imwrite(path, MOVIE, imagej=True, metadata={"axes": "TYX"})
    data = bytearray(path.read_bytes())
    order = ">" if data[:2] == b"MM" else "<"
    directory = struct.unpack(order + "I", data[4:8])[0]
    entries = struct.unpack(order + "H", data[directory : directory + 2])[0]
    following = directory + 2 + 12 * entries
    assert struct.unpack(order + "I", data[following : following + 4])[0] > 0
    data[following : following + 4] = bytes(4)
    path.write_bytes(data)
    np.testing.assert_array_equal(read_all(path), MOVIE)
    path.write_bytes(data[: 8 + MOVIE[0].nbytes * 4])
    with pytest.raises(PipelineError, match=r"ij\.tif"):
        open_file(path)


@pytest.mark.parametrize(
    ("axes", "shape", "column"),
    [("ZYX", (6, 20, 31), "axes"), ("TCYX", (3, 2, 20, 31), "channel"), ("TZCYX", (1, 3, 2, 20, 31), "axes")],
)
def test_imagej_stack_without_a_plain_time_axis_asks(tmp_path, axes, shape, column):
    tifffile.imwrite(tmp_path / "ij.tif", MOVIE[:6].reshape(shape), imagej=True, metadata={"axes": axes})
    with pytest.raises(PipelineError, match=f"`{column}` column"):
        open_file(tmp_path / "ij.tif")


def test_imagej_volumes_and_stacks_named_in_the_sheet_are_read(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", MOVIE[:6].reshape(2, 3, 20, 31), imagej=True, metadata={"axes": "TZYX"})
    np.testing.assert_array_equal(read_all(tmp_path / "v.tif"), MOVIE[:6].reshape(2, 3, 20, 31))
    tifffile.imwrite(tmp_path / "z.tif", MOVIE, imagej=True, metadata={"axes": "ZYX"})
    np.testing.assert_array_equal(read_all(tmp_path / "z.tif", "TYX"), MOVIE)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("axes", ["ZTYX", "CTYX"])
def test_time_behind_another_axis_is_read_frame_by_frame(tmp_path, compression, axes):
    stack = MOVIE[:6].reshape((2, 3, 20, 31) if axes == "ZTYX" else (1, 6, 20, 31))
    tifffile.imwrite(tmp_path / "m.tif", stack, compression=compression, photometric="minisblack")
    expected = stack.transpose(1, 0, 2, 3) if axes == "ZTYX" else stack[0]
    reader = open_file(tmp_path / "m.tif", axes)
    np.testing.assert_array_equal(reader.read(1, 3), expected[1:3])


@pytest.mark.filterwarnings("ignore:.*stored as RGB:DeprecationWarning")
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_colours_are_channels_and_never_planes(tmp_path, compression):
    volume = MOVIE[:6].reshape(2, 3, 20, 31)
    tifffile.imwrite(tmp_path / "m.tif", volume, compression=compression)
    with tifffile.TiffFile(tmp_path / "m.tif") as file:
        assert file.pages[0].shape == (3, 20, 31)
    for axes in ("TZYX", "ZTYX"):
        with pytest.raises(PipelineError, match=r"m\.tif: .*colours.*`channel` column"):
            open_file(tmp_path / "m.tif", axes)
    with pytest.raises(PipelineError, match=r"holds 3 channels: 1 \(red\), 2 \(green\), 3 \(blue\)"):
        open_file(tmp_path / "m.tif")
    for channel in ("2", "green"):
        np.testing.assert_array_equal(open_file(tmp_path / "m.tif", channel=channel).read(0, 2), volume[:, 1])
    np.testing.assert_array_equal(open_file(tmp_path / "m.tif", "TZ3YX").read(0, 2), volume)


def test_single_images_of_another_type_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", MOVIE[0])
    tifffile.imwrite(tmp_path / "m.tif", MOVIE[0].astype(np.int16), append=True)
    with pytest.raises(PipelineError, match=r"m\.tif.*uint16, int16"):
        open_file(tmp_path / "m.tif")


def test_unnamed_axes_are_asked_for(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", MOVIE[None])
    with pytest.raises(PipelineError, match=r"\(1, 7, 20, 31\) needs its axes named"):
        open_file(tmp_path / "m.tif")


def test_single_image_is_one_frame(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", MOVIE[0])
    np.testing.assert_array_equal(read_all(tmp_path / "m.tif"), MOVIE[:1])


def test_each_file_of_an_ome_set_holds_its_own_frames(tmp_path):
    """The first file of such a set describes all of them; each is a row's file of its own."""
    names = [tmp_path / "a.ome.tif", tmp_path / "b.ome.tif"]
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{own}"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="31" SizeY="20" '
        'SizeZ="1" SizeC="1" SizeT="2">'
        '<TiffData IFD="0" FirstT="0"><UUID FileName="a.ome.tif">urn:uuid:{a}</UUID></TiffData>'
        '<TiffData IFD="0" FirstT="1"><UUID FileName="b.ome.tif">urn:uuid:{b}</UUID></TiffData>'
        "</Pixels></Image></OME>"
    )
    ids = ["11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"]
    for name, own, frame in zip(names, ids, MOVIE, strict=False):
        text = xml.format(own=own, a=ids[0], b=ids[1])
        tifffile.imwrite(name, frame, description=text, metadata=None, ome=False)
    with tifffile.TiffFile(names[0]) as file:
        assert file.series[0].shape == (2, 20, 31)
    for name, frame in zip(names, MOVIE, strict=False):
        np.testing.assert_array_equal(read_all(name), frame[None])


@pytest.mark.parametrize("kind", ["contiguous", "pages", "bigtiff", "zlib", "lzw"])
@pytest.mark.parametrize("kept", [0.0008, 0.3, 0.5, 0.8, 0.99])
def test_file_cut_short_is_named_before_anything_is_computed(tmp_path, kind, kept):
    path = tmp_path / "m.tif"
    if kind == "pages":
        write_pages(path, MOVIE)
    else:
        tifffile.imwrite(path, MOVIE, bigtiff=kind == "bigtiff", compression=kind if kind in ("zlib", "lzw") else None)
    data = path.read_bytes()
    path.write_bytes(data[: max(int(kept * len(data)), 8)])
    with pytest.raises(PipelineError, match=r"m\.tif.*(cut short|not a readable TIFF).*Copy it again"):
        open_file(path)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd"])
def test_damaged_page_is_named_when_it_is_read(tmp_path, compression):
    path = tmp_path / "m.tif"
    write_pages(path, MOVIE, compression=compression)
    with tifffile.TiffFile(path) as file:
        page = file.pages[4]
        offset, count = page.dataoffsets[0], page.databytecounts[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + count // 2] = bytes(count // 2)
    path.write_bytes(data)
    reader = open_file(path)
    np.testing.assert_array_equal(reader.read(0, 4), MOVIE[:4])
    with pytest.raises(PipelineError, match=r"m\.tif: page 4 cannot be decoded"):
        reader.read(3, 6)


def test_file_cut_after_opening_is_noticed(tmp_path):
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, MOVIE)
    reader = open_file(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(PipelineError, match="ends before frame 7"):
        reader.read(5, 7)


@pytest.mark.parametrize("content", [b"II*\0", b"this is text, no image", b"MM\0*" + bytes(100)])
def test_what_is_no_tiff_is_refused(tmp_path, content):
    (tmp_path / "m.tif").write_bytes(content)
    with pytest.raises(PipelineError, match=r"m\.tif"):
        open_file(tmp_path / "m.tif")


def test_frame_far_beyond_four_gigabytes_is_found(tmp_path):
    """The file is sparse: 5 GB long, nearly nothing on disk."""
    path, shape = tmp_path / "big.tif", (2500, 1024, 1024)
    offset, _ = tifffile.imwrite(
        path,
        shape=shape,
        dtype=np.uint16,
        bigtiff=True,
        photometric="minisblack",
        metadata={"axes": "TYX"},
        returnoffset=True,
    )
    with path.open("r+b") as file:
        file.seek(offset + 2 * (2499 * 1024 * 1024 + 1023 * 1024 + 1000))
        file.write(struct.pack("<H", 4711))
    reader = open_file(path)
    assert reader.n_frames == 2500
    frame = reader.read(2499, 2500)
    assert frame[0, 1023, 1000] == 4711
    assert np.count_nonzero(frame) == 1


@pytest.mark.real_data
@pytest.mark.skipif(not REAL.exists(), reason="development recordings are not here")
def test_scanimage_file_keeps_negative_values():
    frames = read_all(REAL / "scanimage_6frames_512_int16.tif")
    assert frames.dtype == np.int16
    assert frames.shape[0] == 6
    assert frames.min() < 0
