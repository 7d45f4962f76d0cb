"""The movie store: parts of bounded size, spatial axes first and time last, listed in a small ``movie.json``.

A part is a plain ``.npy`` file of shape (*dims, T_part), float32, so that any tile is a few long contiguous reads. Part
boundaries depend on the size of a frame only, never on how the work was split: sums over parts come out the same.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Bounds, Dims
from caiman_pipeline.model.tiles import Tile
from caiman_pipeline.movies.left_out import from_ranges, kept_parts, to_ranges
from caiman_pipeline.movies.store.writing import CHECKSUMS, ELSEWHERE
from caiman_pipeline.results.atomic import write_text
from caiman_pipeline.results.provenance import describe, note_result, text_digest
from caiman_pipeline.results.schema import of_another_form, writer

if TYPE_CHECKING:
    from caiman_pipeline.movies.store.zarr_parts import ZarrPart

# Form of ``movie.json``; others are refused, with what to rerun.
SCHEMA = 3
REDO_PART = "Delete it and run motion_correct again."
REJOIN = "Delete it and run memmap_join again."


def find_stored(folder: Path) -> dict[int, Part | ZarrPart]:
    """Return the parts that a block's folder holds or names, by index, without opening them.

    Parameters
    ----------
    folder : path
        The block's folder.

    Returns
    -------
    dict of int to part
        By index; of parts in files the frames are not known yet.
    """
    if not (folder / ELSEWHERE).exists():
        return {int(p.stem.removeprefix("part-")): Part(p, 0, 0) for p in folder.glob("part-*.npy")}
    from caiman_pipeline.movies.store.zarr_parts import ZarrPart

    record = json.loads((folder / ELSEWHERE).read_text(encoding="utf-8"))
    return {i: ZarrPart(record["url"], start - record["first"], start, stop) for i, start, stop in record["parts"]}


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
        """Return a box of the field of view, reading nothing else.

        Parameters
        ----------
        bounds : tuple of (int, int)
            First pixel along each axis, and the one after the last.

        Returns
        -------
        float32 (*box, t)
            In raw pixel values.

        Raises
        ------
        PipelineError
            If the file ends before the box does.

        Notes
        -----
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


class StoredPart(Protocol):
    """Frames ``start`` to ``stop`` of a movie, wherever they are kept."""

    @property
    def start(self) -> int:
        """First frame."""
        ...

    @property
    def stop(self) -> int:
        """Frame after the last."""
        ...

    def read(self) -> FloatArray:
        """Return the whole part, float32 (*dims, stop - start)."""
        ...

    def read_box(self, bounds: Bounds) -> FloatArray:
        """Return a box of the field of view, reading little else.

        Parameters
        ----------
        bounds : tuple of (int, int)
            First pixel along each axis, and the one after the last.

        Returns
        -------
        float32 (*box, t)
            In raw pixel values.
        """
        ...


@dataclass(frozen=True)
class MovieStore:
    """A motion-corrected movie on disk, read in pieces: the frames that take part, one after the other.

    Attributes
    ----------
    dims : (H, W) or (D, H, W)
    valid : bool dims, pixels inside the field of view in (nearly) every frame
    left_out : uint8 (frames of the recording,), 0 for those that take part, see ``io.left_out``; None: all do
    """

    dims: Dims
    frame_rate_hz: float
    parts: tuple[StoredPart, ...]
    valid: BoolArray
    left_out: IntArray | None = None

    @property
    def n_frames(self) -> int:
        """Frames that take part, T."""
        return self.parts[-1].stop if self.parts else 0

    @property
    def kept(self) -> BoolArray:
        """Which frames of the recording take part, bool (frames of the recording,)."""
        return np.ones(self.n_frames, bool) if self.left_out is None else self.left_out == 0

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
        """Yield (start, stop, float32 (P_tile, stop - start)) of one tile, part by part.

        Parameters
        ----------
        tile : Tile
            Part of the field of view.

        Yields
        ------
        (int, int, float32 (P_tile, t))
            First frame of a part, the one after its last, and the tile's pixels in C order.
        """
        for part in self.parts:
            yield part.start, part.stop, part.read_box(tile.bounds).reshape(-1, part.stop - part.start)


