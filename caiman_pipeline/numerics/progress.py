"""Progress that several passes over a movie share."""

from __future__ import annotations

from collections.abc import Callable


class FrameCounter:
    """Add up the frames that all passes have read, and report them.

    Parameters
    ----------
    report : called with the frames read and the frames in all
    total : frames of all passes together
    """

    def __init__(self, report: Callable[[int, int], None], total: int) -> None:
        self._report, self._total, self._done = report, total, 0

    def add(self, frames: int) -> None:
        """Count frames that were read.

        Parameters
        ----------
        frames : int
            How many were read since the last call.
        """
        self._done += frames
        self._report(self._done, self._total)
