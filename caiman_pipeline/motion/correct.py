"""Correct one block of frames: estimate, resample, write parts, and sum what the measures need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caiman_pipeline.io.readers import RawMovie
from caiman_pipeline.io.store import PartWriter
from caiman_pipeline.motion.apply import count_valid, translate
from caiman_pipeline.motion.rigid import RigidTemplate, register_rigid
from caiman_pipeline.types import FloatArray, Shifts


@dataclass(frozen=True)
class BlockResult:
    """What one block of frames leaves besides its parts.

    Attributes
    ----------
    valid_count : int32 dims, frames in which a pixel lies inside the field of view
    sum_before, sum_after : float64 dims, sums over the good frames
    correlation_before, correlation_after : float32 (T,), each frame's correlation with the template
    """

    shifts: Shifts
    valid_count: FloatArray
    sum_before: FloatArray
    sum_after: FloatArray
    correlation_before: FloatArray
    correlation_after: FloatArray


def correct_block(
    movie: RawMovie,
    parts: list[tuple[int, int, int]],
    folder: Path,
    *,
    template: FloatArray,
    registration: RigidTemplate | None,
    bad_frames: tuple[int, ...],
    box: FloatArray,
    progress: Callable[[int, int], None],
) -> BlockResult:
    """Correct the frames of ``parts`` and write them into ``folder``.

    ``registration`` is None to leave frames where they are.
    """
    dims, ndim = movie.dims, len(movie.dims)
    n_frames = sum(stop - start for _, start, stop in parts)
    shifts = np.zeros((n_frames, ndim), np.float32)
    before, after = np.zeros(n_frames, np.float32), np.zeros(n_frames, np.float32)
    sums = np.zeros((2, *dims))
    centred = (template - template.mean()).ravel() / (template.std() * template.size + 1e-30)
    done = 0
    with PartWriter(folder) as writer:
        for index, start, stop in parts:
            frames = np.nan_to_num(movie.read(start, stop).astype(np.float32))
            here = slice(done, done + stop - start)
            if registration is not None:
                shifts[here] = register_rigid(frames, registration)
            bad = np.isin(np.arange(start, stop), bad_frames)
            shifts[here][bad] = 0
            moved = translate(frames, shifts[here], box=box)
            writer.write(index, moved)
            sums[0] += frames[~bad].sum(0, dtype=np.float64)
            sums[1] += moved[..., ~bad].sum(-1, dtype=np.float64)
            flat = moved.reshape(-1, stop - start)
            before[here] = (
                frames.reshape(stop - start, -1) @ centred / np.maximum(frames.reshape(stop - start, -1).std(1), 1e-30)
            )
            after[here] = centred @ flat / np.maximum(flat.std(0), 1e-30)
            done = here.stop
            progress(done, n_frames)
    return BlockResult(Shifts(shifts), count_valid(shifts, box=box, dims=dims), *sums, before, after)
