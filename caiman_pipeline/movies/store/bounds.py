"""Which frames are in which part of a movie, and which parts a block makes."""

from __future__ import annotations

from math import prod

import numpy as np

from caiman_pipeline.model.movie import Dims

# Bytes of a part, about: what a job holds at a time, and few files per recording.
PART_BYTES = 64 * 2**20


def part_length(dims: Dims) -> int:
    """Return the frames in one part of a movie with frames of ``dims``: a power of two, about 64 MiB of float32.

    Parameters
    ----------
    dims : tuple of int
        (H, W) or (D, H, W).

    Returns
    -------
    int
        Frames, 16 to 1024.

    Examples
    --------
    >>> part_length((512, 512))
    64
    """
    frames = PART_BYTES // (4 * prod(dims))
    return 2 ** int(np.clip(np.floor(np.log2(max(frames, 1))), 4, 10))


def part_bounds(n_frames: int, dims: Dims) -> list[tuple[int, int]]:
    """Return (start, stop) of every part of a movie, in order.

    Parameters
    ----------
    n_frames : int
        Frames of the movie.
    dims : tuple of int
        (H, W) or (D, H, W).

    Returns
    -------
    list of (int, int)
        First frame of each part, and the one after its last.

    Examples
    --------
    >>> part_bounds(150, (512, 512))
    [(0, 64), (64, 128), (128, 150)]
    """
    length = part_length(dims)
    return [(start, min(start + length, n_frames)) for start in range(0, n_frames, length)]


def block_parts(n_frames: int, dims: Dims, block: int, n_blocks: int) -> list[tuple[int, int, int]]:
    """Return (part index, start, stop) of the parts that block ``block`` (from 0) of ``n_blocks`` makes; or none.

    Parameters
    ----------
    n_frames : int
        Frames of the movie.
    dims : tuple of int
        (H, W) or (D, H, W).
    block : int
        Number of the block, from 0.
    n_blocks : int
        Blocks in all.

    Returns
    -------
    list of (int, int, int)
        Index, first frame and the frame after the last of each of its parts.
    """
    bounds = part_bounds(n_frames, dims)
    first, last = (len(bounds) * b // n_blocks for b in (block, block + 1))
    return [(i, *bounds[i]) for i in range(first, last)]


def part_name(index: int) -> str:
    """Return the file name of part ``index``.

    Parameters
    ----------
    index : int
        Number of the part, from 0.

    Returns
    -------
    str
        Name.
    """
    return f"part-{index:05d}.npy"
