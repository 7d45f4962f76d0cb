"""The movie store: parts of bounded size, spatial axes first and time last, listed in a small ``movie.json``.

A part is a plain ``.npy`` file of shape (*dims, T_part), float32, so that any tile is a few long contiguous reads. Part
boundaries depend on the size of a frame only, never on how the work was split: sums over parts come out the same.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from types import TracebackType

import numpy as np

from caiman_pipeline.errors import PipelineError
from caiman_pipeline.io.atomic import flush_to_disk, whole_file, write_text
from caiman_pipeline.provenance import describe, note_result, text_digest
from caiman_pipeline.types import Bounds, Dims, FloatArray, Tile

PART_BYTES = 64 * 2**20
SCHEMA = 1
CHECKSUMS = "checksums.json"
REDO_PART = "Delete it and run motion_correct again."
REJOIN = "Delete it and run memmap_join again."


def part_length(dims: Dims) -> int:
    """Return the frames in one part of a movie with frames of ``dims``: a power of two, about 64 MiB of float32."""
    frames = PART_BYTES // (4 * prod(dims))
    return 2 ** int(np.clip(np.floor(np.log2(max(frames, 1))), 4, 10))


def part_bounds(n_frames: int, dims: Dims) -> list[tuple[int, int]]:
    """Return (start, stop) of every part of a movie, in order."""
    length = part_length(dims)
    return [(start, min(start + length, n_frames)) for start in range(0, n_frames, length)]


def block_parts(n_frames: int, dims: Dims, block: int, n_blocks: int) -> list[tuple[int, int, int]]:
    """Return (part index, start, stop) of the parts that block ``block`` (from 0) of ``n_blocks`` makes; or none."""
    bounds = part_bounds(n_frames, dims)
    first, last = (len(bounds) * b // n_blocks for b in (block, block + 1))
    return [(i, *bounds[i]) for i in range(first, last)]


def part_name(index: int) -> str:
    """Return the file name of part ``index``."""
    return f"part-{index:05d}.npy"


class PartWriter:
    """Write parts into a folder, flushing each to disk in the background while the next is computed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(1)
        self._waiting: Future[None] | None = None
        self._checksums: dict[str, int] = {}

    def write(self, index: int, frames: FloatArray) -> None:
        """Queue one part, float32 (*dims, T_part); blocks while the part before it is still being written."""
        self.wait()
        self._waiting = self._pool.submit(self._save, self._folder / part_name(index), frames)

    def wait(self) -> None:
        """Return when the queued part is on disk, so that its memory can be given to the next."""
        if self._waiting is not None:
            self._waiting.result()
            self._waiting = None

    def _save(self, path: Path, frames: FloatArray) -> None:
        frames = np.ascontiguousarray(frames, dtype=np.float32)
        np.save(path, frames, allow_pickle=False)
        self._checksums[path.name] = zlib.crc32(frames.data.cast("B"))
        flush_to_disk(path)

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True)
        if kind is None:
            self.wait()
            write_text(self._folder / CHECKSUMS, json.dumps(self._checksums))


@dataclass(frozen=True)
class Part:
    """One part of the store, not yet opened."""

    path: Path
    start: int
    stop: int

    def read(self) -> FloatArray:
        """Return the whole part, float32 (*dims, stop - start)."""
        return np.load(self.path, allow_pickle=False)

    def read_box(self, bounds: Bounds) -> FloatArray:
        """Return a box of the field of view, float32 (*box, stop - start), reading nothing else.

        Plain reads of contiguous runs: mapped pages would count as the job's memory, and fault one by one.
        """
        with self.path.open("rb", buffering=0) as file:
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            first = file.tell()
            box = np.empty((*(b - a for a, b in bounds), shape[-1]), dtype)
            (low, _), lead = bounds[-1], shape[:-2]
            for index in np.ndindex(*box.shape[:-2]):
                run = np.ravel_multi_index([i + a for i, (a, _) in zip(index, bounds[:-1], strict=True)], lead)
                offset = first + (int(run) * shape[-2] + low) * shape[-1] * box.itemsize
                wanted = box[index].data.cast("B")
                if os.preadv(file.fileno(), [wanted], offset) != len(wanted):
                    raise PipelineError(f"{self.path}: part of the movie store is cut short. {REDO_PART}")
        return box


