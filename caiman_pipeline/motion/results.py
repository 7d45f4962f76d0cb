"""Records of the motion stage to and from result files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from caiman_pipeline.io.records import shifts_from_result, shifts_to_arrays
from caiman_pipeline.io.results import Result, load_result
from caiman_pipeline.motion.correct import BlockResult
from caiman_pipeline.types import Shifts


def block_to_arrays(block: BlockResult) -> dict[str, Any]:
    """Flatten a block's result for ``save_result``."""
    values = dict(vars(block))
    return {**shifts_to_arrays(values.pop("shifts")), **values}


def block_from_result(result: Result) -> BlockResult:
    """Rebuild a block's result."""
    names = ("valid_count", "sum_before", "sum_after", "correlation_before", "correlation_after")
    return BlockResult(shifts_from_result(result), *(result[name] for name in names))


def load_shifts(path: Path | str) -> Shifts:
    """Return the shifts of a recording from its ``motion.h5``."""
    return shifts_from_result(load_result(path, "motion"))


def join_shifts(blocks: list[BlockResult]) -> Shifts:
    """Return the shifts of all blocks in order."""
    return Shifts(np.concatenate([b.shifts.rigid for b in blocks]))
