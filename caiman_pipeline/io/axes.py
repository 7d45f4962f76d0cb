"""Which axis of a stored array is time, plane, row and column; asked for, never guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from caiman_pipeline.errors import PipelineError
from caiman_pipeline.types import Dims, FloatArray


@dataclass(frozen=True)
class AxisOrder:
    """How to bring an array with labelled axes to (T, [D,] H, W).

    Attributes
    ----------
    time : position of the time axis, or None for a single frame
    order : positions of the axes to keep, time first when there is one
    """

    time: int | None
    order: tuple[int, ...]

    def frames(self, shape: Dims) -> int:
        """Return the frames in an array of ``shape``."""
        return 1 if self.time is None else shape[self.time]

    def dims(self, shape: Dims) -> Dims:
        """Return (H, W) or (D, H, W) of an array of ``shape``."""
        return tuple(shape[i] for i in self.order if i != self.time)

    def read(self, array: Any, start: int, stop: int) -> FloatArray:
        """Return frames ``start`` to ``stop`` as (t, [D,] H, W) in this machine's byte order.

        ``array`` may be anything that slices.
        """
        index = [slice(None) if i in self.order else 0 for i in range(len(array.shape))]
        if self.time is not None:
            index[self.time] = slice(start, stop)
        block = np.asarray(array[tuple(index)])
        block = block.astype(block.dtype.newbyteorder("="), copy=False)
        kept = sorted(self.order)
        block = block.transpose([kept.index(i) for i in self.order])
        return block if self.time is not None else block[None]


def order_axes(path: str, shape: Dims, axes: str | None, stored: str | None = None) -> AxisOrder:
    """Decide the axis order of an array.

    Parameters
    ----------
    path : the file, for messages
    shape : the array's shape
    axes : what the recordings sheet says, letters of TZYX and one for each further axis, or None
    stored : what the file itself says, if it does

    Raises
    ------
    PipelineError
        If the order is not stated and cannot be told, or does not fit the array.
    """
    if axes is None and stored is not None and len(shape) > 2 and "T" not in stored:
        raise PipelineError(
            f"{path}: the file calls its axes {stored!r} (shape {shape}), so which of them is time? {_advice(shape)}"
        )
    if axes is None and stored is not None and len(set(stored)) < len(stored):
        raise PipelineError(f"{path}: an array of shape {shape} needs its axes named. {_advice(shape)}")
    labels = (axes or stored or _unlabelled(path, shape)).upper()
    if len(labels) != len(shape) or len(set(labels)) != len(labels) or not {"Y", "X"} <= set(labels):
        raise PipelineError(f"{path}: axes {labels!r} do not fit an array of shape {shape}. {_advice(shape)}")
    extra = [i for i, letter in enumerate(labels) if letter not in "TZYX"]
    wide = [f"{labels[i]} of length {shape[i]}" for i in extra if shape[i] != 1]
    if wide:
        raise PipelineError(
            f"{path}: shape {shape} has axis {', '.join(wide)}, which is neither time nor plane, row or column. "
            + _advice(shape)
        )
    keep = [labels.index(letter) for letter in "TZYX" if letter in labels]
    planes = labels.find("Z")
    if planes >= 0 and shape[planes] == 1:
        keep.remove(planes)
    return AxisOrder(labels.index("T") if "T" in labels else None, tuple(keep))


def _advice(shape: Dims) -> str:
    example = {2: "YX", 3: "TYX", 4: "TZYX", 5: "TZCYX"}.get(len(shape), "TYX")
    return f"State them in the sheet's `axes` column, one letter for each axis, for example {example}."


def _unlabelled(path: str, shape: Dims) -> str:
    if len(shape) == 2:
        return "YX"
    if len(shape) != 3:
        raise PipelineError(f"{path}: an array of shape {shape} needs its axes named. {_advice(shape)}")
    if shape[2] > 2 * max(shape[:2]) or shape[0] == shape[1] != shape[2]:
        raise PipelineError(
            f"{path}: shape {shape} looks as if time were the last axis, not the first. {_advice(shape)}"
        )
    return "TYX"
