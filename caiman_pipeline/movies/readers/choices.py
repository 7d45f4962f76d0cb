"""The channel and the planes that are wanted, of those that a file holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from caiman_pipeline.model.errors import PipelineError

# Names in a message.
MOST_LISTED = 12


@dataclass(frozen=True)
class Channel:
    """A channel as the acquisition software calls it: by a number, and by a name where it has one."""

    number: int
    name: str = ""

    def __str__(self) -> str:
        return f"{self.number} ({self.name})" if self.name else str(self.number)


def choose_channel(path: str, channels: Sequence[Channel], wanted: str | None, *, timeless: bool = False) -> int:
    """Return the position of the wanted channel: by its name, else by its number, or the only one.

    ``timeless``: there is no axis but that of channels, which may be meant as time.

    Parameters
    ----------
    path : str
        The file, for messages.
    channels : sequence of Channel
        Those that are there, in order.
    wanted : str or None
        Name or number, as the sheet states it.
    timeless : bool
        There is no axis but that of channels, which may be meant as time.

    Returns
    -------
    int
        Position, from 0.

    Raises
    ------
    PipelineError
        If there are several and none is wanted, or the wanted one is not there.

    Examples
    --------
    >>> choose_channel("a.tif", [Channel(1, "GCaMP"), Channel(3, "tdTomato")], "3")
    1
    """
    if wanted is None and len(channels) == 1:
        return 0
    listed = ", ".join(map(str, channels[:MOST_LISTED])) + (", ..." if len(channels) > MOST_LISTED else "")
    if wanted is None:
        instead = "If they are frames and no channels, leave it empty, and write TC1YX under `axes`."
        raise PipelineError(
            f"{path}: holds {len(channels)} channels: {listed}. Choose one by its number or name in the sheet's "
            f"`channel` column (or `recording.channel` in the config).{' ' + instead if timeless else ''}"
        )
    named = [i for i, c in enumerate(channels) if c.name.casefold() == wanted.strip().casefold()]
    found = named or [i for i, c in enumerate(channels) if str(c.number) == wanted.strip()]
    if len(found) != 1:
        raise PipelineError(
            f"{path}: `channel` is {wanted!r}, but the file's {'channel is' if len(channels) == 1 else 'channels are'} "
            f"{listed}. Give one of these."
        )
    return found[0]


def choose_planes(path: str, n_planes: int, wanted: str | None) -> slice:
    """Return which of ``n_planes`` planes are wanted, written like ``1-3``, ``1,3,5`` or ``2``; None: all.

    Parameters
    ----------
    path : str
        The file, for messages.
    n_planes : int
        Planes that are there.
    wanted : str or None
        Numbers, from 1, as the sheet states them.

    Returns
    -------
    slice
        Positions, from 0.

    Raises
    ------
    PipelineError
        If they are not there, or not in order and evenly spaced, as planes of one volume must be.

    Examples
    --------
    >>> choose_planes("a.tif", 5, "1,3,5")
    slice(0, 5, 2)
    """
    if wanted is None:
        return slice(0, n_planes, 1)
    numbers: list[int] = []
    for piece in wanted.split(","):
        first, _, last = piece.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    steps = {b - a for a, b in pairwise(numbers)} or {1}
    if not numbers or len(steps) > 1 or min(steps) < 1:
        raise PipelineError(
            f"{path}: `planes` is {wanted!r}; planes of one volume are in order and evenly spaced, like '1-3' or "
            "'1,3,5'."
        )
    if numbers[-1] > n_planes or numbers[0] < 1:
        there = "no planes" if n_planes == 1 else f"planes 1 to {n_planes}"
        raise PipelineError(f"{path}: `planes` is {wanted!r}, but the file holds {there}.")
    step = steps.pop()
    return slice(numbers[0] - 1, numbers[-1], step)