@dataclass(frozen=True)
class MovieStore:
    """A motion-corrected movie on disk, read in pieces.

    Attributes
    ----------
    dims : (H, W) or (D, H, W)
    valid : bool dims, pixels inside the field of view in (nearly) every frame
    """

    dims: Dims
    frame_rate_hz: float
    parts: tuple[Part, ...]
    valid: FloatArray

    @property
    def n_frames(self) -> int:
        """Frames, T."""
        return self.parts[-1].stop if self.parts else 0

    @property
    def n_pixels(self) -> int:
        """Pixels of one frame, P."""
        return prod(self.dims)

    def read_parts(self) -> Iterator[tuple[int, int, FloatArray]]:
        """Yield (start, stop, float32 (P, stop - start)) of each part in order, reading one part ahead."""
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(self.parts[0].read) if self.parts else None
            for part, after in zip(self.parts, (*self.parts[1:], None), strict=True):
                assert coming is not None
                frames = coming.result()
                coming = pool.submit(after.read) if after else None
                yield part.start, part.stop, frames.reshape(self.n_pixels, -1)

    def read_tile(self, tile: Tile) -> Iterator[tuple[int, int, FloatArray]]:
        """Yield (start, stop, float32 (P_tile, stop - start)) of one tile, part by part."""
        for part in self.parts:
            yield part.start, part.stop, part.read_box(tile.bounds).reshape(-1, part.stop - part.start)


def write_index(
    path: Path, *, dims: Dims, frame_rate_hz: float, parts: list[Part], valid: FloatArray, source: dict[str, object]
) -> None:
    """Write ``movie.json`` with the valid mask beside it; part paths are kept relative to it.

    ``source`` says where the movie came from (recording, settings, version) and is stored as it is.
    """
    with whole_file(path.with_name("valid.npy")) as temporary, temporary.open("wb") as file:
        np.save(file, valid.astype(bool), allow_pickle=False)
    listed = [
        {
            "path": _relative(p.path, path.parent), "start": int(p.start), "stop": int(p.stop),
            "bytes": p.path.stat().st_size, "crc32": _checksums(p.path.parent).get(p.path.name),
        }
        for p in parts
    ]  # fmt: skip
    index = {
        "schema": SCHEMA, "dims": [int(n) for n in dims], "frame_rate_hz": frame_rate_hz, "parts": listed,
        "valid": "valid.npy", "source": source,
    }  # fmt: skip
    write_text(path, json.dumps({**index, "digest": text_digest(index), "provenance": describe()}, indent=1))


@cache
def _checksums(folder: Path) -> dict[str, int]:
    path = folder / CHECKSUMS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _relative(target: Path, folder: Path) -> str:
    return os.path.relpath(target.resolve(), folder.resolve())


def open_movie(path: Path | str) -> MovieStore:
    """Open the store that ``movie.json`` describes, checking that every part is there and whole.

    Raises
    ------
    PipelineError
        If the index, the valid mask or a part is missing, damaged or of another schema, or if parts leave gaps.
    """
    path = Path(path)
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        if index["schema"] != SCHEMA:
            raise PipelineError(
                f"{path}: movie index of schema {index['schema']}, this version reads {SCHEMA}. {REJOIN}"
            )
        note_result(path, index.get("digest", ""), index.get("provenance", {}))
        parts = [Part(path.parent / p["path"], p["start"], p["stop"]) for p in index["parts"]]
        sizes = [p["bytes"] for p in index["parts"]]
        valid = np.load(path.parent / index["valid"], allow_pickle=False)
        store = MovieStore(tuple(index["dims"]), float(index["frame_rate_hz"]), tuple(parts), valid)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PipelineError(f"{path}: not a readable movie index ({_what(error)}). {REJOIN}") from error
    for part, expected in zip(parts, sizes, strict=True):
        _check_part(part, expected)
    if valid.shape != store.dims or [p.start for p in parts] != [0, *(p.stop for p in parts[:-1])]:
        raise PipelineError(f"{path}: parts or valid mask do not fit together. {REJOIN}")
    return store


def _what(error: Exception) -> str:
    return f"no entry {error}" if isinstance(error, KeyError) else str(error)


def _check_part(part: Part, expected: int) -> None:
    size = part.path.stat().st_size if part.path.exists() else None
    if size != expected:
        found = "is missing" if size is None else f"has {size} bytes instead of {expected}"
        raise PipelineError(f"{part.path}: part of the movie store {found}. {REDO_PART}")
