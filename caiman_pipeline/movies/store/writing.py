"""Parts of the movie on their way to disk, or to an object store."""

from __future__ import annotations

import json
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.movies.store.bounds import part_length, part_name
from caiman_pipeline.results.atomic import flush_to_disk, write_text

if TYPE_CHECKING:
    from caiman_pipeline.movies.store.zarr_parts import BlockArray

CHECKSUMS = "checksums.json"
ELSEWHERE = "array.json"


class PartWriter:
    """Write parts into a folder, flushing each to disk in the background while the next is computed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(1)
        self._waiting: Future[None] | None = None
        self._checksums: dict[str, int] = {}
        self._array = _array_elsewhere(folder)

    def write(self, index: int, frames: FloatArray) -> None:
        """Queue one part, float32 (*dims, T_part); blocks while the part before it is still being written.

        Parameters
        ----------
        index : int
            Number of the part, from 0.
        frames : float32 (*dims, T_part)
            Not to be changed before ``wait`` returns.
        """
        self.wait()
        if self._array is not None:
            start = index * part_length(frames.shape[:-1])
            self._waiting = self._pool.submit(self._array.write, start, frames)
        else:
            self._waiting = self._pool.submit(self._save, self._folder / part_name(index), frames)

    def wait(self) -> None:
        """Return when the queued part is on disk, so that its memory can be used again."""
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
            if self._array is None:
                write_text(self._folder / CHECKSUMS, json.dumps(self._checksums))


def keep_elsewhere(folder: Path, url: str, *, dims: Dims, parts: list[tuple[int, int, int]]) -> None:
    """Say in a block's folder that its parts go to an object store: a Zarr array at ``url``.

    Parameters
    ----------
    folder : path
        The block's folder.
    url : str
        Where the array goes.
    dims : tuple of int
        (H, W) or (D, H, W).
    parts : list of (int, int, int)
        Index, first frame and the frame after the last of each part.
    """
    first, last = (parts[0][1], parts[-1][2]) if parts else (0, 0)
    record = {
        "url": url,
        "dims": [int(n) for n in dims],
        "first": first,
        "n_frames": last - first,
        "parts": [[int(n) for n in part] for part in parts],
    }
    write_text(folder / ELSEWHERE, json.dumps(record, indent=1))


def _array_elsewhere(folder: Path) -> BlockArray | None:
    path = folder / ELSEWHERE
    if not path.exists():
        return None
    from caiman_pipeline.movies.store.zarr_parts import BlockArray

    record = json.loads(path.read_text(encoding="utf-8"))
    if not record["parts"]:
        return None
    dims = tuple(record["dims"])
    return BlockArray(
        record["url"], dims=dims, first=record["first"], n_frames=record["n_frames"], part_frames=part_length(dims)
    )
