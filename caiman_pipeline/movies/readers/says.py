"""What a file says of its images."""

from __future__ import annotations

from dataclasses import dataclass

from caiman_pipeline.model.arrays import IntArray
from caiman_pipeline.movies.readers.choices import Channel


@dataclass(frozen=True)
class Says:
    """What a file says of its images.

    Attributes
    ----------
    axes : letter and length of each axis along which images follow one another, outermost first: T, Z, C, R (frames of
        a plane before the next plane), Q (not named); the length of the first may be 0, open
    channels : the channels as the software calls them; none: not named
    back : images of each channel that follow a volume's planes, taken on the way back to the first
    announced : images that the file is said to hold, 0 if it does not say
    of_all : what is announced are the images of all files of one ``start``
    source : who says so
    start : the same for files of one acquisition
    places : for each image its time, plane and channel, where they are listed; int64 (n, 3)
    notes : what the user should know
    across : all axes in their order, where those of a page are not rows and columns
    unclear : why the axes must be stated, if what is said contradicts itself
    """

    axes: tuple[tuple[str, int], ...]
    channels: tuple[Channel, ...] = ()
    back: int = 0
    announced: int = 0
    of_all: bool = False
    source: str = "the file"
    start: str = ""
    places: IntArray | None = None
    notes: tuple[str, ...] = ()
    across: str = ""
    unclear: str = ""
