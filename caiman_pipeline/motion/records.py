"""Records of the motion stage, to and from result files."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import ceil, log2
from pathlib import Path
from typing import Any

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.motion import Shifts
from caiman_pipeline.results.files import Result, load_result
from caiman_pipeline.results.records import shifts_from_result, shifts_to_arrays
from caiman_pipeline.results.stored_rows import stack_rows

# Bits of a value that sums keep, about a float32's own: 2**40 frames fit into an int64.
SUM_BITS = 22


# What is kept of the modes of displacement, by the names of ``modes.Modes``, which needs compiled code.
MODES = ("axes", "to_nodes", "to_squares", "information", "signal", "noise", "kernel")


@dataclass(frozen=True)
class BlockResult:
    """What one block of frames leaves besides its parts.

    Attributes
    ----------
    at_limit : bool (T,), frames whose shift may be larger than allowed
    outside : int32 dims, good frames in which a pixel comes from outside the field of view
    sum_before, sum_after : int64 dims, sums over the good frames, in units of 1 / scale
    correlation_before, correlation_after : float32 (T,), each frame's likeness to its mean image
    gain : float32 (T,), how strong the template is in each corrected frame, 1 as in the template
    likeness : float32 (T,), as ``correlation_after``, but activity counts little: ``sums.Likeness.of_quiet``
    residual_before, residual_after : float32 (parts,), pixels, motion left between each part's mean and the template
    """

    shifts: Shifts
    at_limit: BoolArray
    outside: IntArray
    sum_before: IntArray
    sum_after: IntArray
    correlation_before: FloatArray
    correlation_after: FloatArray
    gain: FloatArray
    likeness: FloatArray
    residual_before: FloatArray
    residual_after: FloatArray


@dataclass(frozen=True)
class TemplateResult:
    """What the blocks of a recording need to correct their frames.

    Attributes
    ----------
    template : float32 dims, in raw pixel values
    weight : float32 dims, inverse noise variance of each pixel as registration sees it
    mask : bool dims, pixels inside the field of view in nearly all frames of the sample
    mean_before : float32 dims, mean of the sample's raw frames
    method : none, rigid, piecewise or given
    scores : float64 (3,), log-likelihood per frame gained by no, rigid and local correction on pixels not used for it
    scan_offset_px : how far odd rows lie to the right of even ones
    sample : int64 (stretches, 2), (start, stop) of the frames used
    modes : arrays of the modes of motion, empty without registration
    given : shifts of the whole recording, where they were given
    no_shifts : int64, frames that were left out of the recording that these come from, so that theirs are not known
    """

    template: FloatArray
    weight: FloatArray
    mask: BoolArray
    mean_before: FloatArray
    method: str
    scores: FloatArray
    scan_offset_px: float
    sample: IntArray
    modes: dict[str, Any]
    given: Shifts | None
    no_shifts: IntArray


def sum_scale(value_min: float, value_max: float) -> float:
    """Return the power of two by which values are multiplied before they are rounded and summed as integers.

    Parameters
    ----------
    value_min : float
        Smallest pixel value of the movie.
    value_max : float
        Largest pixel value of the movie.

    Returns
    -------
    float
        A power of two, so that scaling itself rounds nothing.

    Examples
    --------
    >>> sum_scale(0.0, 4096.0)
    1024.0
    """
    largest = max(abs(value_min), abs(value_max), 1e-30)
    return 2.0 ** (SUM_BITS - ceil(log2(largest)))


def join_shifts(pieces: list[Shifts]) -> Shifts:
    """Return shifts of consecutive frames as one; pieces without frames do not matter.

    Parameters
    ----------
    pieces : list of Shifts
        Of consecutive frames, in order, all with a field or all without.

    Returns
    -------
    Shifts
        Of all frames.
    """
    pieces = [p for p in pieces if p.n_frames] or pieces[:1]
    rigid = np.concatenate([p.rigid for p in pieces])
    if pieces[0].field is None:
        return Shifts(rigid)
    return Shifts(rigid, stack_rows([p.field for p in pieces if p.field is not None]), pieces[0].grid)


class ShiftTable:
    """Shifts of so many frames, filled as their pieces come: these need not be kept.

    ``kind`` are shifts of no frame, with or without a field as all the pieces.
    """

    def __init__(self, kind: Shifts, n_frames: int) -> None:
        rigid = np.zeros((n_frames, kind.rigid.shape[1]), np.float32)
        field = None if kind.field is None else np.zeros((n_frames, *kind.field.shape[1:]), np.float32)
        self.shifts, self._filled = Shifts(rigid, field, kind.grid), 0

    def add(self, piece: Shifts) -> None:
        """Take over the shifts of the frames that follow.

        Parameters
        ----------
        piece : Shifts
            Of those frames, with a field if the table has one.
        """
        here = slice(self._filled, self._filled + piece.n_frames)
        self.shifts.rigid[here] = piece.rigid
        if self.shifts.field is not None and piece.field is not None:
            self.shifts.field[here] = piece.field
        self._filled = here.stop


def less_rigid(shifts: Shifts, rigid: FloatArray) -> Shifts:
    """Return shifts from which rigid ones, (T, ndim) or (ndim,) for all frames, are taken away.

    Parameters
    ----------
    shifts : Shifts
        Rigid, or with a field.
    rigid : float32 (T, ndim) or (ndim,)
        What to take away, pixels; one row stands for all frames.

    Returns
    -------
    Shifts
        Of the same frames; a field loses as much at every node.
    """
    rigid = np.broadcast_to(np.asarray(rigid, np.float32), shifts.rigid.shape)
    per_node = rigid.reshape(len(rigid), *(1,) * rigid.shape[1], -1)
    field = None if shifts.field is None else shifts.field - per_node
    return Shifts(shifts.rigid - rigid, field, shifts.grid)


def slice_shifts(shifts: Shifts, start: int, stop: int) -> Shifts:
    """Return the shifts of frames ``start`` to ``stop``.

    Parameters
    ----------
    shifts : Shifts
        Of a recording.
    start : int
        First frame.
    stop : int
        Frame after the last.

    Returns
    -------
    Shifts
        Of ``stop - start`` frames, on the same memory.
    """
    field = None if shifts.field is None else shifts.field[start:stop]
    return Shifts(shifts.rigid[start:stop], field, shifts.grid)


def template_to_arrays(result: TemplateResult) -> dict[str, Any]:
    """Flatten a template for ``save_result``.

    Parameters
    ----------
    result : TemplateResult
        The template.

    Returns
    -------
    dict
        Arrays and text by name; those of modes and given shifts begin with ``modes_`` and ``given_``.
    """
    values = {f.name: getattr(result, f.name) for f in fields(result) if f.name not in ("modes", "given")}
    values.update({f"modes_{name}": value for name, value in result.modes.items()})
    if result.given is not None:
        values.update({f"given_{name}": value for name, value in shifts_to_arrays(result.given).items()})
    return values


def template_from_result(result: Result) -> TemplateResult:
    """Rebuild a template.

    Parameters
    ----------
    result : Result
        What ``template_to_arrays`` made, read from a file.

    Returns
    -------
    TemplateResult
        The template.

    Raises
    ------
    PipelineError
        If another version wrote it, whose templates held something else.
    """
    plain = {f.name: result[f.name] for f in fields(TemplateResult) if f.name not in ("modes", "given")}
    plain["scan_offset_px"] = float(plain["scan_offset_px"])
    modes = {name: result[f"modes_{name}"] for name in MODES} if _holds(result, "modes_") else {}
    given = {name.removeprefix("given_"): v for name, v in result.arrays.items() if name.startswith("given_")}
    shifts = shifts_from_result(Result("given", given, {}, {})) if given else None
    return TemplateResult(**plain, modes=modes, given=shifts)


def _holds(result: Result, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in result.arrays)


def block_to_arrays(block: BlockResult) -> dict[str, Any]:
    """Flatten a block's result for ``save_result``.

    Parameters
    ----------
    block : BlockResult
        What a block of frames left.

    Returns
    -------
    dict
        Arrays by the names of its fields, and those of its shifts.
    """
    return {**shifts_to_arrays(block.shifts), **{n: v for n, v in vars(block).items() if n != "shifts"}}


def block_from_result(result: Result) -> BlockResult:
    """Rebuild a block's result.

    Parameters
    ----------
    result : Result
        What ``block_to_arrays`` made, read from a file.

    Returns
    -------
    BlockResult
        What a block of frames left.
    """
    names = [f.name for f in fields(BlockResult) if f.name != "shifts"]
    return BlockResult(shifts_from_result(result), **{name: result[name] for name in names})


def load_shifts(path: Path | str) -> Shifts:
    """Return the shifts of a recording from its ``motion.h5``.

    Parameters
    ----------
    path : path
        ``motion.h5``.

    Returns
    -------
    Shifts
        Displacement of the scene in every frame, pixels.

    Raises
    ------
    PipelineError
        If it is not such a file.
    """
    return shifts_from_result(load_result(path, "motion"))