def write_index(
    path: Path,
    *,
    dims: Dims,
    frame_rate_hz: float,
    parts: Sequence[Part | ZarrPart],
    valid: BoolArray,
    source: dict[str, object],
    left_out: IntArray | None = None,
) -> None:
    """Write ``movie.json``, the valid mask and the frames left out in it; part paths are kept relative to it.

    ``source`` says where the movie came from (recording, settings, version) and is stored as it is.

    Parameters
    ----------
    path : path
        ``movie.json``.
    dims : tuple of int
        (H, W) or (D, H, W).
    frame_rate_hz : float
        Frames (or volumes) per second.
    parts : sequence of parts
        In order, without gaps.
    valid : bool (*dims)
        Pixels inside the field of view in nearly every frame.
    source : dict
        Where the movie came from (recording, settings, version); stored as it is.
    left_out : uint8 (T,), optional
        What ``record_left_out`` returns; none: all frames take part.
    """
    listed = [_entry(part, path.parent) for part in parts]
    index = {
        "schema": SCHEMA,
        "dims": [int(n) for n in dims],
        "frame_rate_hz": frame_rate_hz,
        "parts": listed,
        "valid": _mask_to_text(valid),
        "source": source,
        "left_out": {} if left_out is None else to_ranges(left_out),
    }
    write_text(path, json.dumps({**index, "digest": text_digest(index), "provenance": describe(path)}, indent=1))


def _mask_to_text(mask: BoolArray) -> str:
    return base64.b64encode(zlib.compress(np.packbits(mask.astype(bool)).tobytes())).decode("ascii")


def _mask_from_text(text: str, dims: Dims) -> BoolArray:
    bits = np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), np.uint8)
    if len(bits) != -(-prod(dims) // 8):
        raise ValueError("the valid mask does not fit the frame")
    return np.unpackbits(bits, count=prod(dims)).astype(bool).reshape(dims)


def _entry(part: Part | ZarrPart, folder: Path) -> dict[str, Any]:
    times = {"start": int(part.start), "stop": int(part.stop)}
    if not isinstance(part, Part):
        return {"array": part.url, "offset": int(part.offset), **times}
    checksum = _checksums(part.path.parent).get(part.path.name)
    return {"path": _relative(part.path, folder), **times, "bytes": part.path.stat().st_size, "crc32": checksum}


def _from_entry(entry: dict[str, Any], folder: Path) -> Part | ZarrPart:
    if "array" not in entry:
        return Part(folder / entry["path"], entry["start"], entry["stop"])
    from caiman_pipeline.movies.store.zarr_parts import ZarrPart

    return ZarrPart(entry["array"], entry["offset"], entry["start"], entry["stop"])


@cache
def _checksums(folder: Path) -> dict[str, int]:
    path = folder / CHECKSUMS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _relative(target: Path, folder: Path) -> str:
    return os.path.relpath(target.resolve(), folder.resolve())


def open_store(path: Path | str) -> MovieStore:
    """Open the store that ``movie.json`` describes, checking that every part is there and whole.

    Parameters
    ----------
    path : path
        ``movie.json``.

    Returns
    -------
    MovieStore
        The frames that take part; none of them is read yet.

    Raises
    ------
    PipelineError
        If the index, the valid mask or a part is missing, damaged or of another schema, or if parts leave gaps.
    """
    path = Path(path)
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        if index["schema"] != SCHEMA:
            version = writer(index.get("provenance", {}))
            raise of_another_form(path, found=index["schema"], reads=SCHEMA, version=version, stage="memmap_join")
        note_result(path, index.get("digest", ""), index.get("provenance", {}))
        parts = [_from_entry(entry, path.parent) for entry in index["parts"]]
        sizes = [entry.get("bytes") for entry in index["parts"]]
        dims = tuple(index["dims"])
        valid = _mask_from_text(index["valid"], dims)
        left_out = from_ranges(index["left_out"], parts[-1].stop if parts else 0)
        kept = kept_parts(parts, left_out == 0)
        store = MovieStore(dims, float(index["frame_rate_hz"]), kept, valid, left_out)
    except (OSError, ValueError, KeyError, TypeError, zlib.error) as error:
        raise PipelineError(f"{path}: not a readable movie index ({_what(error)}). {REJOIN}") from error
    for part, expected in zip(parts, sizes, strict=True):
        if isinstance(part, Part):
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
