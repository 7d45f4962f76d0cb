"""The movie store: parts that do not depend on how the work was split, read in boxes, checked before use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.tiles import Tile
from caiman_pipeline.movies.store.bounds import PART_BYTES, block_parts, part_bounds, part_length, part_name
from caiman_pipeline.movies.store.parts import Part, open_store, write_index
from caiman_pipeline.movies.store.writing import PartWriter

PLANE, VOLUME = (13, 21), (3, 11, 17)


def build(folder, dims, lengths, dtype=np.float32):
    """Write a store of random frames, its parts in a folder beside the index."""
    rng, parts, start, blocks = np.random.default_rng(5), [], 0, []
    (folder / "block").mkdir(parents=True)
    with PartWriter(folder / "block") as writer:
        for i, n in enumerate(lengths):
            blocks.append(rng.normal(size=(*dims, n)).astype(dtype))
            writer.write(i, blocks[-1])
            parts.append(Part(folder / "block" / part_name(i), start, start + n))
            start += n
    valid = rng.random(dims) > 0.1
    (folder / "movie").mkdir()
    path = folder / "movie" / "movie.json"
    write_index(path, dims=dims, frame_rate_hz=12.5, parts=parts, valid=valid, source={"recording": "r"})
    return path, np.concatenate(blocks, axis=-1), valid


@pytest.mark.parametrize("dims", [PLANE, VOLUME])
def test_movie_comes_back_bit_for_bit(tmp_path, dims):
    path, frames, valid = build(tmp_path, dims, (4, 7, 2))
    movie = open_store(path)
    assert (movie.dims, movie.n_frames, movie.n_pixels, movie.frame_rate_hz) == (dims, 13, np.prod(dims), 12.5)
    np.testing.assert_array_equal(movie.valid, valid)
    found = list(movie.read_parts())
    assert [f[:2] for f in found] == [(0, 4), (4, 11), (11, 13)]
    whole = np.concatenate([f[2] for f in found], axis=1)
    assert whole.dtype == np.float32
    assert whole.tobytes() == np.ascontiguousarray(frames.reshape(-1, 13)).tobytes()


@pytest.mark.parametrize("dims", [PLANE, VOLUME])
@pytest.mark.parametrize("where", ["first", "last", "inside", "whole", "pixel"])
def test_box_is_what_slicing_gives(tmp_path, dims, where):
    path, frames, _ = build(tmp_path, dims, (5, 3))
    bounds = {
        "first": tuple((0, n // 2) for n in dims),
        "last": tuple((n - n // 3, n) for n in dims),
        "inside": tuple((1, n - 1) for n in dims),
        "whole": tuple((0, n) for n in dims),
        "pixel": tuple((n // 2, n // 2 + 1) for n in dims),
    }[where]
    tile = Tile(0, bounds, bounds)
    expected = frames[tile.slices]
    parts = open_store(path).parts
    for part in parts:
        np.testing.assert_array_equal(part.read_box(bounds), expected[..., part.start : part.stop])
    pieces = list(open_store(path).read_tile(tile))
    np.testing.assert_array_equal(np.concatenate([p[2] for p in pieces], axis=1), expected.reshape(-1, 8))


def test_bounds_may_be_numpy_integers(tmp_path):
    path, frames, _ = build(tmp_path, PLANE, (5,))
    for kind in (np.int32, np.int64, np.uint64):
        bounds = tuple((kind(2), kind(9)) for _ in PLANE)
        np.testing.assert_array_equal(open_store(path).parts[0].read_box(bounds), frames[2:9, 2:9])
        dims = tuple(kind(n) for n in PLANE)
        assert part_bounds(kind(300), dims) == part_bounds(300, PLANE)
        write_index(
            path,
            dims=dims,
            frame_rate_hz=1.0,
            parts=[Part(open_store(path).parts[0].path, kind(0), kind(5))],
            valid=np.ones(PLANE),
            source={},
        )
        assert open_store(path).n_frames == 5


def test_box_beyond_two_to_the_31_elements_and_four_gigabytes(tmp_path):
    """The part is sparse: 19 GB long, nearly nothing on disk."""
    shape, path = (40_000, 60_000, 2), tmp_path / "part-00000.npy"
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        first = file.tell()
        file.seek(first + 4 * (2 * (39_997 * 60_000 + 59_995) + 1))
        file.write(np.float32(42).tobytes())
        file.truncate(first + 4 * int(np.prod(shape, dtype=np.int64)))
    box = Part(path, 0, 2).read_box(((39_990, 40_000), (59_990, 60_000)))
    assert box[7, 5, 1] == 42
    assert np.count_nonzero(box) == 1


@pytest.mark.parametrize("dims", [(128, 128), (512, 512), (3, 40, 50), (1, 1), (4000, 6000)])
@pytest.mark.parametrize("n_frames", [1, 17, 1024, 5000])
def test_any_number_of_blocks_makes_the_same_parts(dims, n_frames):
    whole = [(i, *b) for i, b in enumerate(part_bounds(n_frames, dims))]
    for n_blocks in (1, 2, 3, 8, 200):
        split = [p for block in range(n_blocks) for p in block_parts(n_frames, dims, block, n_blocks)]
        assert split == whole
    assert whole[0][1] == 0
    assert whole[-1][2] == n_frames
    assert [p[1] for p in whole[1:]] == [p[2] for p in whole[:-1]]


def test_more_blocks_than_parts_leaves_blocks_empty():
    shares = [block_parts(1000, (512, 512), b, 50) for b in range(50)]
    assert sum(not s for s in shares) > 0
    assert max(map(len, shares)) == 1


@pytest.mark.parametrize("dims", [(64, 64), (512, 512), (2, 2), (30, 1024, 1024)])
def test_parts_are_bounded(dims):
    length = part_length(dims)
    assert 16 <= length <= 1024
    assert length == 16 or 4 * np.prod(dims) * length <= PART_BYTES


def test_failed_write_of_a_part_is_raised(tmp_path):
    with pytest.raises(OSError, match="nowhere"), PartWriter(tmp_path / "nowhere") as writer:
        writer.write(0, np.zeros((2, 3, 4), np.float32))


def test_parts_follow_the_index_when_results_are_moved(tmp_path):
    _, frames, _ = build(tmp_path / "old", PLANE, (4, 3))
    (tmp_path / "old").rename(tmp_path / "new")
    found = [f[2] for f in open_store(tmp_path / "new/movie/movie.json").read_parts()]
    np.testing.assert_array_equal(np.concatenate(found, axis=1), frames.reshape(-1, 7))


def cut_part(path: Path):
    part = open_store(path).parts[1].path
    part.write_bytes(part.read_bytes()[:-1])


def remove_part(path: Path):
    open_store(path).parts[0].path.unlink()


def change_index(**values):
    def change(path: Path):
        index = json.loads(path.read_text())
        path.write_text(json.dumps({k: v for k, v in {**index, **values}.items() if v is not None}))

    return change


def drop_first_part(path: Path):
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, "parts": index["parts"][1:]}))


DAMAGES = {
    "cut": (cut_part, r"part-00001\.npy.*bytes instead of.*motion_correct"),
    "missing part": (remove_part, r"part-00000\.npy.*is missing.*motion_correct"),
    "gap": (drop_first_part, r"movie\.json.*do not fit together.*memmap_join"),
    "other schema": (change_index(schema=99), r"movie\.json.*schema 99.*memmap_join"),
    "no dims": (change_index(dims=None), r"movie\.json.*no entry 'dims'"),
    "wrong dims": (change_index(dims=[5, 6]), r"movie\.json.*mask does not fit"),
    "half index": (lambda path: path.write_text(path.read_text()[:40]), r"movie\.json: not a readable movie index"),
    "no index": (lambda path: path.unlink(), r"movie\.json: not a readable movie index"),
    "no mask": (change_index(valid=None), r"movie\.json.*no entry 'valid'"),
    "cut mask": (change_index(valid="eJw="), r"movie\.json: not a readable movie index"),
    "list": (lambda path: path.write_text("[1]"), r"movie\.json: not a readable"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_store_is_named(tmp_path, damage):
    path, _, _ = build(tmp_path, PLANE, (4, 3))
    change, message = DAMAGES[damage]
    change(path)
    with pytest.raises(PipelineError, match=message):
        open_store(path)


def test_part_cut_after_opening_is_noticed(tmp_path):
    path, _, _ = build(tmp_path, PLANE, (4, 3))
    part = open_store(path).parts[0]
    part.path.write_bytes(part.path.read_bytes()[:-100])
    with pytest.raises(PipelineError, match=r"part-00000\.npy.*cut short"):
        part.read_box(((0, 13), (0, 21)))
