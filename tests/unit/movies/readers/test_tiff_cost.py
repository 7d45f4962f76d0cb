"""Opening and reading TIFF takes work in proportion to its pages, whatever is asked for and in whatever order."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from tiff_makers import images, ome_xml, write_described, write_equidistant

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Reading
from caiman_pipeline.movies.metadata import read_metadata
from caiman_pipeline.movies.readers.open import open_file, open_movie_files
from caiman_pipeline.movies.readers.tiff import images as tiff_images
from caiman_pipeline.movies.readers.tiff import ome
from caiman_pipeline.movies.readers.tiff import pages as tiff_pages


@pytest.fixture
def counted(monkeypatch):
    """Count the bytes and directories that are read of files."""
    done = {"bytes": 0, "directories": 0}
    read, directory = tiff_pages._File.read, tiff_pages._File.directory

    def counted_read(self, offset, count):
        block = read(self, offset, count)
        done["bytes"] += len(block)
        return block

    def counted_directory(self, offset):
        done["directories"] += 1
        return directory(self, offset)

    monkeypatch.setattr(tiff_pages._File, "read", counted_read)
    monkeypatch.setattr(tiff_pages._File, "directory", counted_directory)
    return done


def one_file_per_frame(folder, n_files, n_channels):
    """Write files of one image, each with the whole XML of the set."""
    folder.mkdir()
    places = [(t, c) for c in range(n_channels) for t in range(n_files // n_channels)]
    paths = [folder / f"m_Ch{c + 1}_{t:06d}.ome.tif" for t, c in places]
    ids = [f"00000000-0000-0000-0000-{i:012d}" for i in range(n_files)]
    blocks = "".join(
        f'<TiffData FirstC="{c}" FirstT="{t}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{p.name}">urn:uuid:{i}</UUID></TiffData>'
        for (t, c), p, i in zip(places, paths, ids, strict=True)
    )
    size = (n_files // n_channels, 1, n_channels)
    for path, own, page in zip(paths, ids, images(n_files), strict=True):
        tifffile.imwrite(path, page, description=ome_xml(blocks, own=own, size=size), metadata=None)
    return paths


@pytest.mark.parametrize("n_channels", [1, 2])
def test_files_that_each_hold_the_xml_of_all_are_opened_in_linear_time(tmp_path, monkeypatch, counted, n_channels):
    monkeypatch.setattr(ome, "PIECE", 2048)
    parsed, parse = [], ome.parse_set
    monkeypatch.setattr(ome, "parse_set", lambda text: parsed.append(1) or parse(text))
    cost = []
    for n_files in (40, 160):
        paths = one_file_per_frame(tmp_path / str(n_files), n_files, n_channels)
        counted["bytes"] = 0
        movie = open_movie_files(paths, Reading(channel="1"))
        [read_metadata(path) for path in paths]
        cost.append(counted["bytes"])
        expected = images(n_files)[: n_files // n_channels]
        np.testing.assert_array_equal(movie.read(0, movie.n_frames), expected)
    assert cost[1] < 6 * cost[0], "sixteen times as much where each file's XML is read"
    assert len(parsed) == (0 if n_channels == 1 else 2), "the XML of a set is read once"


def test_pages_at_equal_distances_are_looked_at_many_at_a_time(tmp_path, counted):
    write_equidistant(tmp_path / "m.tif", images(2000), "a camera")
    reader = open_file(tmp_path / "m.tif")
    assert reader.n_frames == 2000
    assert counted["directories"] < 50
    np.testing.assert_array_equal(reader.read(0, 2000), images(2000))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_chunk_costs_the_same_wherever_it_lies(tmp_path, monkeypatch, counted, compression):
    with tifffile.TiffWriter(tmp_path / "m.tif") as writer:
        for i, page in enumerate(images(400)):
            said = "x" * (i % 7 + 1)
            writer.write(page, compression=compression, contiguous=False, metadata=None, description=said)
    reader = open_file(tmp_path / "m.tif")
    opening = counted["directories"]
    assert opening < 2 * 400
    frames, frame = [], tifffile.TiffFrame
    monkeypatch.setattr(tiff_images.tifffile, "TiffFrame", lambda *a, **k: frames.append(1) or frame(*a, **k))
    for start in (0, 200, 390):
        frames.clear()
        np.testing.assert_array_equal(reader.read(start, start + 10), images(400)[start : start + 10])
        assert len(frames) == (9 if compression else 0)
    assert counted["directories"] == opening, "where pages lie is not looked up again"


@pytest.mark.parametrize("strange", [(20, 21, 40), (10,), (59,), range(5, 60, 7)])
def test_irregular_pages_among_regular_ones_are_found(tmp_path, strange):
    """A page that lies elsewhere ends a run of equal distances; another run follows."""
    pages = images(60)
    with tifffile.TiffWriter(tmp_path / "m.tif") as writer:
        for i, page in enumerate(pages):
            said = "a longer description of this page" if i in strange else "short"
            writer.write(page, contiguous=False, metadata=None, description=said)
    assert open_file(tmp_path / "m.tif").n_frames == 60
    for start, stop in ((0, 60), (19, 23), (38, 42)):
        np.testing.assert_array_equal(open_file(tmp_path / "m.tif").read(start, stop), pages[start:stop])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_one_reader_serves_several_threads(tmp_path, compression):
    pages = images(300)
    with tifffile.TiffWriter(tmp_path / "m.tif") as writer:
        for page in pages:
            writer.write(page, compression=compression, contiguous=False, metadata=None)
    reader = open_file(tmp_path / "m.tif")
    starts = list(range(0, 300, 4)) * 3
    with ThreadPoolExecutor(4) as pool:
        for start, block in zip(starts, pool.map(lambda s: reader.read(s, s + 4), starts), strict=True):
            np.testing.assert_array_equal(block, pages[start : start + 4])


def test_an_imagej_stack_above_four_gigabytes_has_one_directory_and_all_its_frames(tmp_path):
    """The file is sparse: 5 GB long, nearly nothing on disk."""
    path, n, side = tmp_path / "m.tif", 2500, 1024
    tags = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 16), (262, 3, 1, 1), (277, 3, 1, 1), (278, 4, 1, side)]
    said = f"ImageJ=1.53t\nimages={n}\nchannels=2\nframes={n // 2}\nhyperstack=true\nloop=false\n\0".encode()
    tags += [(270, 2, len(said), 200), (273, 4, 1, 400), (279, 4, 1, side * side * 2)]
    directory = struct.pack(">H", len(tags))
    for code, kind, count, value in sorted(tags):
        inline = struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value)
        directory += struct.pack(">HHI", code, kind, count) + inline
    with path.open("wb") as file:
        file.write(struct.pack(">2sHI", b"MM", 42, 8) + directory + bytes(4))
        file.seek(200)
        file.write(said)
        file.truncate(400 + n * side * side * 2)
        file.seek(400 + 2 * ((n - 1) * side * side + 5 * side + 900))
        file.write(struct.pack(">H", 4711))
    reader = open_file(path, channel="2")
    assert (reader.n_frames, reader.dims) == (n // 2, (side, side))
    frame = reader.read(n // 2 - 1, n // 2)
    assert frame[0, 5, 900] == 4711
    assert np.count_nonzero(frame) == 1
    with path.open("r+b") as file:
        file.truncate(400 + 1000 * side * side * 2 + 600)
    with pytest.raises(PipelineError, match=r"m\.tif: the file is cut short"):
        open_file(path)
    with path.open("r+b") as file:
        file.truncate(400 + 1000 * side * side * 2)
    assert open_file(path, channel="2").n_frames == 500


def test_colours_of_ome_images_are_counted_with_their_pages(tmp_path):
    colours = images(15, dtype=np.uint16).reshape(5, 3, 5, 7)
    tifffile.imwrite(tmp_path / "m.ome.tif", np.moveaxis(colours, 1, -1), metadata={"axes": "TYXS"}, photometric="rgb")
    movie = open_movie_files([tmp_path / "m.ome.tif"], Reading(channel="blue"))
    np.testing.assert_array_equal(movie.read(0, 5), colours[:, 2])
    assert movie.notes == ()


def test_a_file_that_names_no_axes_of_several_asks_for_them(tmp_path):
    write_described(tmp_path / "m.tif", images(4), '{"shape": [2, 2, 5, 7]}')
    with pytest.raises(PipelineError, match=r"\(2, 2, 5, 7\) needs its axes named"):
        open_file(tmp_path / "m.tif")
    np.testing.assert_array_equal(open_file(tmp_path / "m.tif", "TZYX").read(0, 2), images(4).reshape(2, 2, 5, 7))
