"""Bring the blocks of a recording together: parts, shifts, sums and the valid mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from caiman_pipeline.errors import PipelineError
from caiman_pipeline.io.records import shifts_to_arrays
from caiman_pipeline.io.store import Part, part_bounds, part_name
from caiman_pipeline.motion.correct import BlockResult
from caiman_pipeline.motion.results import join_shifts
from caiman_pipeline.types import Dims, FloatArray


def find_parts(folders: list[Path], *, n_frames: int, dims: Dims) -> list[Part]:
    """Return all parts of the movie in order, from the blocks' folders.

    Raises
    ------
    PipelineError
        If a part is missing.
    """
    present = {path.name: path for folder in folders for path in folder.glob("part-*.npy")}
    parts = []
    for index, (start, stop) in enumerate(part_bounds(n_frames, dims)):
        path = present.get(part_name(index))
        if path is None:
            raise PipelineError(
                f"{folders[0].parent}: {part_name(index)} (frames {start} to {stop}) is in no block. "
                "Delete the blocks and run motion_correct again."
            )
        parts.append(Part(path, start, stop))
    return parts


def join_blocks(blocks: list[BlockResult], *, n_frames: int, bad_frames: tuple[int, ...]) -> dict[str, Any]:
    """Return the arrays of ``motion.h5`` that come from the blocks."""
    good = max(n_frames - len(bad_frames), 1)
    shifts = join_shifts(blocks)
    return {
        **shifts_to_arrays(shifts),
        "valid_count": sum(b.valid_count for b in blocks),
        "mean_before": np.asarray(sum(b.sum_before for b in blocks) / good).astype(np.float32),
        "mean_after": np.asarray(sum(b.sum_after for b in blocks) / good).astype(np.float32),
        "correlation_before": np.concatenate([b.correlation_before for b in blocks]),
        "correlation_after": np.concatenate([b.correlation_after for b in blocks]),
        "flagged": np.isin(np.arange(n_frames), bad_frames),
    }


def valid_mask(valid_count: FloatArray, *, n_frames: int) -> FloatArray:
    """Return which pixels lie inside the field of view in nearly all frames, bool dims."""
    return valid_count >= 0.95 * n_frames
