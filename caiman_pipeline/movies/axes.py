"""Which axis of a stored array is time, plane, channel, row and column; asked for, never guessed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims, Reading
from caiman_pipeline.movies.readers.choices import Channel, choose_channel, choose_planes

# The order that movies have in memory.
MOVIE_AXES = "TZYX"
# What a message suggests for an array of so many axes.
EXAMPLES = {
    2: "YX",
    3: "TYX (frames first) or YXT (frames last)",
    4: "TZYX (planes) or TCYX (channels)",
    5: "TZCYX",
}
# Channels, and the samples (colours) of an image.
CHANNEL_AXES = "CS"


@dataclass(frozen=True)
class AxisOrder:
    """How to bring an array with labelled axes to (T, [D,] H, W).

    Attributes
    ----------
    time : position of the time axis, or None for a single frame
    order : positions of the axes to keep, time first when there is one
    picked : what to take of other axes, by position: the channel, the only plane; else the first entry
    planes : which entries of the plane axis to keep, with its position, where not all are wanted
    turns : lengths of the axes that the first stored axis holds in turn, outermost first; the first of them is open
    """

    time: int | None
    order: tuple[int, ...]
    picked: tuple[tuple[int, int], ...] = ()
    planes: tuple[int, slice] | None = None
    turns: Dims = ()

    def frames(self, shape: Dims) -> int:
        """Return the frames in an array of ``shape``.

        Parameters
        ----------
        shape : tuple of int
            Shape of the stored array.

        Returns
        -------
        int
            Frames, T.
        """
        return 1 if self.time is None else unfold(shape, self.turns)[self.time]

    def dims(self, shape: Dims) -> Dims:
        """Return (H, W) or (D, H, W) of an array of ``shape``.

        Parameters
        ----------
        shape : tuple of int
            Shape of the stored array.

        Returns
        -------
        tuple of int
            Size of a frame, pixels.
        """
        sizes = dict(enumerate(unfold(shape, self.turns)))
        if self.planes is not None:
            sizes[self.planes[0]] = len(range(*self.planes[1].indices(sizes[self.planes[0]])))
        return tuple(sizes[i] for i in self.order if i != self.time)

    def read(self, array: Any, start: int, stop: int) -> NumberArray:
        """Return frames ``start`` to ``stop`` in this machine's byte order.

        Parameters
        ----------
        array : object
            The stored array, or anything that has its shape and slices.
        start : int
            First frame.
        stop : int
            Frame after the last.

        Returns
        -------
        array (t, [D,] H, W)
            Frames in the stored type.
        """
        if self.turns:
            array = _InTurns(array, self.turns)
        index: list[slice | int] = [slice(None) if i in self.order else 0 for i in range(len(array.shape))]
        for position, entry in self.picked:
            index[position] = entry
        if self.planes is not None:
            index[self.planes[0]] = self.planes[1]
        if self.time is not None:
            index[self.time] = slice(start, stop)
        block = np.asarray(array[tuple(index)])
        block = block.astype(block.dtype.newbyteorder("="), copy=False)
        kept = sorted(self.order)
        block = block.transpose([kept.index(i) for i in self.order])
        return block if self.time is not None else block[None]


class _InTurns:
    """An array whose first axis holds several axes in turn, as an array of one more axis for each of them."""

    def __init__(self, array: Any, turns: Dims) -> None:
        self._array, self._turns, self.shape = array, turns, unfold(tuple(array.shape), turns)

    def __getitem__(self, index: tuple[slice | int, ...]) -> FloatArray:
        lead, rest = index[: len(self._turns)], index[len(self._turns) :]
        inner = prod(self._turns[1:])
        first = lead[0] if isinstance(lead[0], slice) else slice(lead[0], lead[0] + 1)
        start, stop, _ = first.indices(self.shape[0])
        block = np.asarray(self._array[(slice(start * inner, stop * inner), *rest)])
        block = block.reshape(stop - start, *self._turns[1:], *block.shape[1:])
        return block[(slice(None) if isinstance(lead[0], slice) else 0, *lead[1:])]


def unfold(shape: Dims, turns: Dims) -> Dims:
    """Return the shape of an array whose first axis holds several in turn.

    Parameters
    ----------
    shape : tuple of int
        Shape of the stored array.
    turns : tuple of int
        Lengths of the axes that its first one holds in turn, outermost first; empty for none.

    Returns
    -------
    tuple of int
        With one axis for each.

    Examples
    --------
    >>> unfold((60, 96, 128), (0, 3))                # 20 volumes of three planes
    (20, 3, 96, 128)
    """
    return (shape[0] // prod(turns[1:]), *turns[1:], *shape[1:]) if turns else tuple(shape)


def parse_axes(axes: str) -> list[tuple[str, int | None]]:
    """Return the letters of ``axes`` in order, with the number behind each, if any: ``TZ4YX``.

    Parameters
    ----------
    axes : str
        Letters, in any case, with or without numbers.

    Returns
    -------
    list of (str, int or None)
        A letter and its number.

    Examples
    --------
    >>> parse_axes("TZ4YX")
    [('T', None), ('Z', 4), ('Y', None), ('X', None)]
    """
    return [(letter, int(digits) if digits else None) for letter, digits in re.findall(r"([A-Z])(\d*)", axes.upper())]


def order_axes(
    path: str,
    shape: Dims,
    reading: Reading,
    stored: str | None = None,
    *,
    channels: Sequence[Channel] = (),
) -> AxisOrder:
    """Decide the axis order of an array, its channel and its planes.

    Parameters
    ----------
    path : str
        The file, for messages.
    shape : tuple of int
        The array's shape.
    reading : Reading
        What the recordings sheet says: axes (a letter for each axis of the array), channel and planes.
    stored : str, optional
        What the file itself says of its axes, if it does.
    channels : sequence of Channel
        What the file calls its channels, in their order; none: they are counted from 1.

    Returns
    -------
    AxisOrder
        How to bring the array to (T, [D,] H, W).

    Raises
    ------
    PipelineError
        If the order is not stated and cannot be told, does not fit the array or contradicts the file, or if a
        channel or planes must be chosen.

    Examples
    --------
    >>> order_axes("movie.h5", (96, 128, 500), Reading("YXT")).order
    (2, 0, 1)
    """
    stated = parse_axes(reading.axes) if reading.axes else []
    turns = _turns(path, shape, stated)
    if turns:
        stored, shape = None, unfold(shape, turns)
    labels = _labels(path, shape, "".join(letter for letter, _ in stated) or None, stored)
    if not turns and reading.axes and stored is not None:
        _refuse_channels_as_frames(path, shape, labels, stored)
    picked = _picked_channel(path, labels, shape, reading.channel, channels)
    keep = [labels.index(letter) for letter in MOVIE_AXES if letter in labels]
    at = labels.find("Z")
    planes = choose_planes(path, shape[at] if at >= 0 else 1, reading.planes)
    n_planes = len(range(*planes.indices(shape[at]))) if at >= 0 else 0
    if n_planes == 1:
        keep.remove(at)
        picked = (*picked, (at, planes.start))
    some = (at, planes) if at in keep and n_planes < shape[at] else None
    return AxisOrder(labels.index("T") if "T" in labels else None, tuple(keep), picked, some, turns)


def overruled(path: Path, reading: Reading, stored: str | None) -> tuple[str, ...]:
    """Return that the sheet's axes are others than those that the file states, if so.

    Parameters
    ----------
    path : path
        The file.
    reading : Reading
        What the recordings sheet says.
    stored : str or None
        What the file itself says of its axes.

    Returns
    -------
    tuple of str
        One sentence, or none.
    """
    stated = (reading.axes or "").upper()
    if stored is None or not stated.isalpha() or stated == stored:
        return ()
    return (f"{path.name}: the sheet's `axes` {stated} are used, but the file calls its axes {stored}",)


def _turns(path: str, shape: Dims, stated: list[tuple[str, int | None]]) -> Dims:
    """Return the lengths of axes that the array's first one holds in turn, where the sheet gives such numbers."""
    if all(length is None for _, length in stated):
        return ()
    lead = stated[: len(stated) - len(shape) + 1]
    inner = [length or 0 for _, length in lead[1:]]
    if len(lead) < 2 or 0 in inner or any(length for _, length in stated[len(lead) :]):
        raise PipelineError(
            f"{path}: axes with numbers do not fit an array of shape {shape}. Give each axis but the first "
            "that takes turns along the array's first axis its number, for example TZ4YX."
        )
    if shape[0] % prod(inner) or lead[0][1] not in (None, shape[0] // prod(inner)):
        raise PipelineError(
            f"{path}: {shape[0]} images do not make whole turns of {prod(inner)}, as the numbers in `axes` say. "
            "Correct them in the sheet."
        )
    return (0, *inner)


def _labels(path: str, shape: Dims, axes: str | None, stored: str | None) -> str:
    """Return one letter for each axis: as the sheet says, as the file says, or what a plain array cannot mean else."""
    if axes is None and stored is not None and len(shape) > 2 and "T" not in stored:
        raise PipelineError(
            f"{path}: the file calls its axes {stored!r} (shape {shape}), so which of them is time? {advice(shape)}"
        )
    if axes is None and stored is not None and len(set(stored)) < len(stored):
        raise PipelineError(f"{path}: an array of shape {shape} needs its axes named. {advice(shape)}")
    labels = (axes or stored or _unlabelled(path, shape)).upper()
    if len(labels) != len(shape) or len(set(labels)) != len(labels) or not {"Y", "X"} <= set(labels):
        raise PipelineError(f"{path}: axes {labels!r} do not fit an array of shape {shape}. {advice(shape)}")
    return labels


def _refuse_channels_as_frames(path: str, shape: Dims, labels: str, stored: str) -> None:
    """Refuse letters by which channels or colours would become planes or frames."""
    for letter, own, length in zip(labels, stored.upper(), shape, strict=False):
        if own in CHANNEL_AXES and letter not in CHANNEL_AXES and length > 1:
            raise PipelineError(
                f"{path}: `axes` calls {letter!r} what the file calls channels or colours ({length} of them, shape "
                f"{shape}). Call that axis C in the `axes` column, and choose one in the `channel` column."
            )


def _picked_channel(
    path: str, labels: str, shape: Dims, wanted: str | None, channels: Sequence[Channel]
) -> tuple[tuple[int, int], ...]:
    """Return which entry to take of an axis that is neither time nor space: only channels may have several."""
    extra = [i for i, letter in enumerate(labels) if letter not in MOVIE_AXES and shape[i] != 1]
    wide = [f"{labels[i]} of length {shape[i]}" for i in extra if labels[i] not in CHANNEL_AXES]
    if wide or len(extra) > 1:
        raise PipelineError(
            f"{path}: shape {shape} has axis {', '.join(wide) or 'C beside S'}, which is neither time nor plane, row "
            f"or column. {advice(shape)}"
        )
    known = tuple(channels) or tuple(Channel(i + 1) for i in range(shape[extra[0]] if extra else 1))
    chosen = choose_channel(path, known, wanted)
    return ((extra[0], chosen),) if extra else ()


def advice(shape: Dims) -> str:
    """Return how to state the axes of an array of ``shape``.

    Parameters
    ----------
    shape : tuple of int
        The array's shape.

    Returns
    -------
    str
        One sentence.
    """
    example = EXAMPLES.get(len(shape), "TYX")
    return f"State them in the sheet's `axes` column, one letter for each axis, for example {example}."


def _unlabelled(path: str, shape: Dims) -> str:
    if len(shape) == 2:
        return "YX"
    raise PipelineError(
        f"{path}: an array of shape {shape} needs its axes named: which of them is time? {advice(shape)}"
    )
