"""Parts of the movie as a Zarr array on an object store: one array for each block, one shard for each part.

A shard is cut into chunks of about 64 KiB, a small box of the field of view over the part's frames. A tile job asks
for the chunks under its tiles and moves nothing else. Part boundaries are those of the store on disk, so every number
comes out the same. Chunks carry checksums: a damaged one is an error, never data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np
import zarr
from obstore.exceptions import BaseError
from obstore.store import from_url
from zarr.abc.store import ByteRequest
from zarr.codecs import Crc32cCodec
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Bounds, Dims
from caiman_pipeline.movies.store.traffic import TRAFFIC

# Bytes of a chunk, before compression: a request to an object store costs as much as some tens of kilobytes.
CHUNK_BYTES = 2**16
# Pixels of a chunk's side, at least: narrower ones would cut cells to pieces.
SMALLEST_SIDE = 8
REACH = "Check the URL, the credentials and the endpoint in the environment (AWS_ENDPOINT_URL and so on)."


class CountedStore(ObjectStore):
    """An object store that counts what passes."""

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Read an object or a range of it."""
        found = await super().get(key, prototype, byte_range)
        TRAFFIC.add(read=len(found) if found is not None else 0)
        return found

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Read several ranges."""
        found = await super().get_partial_values(prototype, key_ranges)
        for one in found:
            TRAFFIC.add(read=len(one) if one is not None else 0)
        return found

    async def set(self, key: str, value: Buffer) -> None:
        """Write an object."""
        await super().set(key, value)
        TRAFFIC.add(written=len(value))


def chunk_shape(dims: Dims, part_frames: int) -> Dims:
    """Return the box of the field of view that makes a chunk of about 64 KiB: a power of two along each axis.

    Parameters
    ----------
    dims : tuple of int
        (H, W) or (D, H, W).
    part_frames : int
        Frames of a part.

    Returns
    -------
    tuple of int
        Pixels along each axis.
    """
    side = (CHUNK_BYTES / (4 * part_frames)) ** (1 / len(dims))
    return tuple(min(max(2 ** int(np.log2(max(side, 1))), SMALLEST_SIDE), _power_above(n)) for n in dims)


def _power_above(n: int) -> int:
    return 2 ** int(np.ceil(np.log2(max(n, 1))))


def _open_store(url: str, *, read_only: bool) -> CountedStore:
    try:
        if url.startswith("file://"):
            return CountedStore(from_url(url, mkdir=not read_only), read_only=read_only)
        return CountedStore(from_url(url, client_options={"allow_http": True}), read_only=read_only)
    except (BaseError, ValueError) as error:
        raise PipelineError(f"{url}: not an object store that can be opened ({_first_line(error)}). {REACH}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class BlockArray:
    """A block's part of the movie while it is written: float32 (*dims, T_block)."""

    def __init__(self, url: str, *, dims: Dims, first: int, n_frames: int, part_frames: int) -> None:
        self.url, self._first = url, first
        chunk = chunk_shape(dims, part_frames)
        shard = tuple(-(-n // c) * c for n, c in zip(dims, chunk, strict=True))
        try:
            self._array = zarr.create_array(
                _open_store(url, read_only=False),
                shape=(*dims, n_frames),
                chunks=(*chunk, part_frames),
                shards=(*shard, part_frames),
                dtype=np.float32,
                compressors=[Crc32cCodec()],
                overwrite=True,
            )
        except (BaseError, OSError) as error:
            raise PipelineError(f"{url}: cannot be written ({_first_line(error)}). {REACH}") from error

    def write(self, start: int, frames: FloatArray) -> None:
        """Write the frames of one part, float32 (*dims, T_part), that starts at frame ``start`` of the movie.

        Parameters
        ----------
        start : int
            First frame of the part, in the movie.
        frames : float32 (*dims, T_part)
            The part.

        Raises
        ------
        PipelineError
            If the store cannot be written.
        """
        offset = start - self._first
        try:
            self._array[..., offset : offset + frames.shape[-1]] = frames
        except (BaseError, OSError) as error:
            raise PipelineError(f"{self.url}: cannot be written ({_first_line(error)}). {REACH}") from error


@cache
def _open_array(url: str) -> Any:
    try:
        return zarr.open_array(_open_store(url, read_only=True), mode="r", zarr_format=3)
    except (BaseError, OSError, KeyError, ValueError) as error:
        raise PipelineError(f"{url}: part of the movie cannot be opened ({_first_line(error)}). {REACH}") from error


@dataclass(frozen=True)
class ZarrPart:
    """One part of the store on an object store, not yet opened; ``offset`` is its first frame in its array."""

    url: str
    offset: int
    start: int
    stop: int

    def read(self) -> FloatArray:
        """Return the whole part, float32 (*dims, stop - start)."""
        return self._read((slice(None),) * (_open_array(self.url).ndim - 1))

    def read_box(self, bounds: Bounds) -> FloatArray:
        """Return a box of the field of view; only chunks that it touches are moved.

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
            If the store cannot be read, or a chunk is damaged.
        """
        return self._read(tuple(slice(a, b) for a, b in bounds))

    def _read(self, box: tuple[slice, ...]) -> FloatArray:
        frames = slice(self.offset, self.offset + self.stop - self.start)
        try:
            found = np.ascontiguousarray(_open_array(self.url)[(*box, frames)])
        except (BaseError, OSError, ValueError) as error:
            raise PipelineError(
                f"{self.url}: frames {self.start} to {self.stop} cannot be read ({_first_line(error)}). {REACH} "
                "If it is damaged, delete it and run motion_correct again."
            ) from error
        assert prod(found.shape) > 0
        return found
