"""Frames that take part in nothing: which, why, and parts of the movie without them.

One record is made where the movie is joined, once: 0 for a frame that takes part, else the reason why not. It is kept
in ``movie.json`` as ranges and in ``motion.h5`` per frame. Whoever opens the movie sees the frames that take part, one
after the other; traces over the whole recording have gaps (NaN) in the places of the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.movie import Bounds
from caiman_pipeline.numerics.threads import value_slabs

if TYPE_CHECKING:
    from caiman_pipeline.movies.store.parts import StoredPart

# Codes 1 to 4: listed by the user, without content in the raw movie, damaged as registration sees them, and without
# shifts in the recording that these are taken from.
REASONS = ("listed", "empty", "unlike", "no_shifts")


def record_left_out(n_frames: int, frames: Mapping[str, IntArray | BoolArray]) -> IntArray:
    """Return why each frame is left out; of several reasons the first counts.

    Parameters
    ----------
    n_frames : int
        Frames of the recording, T.
    frames : dict of str to int (n,) or bool (T,)
        Numbers of frames, or flags, by reason.

    Returns
    -------
    uint8 (T,)
        0 for a frame that takes part, else 1 and the reason's place among ``REASONS``.

    Examples
    --------
    >>> import numpy as np
    >>> record_left_out(6, {"listed": np.array([1]), "unlike": np.array([1, 4])}).tolist()
    [0, 1, 0, 0, 3, 0]
    """
    codes = np.zeros(n_frames, np.uint8)
    for code, reason in reversed(list(enumerate(REASONS, 1))):
        codes[np.asarray(frames.get(reason, np.zeros(0, np.int64)))] = code
    return codes


def describe_left_out(left_out: IntArray) -> str:
    """Return how many frames are left out, and why, like ``6 of 500 (5 listed, 1 unlike)``.

    Parameters
    ----------
    left_out : uint8 (T,)
        What ``record_left_out`` returns.

    Returns
    -------
    str
        In words.
    """
    counts = [(int((left_out == code).sum()), reason) for code, reason in enumerate(REASONS, 1)]
    why = ", ".join(f"{count} {reason}" for count, reason in counts if count)
    return f"{np.count_nonzero(left_out)} of {len(left_out)}{f' ({why})' if why else ''}"


def runs(mask: BoolArray) -> list[tuple[int, int]]:
    """Return every run of true values, in order.

    Parameters
    ----------
    mask : bool (T,)
        Flags.

    Returns
    -------
    list of (int, int)
        First place of each run, and the one after its last.

    Examples
    --------
    >>> import numpy as np
    >>> runs(np.array([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def to_ranges(left_out: IntArray) -> dict[str, list[list[int]]]:
    """Return the record as [start, stop] by reason, without reasons that no frame has.

    Parameters
    ----------
    left_out : uint8 (T,)
        What ``record_left_out`` returns.

    Returns
    -------
    dict of str to list
        First frame of each range and the one after its last, by reason.
    """
    found = {reason: [list(run) for run in runs(left_out == code)] for code, reason in enumerate(REASONS, 1)}
    return {reason: ranges for reason, ranges in found.items() if ranges}


def from_ranges(ranges: Mapping[str, Sequence[Sequence[int]]], n_frames: int) -> IntArray:
    """Return the record of ``to_ranges``.

    Parameters
    ----------
    ranges : dict of str to list
        First frame of each range and the one after its last, by reason.
    n_frames : int
        Frames of the recording, T.

    Returns
    -------
    uint8 (T,)
        0 for a frame that takes part, else the reason's code.

    Raises
    ------
    ValueError
        If a reason is not known or a range does not lie within the recording.
    """
    codes = np.zeros(n_frames, np.uint8)
    for reason, listed in ranges.items():
        for start, stop in listed:
            if reason not in REASONS or not 0 <= start < stop <= n_frames:
                raise ValueError(f"frames {start} to {stop}, {reason}, are not of this movie")
            codes[start:stop] = 1 + REASONS.index(reason)
    return codes


def put_back_left_out(rows: FloatArray, kept: BoolArray) -> FloatArray:
    """Return rows with a sample for every frame, NaN in those that are left out.

    Parameters
    ----------
    rows : float (N, n)
        A sample for every frame that takes part, any unit.
    kept : bool (T,)
        Frames that take part, n of them.

    Returns
    -------
    float32 (N, T)
        The rows themselves where every frame takes part.

    Examples
    --------
    >>> import numpy as np
    >>> put_back_left_out(np.array([[1.0, 2.0]], np.float32), np.array([True, False, True])).tolist()
    [[1.0, nan, 2.0]]
    """
    if kept.all():
        return rows
    out = np.full((len(rows), len(kept)), np.nan, np.float32)
    out[:, kept] = rows
    return out


@dataclass(frozen=True)
class KeptPart:
    """A part without the frames that are left out; ``start`` and ``stop`` count those that take part."""

    part: StoredPart
    kept: BoolArray
    start: int
    stop: int

    def read(self) -> FloatArray:
        """Return the frames that take part, float32 (*dims, stop - start)."""
        return _squeeze(self.part.read(), self.kept)

    def read_box(self, bounds: Bounds) -> FloatArray:
        """Return a box of the field of view.

        Parameters
        ----------
        bounds : tuple of (int, int)
            First pixel along each axis, and the one after the last.

        Returns
        -------
        float32 (*box, t)
            Frames that take part.
        """
        return _squeeze(self.part.read_box(bounds), self.kept)


def _squeeze(frames: FloatArray, kept: BoolArray) -> FloatArray:
    """Move the kept columns of a contiguous array (*dims, t) to its front, in place: a copy would double the memory."""
    pixels, count = frames.reshape(-1, frames.shape[-1]), int(kept.sum())
    front = pixels.reshape(-1)[: len(pixels) * count].reshape(-1, count)
    for a, b in value_slabs(*pixels.shape):
        front[a:b] = pixels[a:b][:, kept]
    return front.reshape(*frames.shape[:-1], count)


def kept_parts(parts: Sequence[StoredPart], kept: BoolArray) -> tuple[StoredPart, ...]:
    """Return the parts as they are where every frame takes part, else without the others; empty parts are dropped.

    Parameters
    ----------
    parts : sequence of parts
        Of the recording, in order.
    kept : bool (T,)
        Frames that take part.

    Returns
    -------
    tuple of parts
        Those that hold a frame that takes part; their frames are counted anew.
    """
    if kept.all():
        return tuple(parts)
    found: list[StoredPart] = []
    for part in parts:
        here = kept[part.start : part.stop]
        first = int(kept[: part.start].sum())
        if here.any():
            found.append(KeptPart(part, here, first, first + int(here.sum())))
    return tuple(found)
