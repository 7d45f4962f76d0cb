"""Videos: exact frames in any order, grey as stored, colours asked for, files cut short."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Reading
from caiman_pipeline.movies.readers.open import open_file, open_movie_files

DIMS = (46, 62)


def frames(count: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, np.iinfo(dtype).max, (count, *DIMS)).astype(dtype)


def write(path: Path, movie: np.ndarray, codec: str = "FFV1") -> Path:
    options = [cv2.VIDEOWRITER_PROP_IS_COLOR, int(movie.ndim == 4)]
    options += [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U if movie.dtype == np.uint16 else cv2.CV_8U]
    size = movie.shape[2], movie.shape[1]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), 20, size, options)
    assert writer.isOpened()
    for frame in movie:
        writer.write(frame)
    writer.release()
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_pixels_are_those_stored(tmp_path: Path, dtype: type) -> None:
    movie = frames(31, dtype)
    reader = open_file(write(tmp_path / "msCam1.avi", movie))
    assert (reader.n_frames, reader.dims, reader.dtype) == (31, DIMS, dtype)
    np.testing.assert_array_equal(reader.read(0, 31), movie)


def test_any_order_of_reading_finds_the_same_frames(tmp_path: Path) -> None:
    movie = np.repeat(np.repeat(frames(80, seed=3)[:, ::8, ::8], 8, axis=1), 8, axis=2)[:, :46, :62]
    path = write(tmp_path / "m.mp4", movie, codec="mp4v")  # frames made from those before and after them
    whole = open_file(path).read(0, 80)
    assert len(whole) == 80
    assert np.abs(whole.astype(int) - movie).mean() < 12
    reader = open_file(path)
    for start, stop in ((70, 80), (0, 3), (3, 9), (41, 42), (12, 50)):
        np.testing.assert_array_equal(reader.read(start, stop), whole[start:stop])


def test_several_videos_are_one_movie(tmp_path: Path) -> None:
    movie = frames(50)
    paths = [write(tmp_path / f"{i}.avi", movie[a:b]) for i, (a, b) in enumerate(((0, 20), (20, 37), (37, 50)))]
    raw = open_movie_files(paths)
    assert raw.stops == [20, 37, 50]
    np.testing.assert_array_equal(raw.read(15, 40), movie[15:40])
    np.testing.assert_array_equal(raw.read_frames(np.array([2, 19, 20, 49])), movie[[2, 19, 20, 49]])


def test_a_video_in_colour_is_read_in_the_colour_that_is_named(tmp_path: Path) -> None:
    movie = np.stack([frames(9, seed=s) for s in range(3)], axis=-1)  # blue, green, red
    path = write(tmp_path / "c.avi", movie)
    with pytest.raises(PipelineError, match=r"c\.avi: holds 3 channels: 1 \(red\), 2 \(green\), 3 \(blue\)"):
        open_file(path)
    red, blue = (open_file(path, channel=c).read(0, 9).astype(int) for c in ("red", "3"))
    assert np.abs(red - movie[..., 2]).mean() < np.abs(red - movie[..., 0]).mean() / 4
    assert np.abs(blue - movie[..., 0]).mean() < np.abs(blue - movie[..., 2]).mean() / 4


def test_a_grey_video_has_no_channels_to_choose_from(tmp_path: Path) -> None:
    path = write(tmp_path / "g.avi", frames(9))
    with pytest.raises(PipelineError, match="`channel` is '2'"):
        open_file(path, channel="2")
    np.testing.assert_array_equal(open_file(path, channel="grey").read(0, 9), open_file(path).read(0, 9))
    with pytest.raises(PipelineError, match="`axes` is 'TZYX'"):
        open_file(path, "TZYX")
    with pytest.raises(PipelineError, match="holds no planes"):
        open_file(path, planes="2")


def test_a_video_cut_short_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "cut.avi", frames(40))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    with pytest.raises(PipelineError, match=r"cut short: it says that it has 40 frames, 2\d can be decoded"):
        open_file(path)


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "no.mp4"
    path.write_bytes(b"not a video at all" * 40)
    with pytest.raises(PipelineError, match="cannot be decoded as a video"):
        open_file(path)


def test_a_reading_keeps_to_the_file_it_was_told_of(tmp_path: Path) -> None:
    reader = open_movie_files([write(tmp_path / "a.avi", frames(12))], Reading()).readers[0]
    with pytest.raises(PipelineError, match="frame 12 cannot be decoded"):
        reader.read(10, 14)
