"""Several files as one recording: order, names, fit, and reading across their boundaries."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import MovieInfo, Reading, SourceFile
from caiman_pipeline.model.names import natural_key
from caiman_pipeline.movies.readers.open import open_file, open_inspected, open_movie_files

MOVIE = np.random.default_rng(0).integers(0, 4000, (11, 20, 31), dtype=np.uint16)


def write_files(folder, lengths):
    paths, first = [], 0
    for i, n in enumerate(lengths, 1):
        paths.append(folder / f"file_{i}.{'tif' if i % 2 else 'npy'}")
        block = MOVIE[first : first + n]
        np.save(paths[-1], block) if paths[-1].suffix == ".npy" else tifffile.imwrite(
            paths[-1], block, photometric="minisblack"
        )
        first += n
    return paths


def test_files_without_padding_come_in_natural_order():
    names = [f"file_{i}.tif" for i in (10, 1, 9, 2, 11)] + ["a10b2.tif", "a10b10.tif", "a9b3.tif"]
    assert sorted(names, key=natural_key) == [
        "a9b3.tif",
        "a10b2.tif",
        "a10b10.tif",
        "file_1.tif",
        "file_2.tif",
        "file_9.tif",
        "file_10.tif",
        "file_11.tif",
    ]
    assert sorted(["1²2", "1", "x", "1a"], key=natural_key)


def test_frames_are_read_across_file_boundaries(tmp_path):
    movie = open_movie_files(write_files(tmp_path, (4, 1, 6)), Reading("TYX"))
    assert movie.stops == [4, 5, 11]
    for start, stop in ((0, 11), (3, 6), (4, 5), (5, 11), (0, 4), (10, 11)):
        np.testing.assert_array_equal(movie.read(start, stop), MOVIE[start:stop])
    chosen = np.array([0, 3, 4, 5, 9])
    np.testing.assert_array_equal(movie.read_frames(chosen), MOVIE[chosen])


def test_frames_per_file_cut_traces_back_into_files(tmp_path):
    movie = open_movie_files(write_files(tmp_path, (4, 1, 6)), Reading("TYX"))
    pieces = np.split(MOVIE.mean((1, 2)), movie.stops[:-1])
    assert [len(p) for p in pieces] == [r.n_frames for r in movie.readers] == [4, 1, 6]


def test_frames_of_another_size_name_the_file(tmp_path):
    np.save(tmp_path / "a.npy", MOVIE)
    np.save(tmp_path / "b.npy", MOVIE[:, :, :30])
    with pytest.raises(PipelineError, match=r"b\.npy: frames of \(20, 30\).*a\.npy has \(20, 31\)"):
        open_movie_files([tmp_path / "a.npy", tmp_path / "b.npy"], Reading("TYX"))


def test_pixels_of_another_type_name_the_file(tmp_path):
    np.save(tmp_path / "a.npy", MOVIE)
    np.save(tmp_path / "b.npy", MOVIE.astype(np.float32))
    with pytest.raises(PipelineError, match=r"b\.npy: pixels of type float32.*uint16"):
        open_movie_files([tmp_path / "a.npy", tmp_path / "b.npy"], Reading("TYX"))


def test_byte_order_is_no_difference_of_type(tmp_path):
    np.save(tmp_path / "a.npy", MOVIE)
    np.save(tmp_path / "b.npy", MOVIE.astype(">u2"))
    movie = open_movie_files([tmp_path / "a.npy", tmp_path / "b.npy"], Reading("TYX"))
    np.testing.assert_array_equal(movie.read(9, 13), np.concatenate([MOVIE[9:], MOVIE[:2]]))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("none.tif", None, "file not found"),
        ("zero.tif", b"", r"empty \(0 bytes\)"),
        ("zero.npy", b"", "empty"),
        ("m.xyz", b"x", r"unknown format '\.xyz'.*\.tif"),
        ("m", b"x", "unknown format"),
    ],
)
def test_missing_empty_or_unknown_file_is_named(tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(PipelineError, match=f"{name}.*{reason}"):
        open_file(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.tif", "file not found (relative to "),
        ("no*.tif", "no file has a name like that (relative to "),
        (r"D:\data\m.tif", "folders are separated by /"),
        ("a.tif, b.tif", "several files are separated by ';'"),
        ("folder", "a folder, not a movie. Name the files in it, for example folder/*.tif"),
    ],
)
def test_the_likely_mistake_in_a_name_is_said(tmp_path, monkeypatch, name, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(PipelineError) as caught:
        open_file(name)
    assert name in str(caught.value)
    assert reason in str(caught.value)


def test_a_file_listed_twice_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("m.npy", MOVIE)
    (tmp_path / "link.npy").symlink_to("m.npy")
    for again in ("m.npy", "./m.npy", str(tmp_path / "m.npy"), "link.npy"):
        with pytest.raises(PipelineError, match=r"listed twice in one recording \(also as m\.npy\)"):
            open_movie_files(["m.npy", again], Reading("TYX"))


def test_no_files_are_refused():
    with pytest.raises(PipelineError, match="no files"):
        open_movie_files([])


@pytest.mark.parametrize(
    "name",
    [
        "a movie with spaces.tif",
        "Maus_ü_日本.tif",
        "x_d1_512_order_C_frames_3_.tif",
        "v1.2.3.final.TIF",
        "a" * 246 + ".tif",
    ],
)
def test_any_file_name_is_read_and_nothing_is_written_beside_it(tmp_path, monkeypatch, name):
    folder = tmp_path / "raw data"
    folder.mkdir()
    path = folder / name
    tifffile.imwrite(folder / "m.tif", MOVIE, compression="zlib")
    (folder / "m.tif").rename(path)
    before = path.stat().st_mtime_ns
    (tmp_path / "link.tif").symlink_to(path)
    monkeypatch.chdir(folder)
    for given in (path, name, tmp_path / "link.tif"):
        np.testing.assert_array_equal(open_file(given).read(3, 8), MOVIE[3:8])
    assert [p.name for p in folder.iterdir()] == [name]
    assert path.stat().st_mtime_ns == before


def test_file_that_changed_since_inspection_is_refused(tmp_path):
    path = tmp_path / "m.npy"
    np.save(path, MOVIE)
    status = path.stat()
    info = MovieInfo(
        recording="r",
        files=(SourceFile(str(path), 11, status.st_size, status.st_mtime_ns),),
        axes="TYX",
        dataset=None,
        dims=(20, 31),
        dtype="uint16",
        frame_rate_hz=30,
        value_min=0,
        value_max=1,
        saturated_fraction=0,
        bad_frames=(),
        border_px=((0, 0), (0, 0)),
        warnings=(),
    )
    assert open_inspected(info).n_frames == 11
    np.save(path, MOVIE[:9])
    with pytest.raises(PipelineError, match=r"m\.npy: has .* bytes where it had .* Run `inspect` again"):
        open_inspected(info)
