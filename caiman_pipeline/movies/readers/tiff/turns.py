"""Images that take turns: which of them make up each frame of the wanted channel and planes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, IntArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims, Reading
from caiman_pipeline.movies.axes import advice, parse_axes
from caiman_pipeline.movies.readers.choices import Channel, choose_channel, choose_planes
from caiman_pipeline.movies.readers.says import Says

UNNAMED = "Q"
Axes = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Turn:
    """How images follow one another.

    Attributes
    ----------
    axes : letter and length, outermost first; length 0: as many as there are
    channels : the channels, in their order
    back : images of each channel behind the planes of a volume that are none
    listed : the places of images are listed one by one
    """

    axes: Axes
    channels: tuple[Channel, ...]
    back: int = 0
    listed: bool = False

    @property
    def open(self) -> bool:
        """Whether more images of the same kind may follow."""
        return bool(self.axes) and self.axes[0] == ("T", 0)

    def length(self, letter: str) -> int:
        """Return how many entries an axis has, 1 if there is no such.

        Parameters
        ----------
        letter : str
            One of T, Z, C, R.

        Returns
        -------
        int
            Entries.
        """
        return dict(self.axes).get(letter, 1)

    def steps(self) -> dict[str, int]:
        """Return by how many images the entries of each axis lie apart."""
        steps, step = {}, 1
        for letter, length in reversed(self.axes):
            if letter == "T" and self.axes[0][0] == "T":
                step += self.back * self.length("C")
            steps[letter] = step
            step *= length
        return steps


def turn_of(
    path: str, says: Says, count: int, reading: Reading, *, colours: tuple[Channel, ...], depth: int, dims: Dims
) -> Turn:
    """Return how ``count`` images follow one another: as the sheet states with numbers, else as the file says.

    Parameters
    ----------
    path : str
        The file, for messages.
    says : Says
        What the file says.
    count : int
        Images that are there.
    reading : Reading
        What the sheet says.
    colours : tuple of Channel
        Channels that are the colours of a page.
    depth : int
        Planes that are one page.
    dims : tuple of int
        Size of an image, pixels.

    Returns
    -------
    Turn
        Axes and channels.

    Raises
    ------
    PipelineError
        If it is not stated, or what is stated does not fit.
    """
    stated = list(says.axes)
    if colours:
        stated.append(("C", len(colours)))
    if depth > 1:
        stated.append(("Z", depth))
    channels = colours or says.channels
    user = parse_axes(reading.axes)[:-2] if reading.axes else None
    if user is not None and any(length is not None for _, length in user):
        axes = _by_numbers(path, user, count)
    elif says.unclear:
        raise PipelineError(f"{path}: {says.unclear}")
    else:
        _once_each(path, [letter for letter, _ in stated], dims)
        if user is not None:
            stated = _renamed(path, stated, [letter for letter, _ in user], says, reading)
        axes = _closed(path, _named(path, stated, dims, told=user is not None), count, says)
    same = [letter for letter, _ in axes] == [letter for letter, _ in stated if letter != UNNAMED]
    own = dict(axes).get("C", 1)
    known = channels if len(channels) == own else tuple(Channel(i + 1) for i in range(own))
    listed = says.places is not None and same and not (user and any(n for _, n in user))
    return Turn(axes, known, says.back if axes == says.axes else 0, listed)


def _once_each(path: str, letters: list[str], dims: Dims) -> None:
    if letters.count("C") > 1 or letters.count("Z") > 1:
        raise PipelineError(
            f"{path}: holds pages of several colours or planes for several channels or volumes ({dims[0]} x {dims[1]} "
            "pixels). Save it with one image a page."
        )


def _by_numbers(path: str, user: list[tuple[str, int | None]], count: int) -> Axes:
    """Return the axes as the sheet states them with numbers; one of them may be left open."""
    letters = [letter for letter, _ in user]
    unknown = [i for i, (_, length) in enumerate(user) if length is None]
    if len(set(letters)) < len(letters) or set(letters) - set("TZC") or len(unknown) > 1:
        raise PipelineError(
            f"{path}: `axes` with numbers names each of T, Z and C once, and leaves one without a number at most, for "
            "example TZ4C2YX."
        )
    inner = prod(length or 1 for _, length in user)
    first_open = bool(unknown) and user[unknown[0]][0] == "T" and unknown[0] == 0
    if not first_open and (count % inner or (not unknown and count != inner)):
        raise PipelineError(
            f"{path}: {count} images do not make whole turns of {inner}, as the numbers in `axes` say. Correct them in "
            "the sheet."
        )
    return tuple((letter, (0 if first_open else count // inner) if n is None else n) for letter, n in user)


def _renamed(
    path: str, stated: list[tuple[str, int]], letters: list[str], says: Says, reading: Reading
) -> list[tuple[str, int]]:
    """Return the file's axes with the sheet's letters; channels and colours stay what they are.

    The sheet may leave out channels, of which one is chosen, and planes where it chooses them; it may name axes of one
    entry.
    """
    fewer = len(letters) < len(stated)
    hidden = {own for own in "CZ" if fewer and own not in letters and (own == "C" or reading.planes is not None)}
    shown = [(own, length) for own, length in stated if own not in hidden]
    if len(letters) != len(shown):
        shown = [(own, length) for own, length in shown if length != 1]
        kept = [letter for letter in letters if letter in {own for own, _ in shown}]
        if [own for own, _ in shown] != kept or set(letters) - set("TZC"):
            raise PipelineError(_misfit(path, stated, letters, says))
        letters = kept
    names = iter(letters)
    found = []
    for own, length in stated:
        letter = own if own in hidden or (length == 1 and (own, length) not in shown) else next(names)
        firm = "C" in (letter, own) or "ScanImage" in says.source
        if firm and letter != own != UNNAMED and length != 1:
            raise PipelineError(
                f"{path}: `axes` calls {letter} what {says.source} calls "
                f"{'channels or colours' if own == 'C' else own} ({length or 'open'}). Leave it empty, and choose a "
                f"channel in the `channel` column. If {says.source} is wrong, say how many images take turns: "
                f"{'TC1YX (all are frames)' if letter == 'T' else f'T{letter}{length or 2}YX'}."
            )
        found.append((letter, length))
    return found


def _misfit(path: str, stated: list[tuple[str, int]], letters: list[str], says: Says) -> str:
    """Say how the sheet's letters do not fit what a file says, and what fits."""
    wide = [(letter, length) for letter, length in stated if length != 1]
    own = [letter for letter, _ in wide]
    if UNNAMED not in own:
        return (
            f"{path}: `axes` is {''.join(letters)}YX, but {says.source} says {''.join(own)}YX. Leave it empty; of "
            "several planes choose in the `planes` column. If what the file says is wrong, say how many images take "
            "turns: TC1YX (all are frames), TZ4YX (4 planes)."
        )
    return (
        f"{path}: `axes` is {''.join(letters)}YX, but the file's images follow one another along {len(own)} "
        f"axis ({', '.join(str(length or 'open') for _, length in wide)}). Give a letter for each; where planes or "
        "channels take turns, say how many, for example TZ4YX or TC2YX."
    )


def _named(path: str, stated: list[tuple[str, int]], dims: Dims, *, told: bool) -> list[tuple[str, int]]:
    """Return the axes with time among them; a single axis that the file does not name is time."""
    letters = [letter for letter, length in stated if length != 1]
    shape = (*(length for _, length in stated), *dims)
    if told:
        unknown = [letter for letter, length in stated if letter not in "TZCR" and length != 1]
        if unknown or len(set(letters)) < len(letters):
            raise PipelineError(f"{path}: `axes` cannot be {''.join(letters)}YX. {advice(shape)}")
        return [(letter, length) for letter, length in stated if letter in "TZCR"]
    if len(stated) - len([1 for letter, _ in stated if letter in "TZCR"]) > 1:
        raise PipelineError(f"{path}: an array of shape {shape} needs its axes named. {advice(shape)}")
    named = [("T" if letter == UNNAMED and "T" not in letters else letter, length) for letter, length in stated]
    odd = [f"{letter} of length {length}" for letter, length in named if letter not in "TZCR" and length != 1]
    if odd:
        raise PipelineError(
            f"{path}: shape {shape} has axis {', '.join(odd)}, which is neither time nor plane, channel, row or "
            f"column. {advice(shape)}"
        )
    if "T" not in [letter for letter, _ in named] and "Z" in letters:
        raise PipelineError(
            f"{path}: the file calls its axes {''.join(letters) + 'YX'!r} (shape {shape}), so which of them is time? "
            + advice(shape)
        )
    return [(letter, length) for letter, length in named if letter in "TZCR"]


def _closed(path: str, axes: list[tuple[str, int]], count: int, says: Says) -> Axes:
    """Return axes whose lengths fit the images that are there: an outermost time is open, others must fit."""
    axes = [(letter, length) for i, (letter, length) in enumerate(axes) if length != 1 or (i == 0 and letter == "T")]
    if not axes:
        if count > 1 and says.places is None:
            raise PipelineError(f"{path}: {count} images where one was stated. {advice((count, 0, 0))}")
        return ()
    letter, length = axes[0]
    if letter == "T":
        return (("T", 0), *axes[1:])
    inner = prod(n for _, n in axes[1:])
    if count % inner and says.places is None:
        raise PipelineError(
            f"{path}: {count} images do not make up what {says.source} says ({', '.join(f'{a} {n}' for a, n in axes)})."
            " State the order of the images in the `axes` column, for example TZ4YX."
        )
    return ((letter, length if says.places is not None else count // inner), *axes[1:])


def _wanted(path: str, turn: Turn, reading: Reading) -> tuple[int, list[int]]:
    timeless = [letter for letter, _ in turn.axes] == ["C"]
    channel = choose_channel(path, turn.channels, reading.channel, timeless=timeless)
    planes = choose_planes(path, turn.length("Z"), reading.planes)
    return channel, list(range(turn.length("Z")))[planes]


def _no_movie(path: str, repeats: int, *, several: bool) -> str:
    taken = f"{path}: holds {repeats} frames of each plane before the next one"
    if several:
        return f"{taken}, in several volumes: no plane's frames are evenly spaced in time. Save one volume per file."
    return f"{taken}, so its volumes are no movie. Choose one plane in the sheet's `planes` column."


def frames_of_turns(path: str, turn: Turn, count: int, reading: Reading) -> tuple[IntArray, str]:
    """Return the images of each frame, and what is left over, if anything.

    Parameters
    ----------
    path : str
        The file, for messages.
    turn : Turn
        How images follow one another.
    count : int
        Images that are there.
    reading : Reading
        Which channel and planes are wanted.

    Returns
    -------
    numbers : int64 (T, planes)
        Numbers of the images.
    note : str
        What the user should know, or empty.

    Raises
    ------
    PipelineError
        If a channel must be chosen, or a plane where planes were taken one after the other.
    """
    channel, planes = _wanted(path, turn, reading)
    steps, repeats = turn.steps(), turn.length("R")
    whole = steps["T"] if turn.open else count
    if repeats > 1 and (len(planes) > 1 or count > whole):
        raise PipelineError(_no_movie(path, repeats, several=count > whole))
    times = np.arange(-(-count // whole)) * whole if turn.open else np.arange(turn.length("T")) * steps.get("T", 0)
    times = (times[:, None] + np.arange(repeats) * steps.get("R", 0)).ravel()
    offsets = np.array(planes) * steps.get("Z", 0) + channel * steps.get("C", 0)
    numbers = times[:, None] + offsets
    kept = numbers[(numbers < count).all(1)]
    if not len(kept):
        raise PipelineError(f"{path}: holds no frames: its {count} images are less than one turn of {whole}.")
    over = count % whole if turn.open else 0
    note = f"the last volume or turn is unfinished ({over} of {whole} images)" if over else ""
    return kept.astype(np.int64), note + (", its frame is left out" if over and len(kept) * whole <= count else "")


def frames_of_places(path: str, turn: Turn, places: IntArray, reading: Reading) -> tuple[IntArray, str]:
    """Return the images of each frame where their times, planes and channels are listed.

    Parameters
    ----------
    path : str
        The file, for messages.
    turn : Turn
        Axes and channels.
    places : int64 (n, 3)
        Time, plane and channel of each image.
    reading : Reading
        Which channel and planes are wanted.

    Returns
    -------
    numbers : int64 (T, planes)
        Numbers of the images.
    note : str
        What the user should know, or empty.

    Raises
    ------
    PipelineError
        If a channel must be chosen, images are missing among others, or two have one place.
    """
    here = np.unique(places[:, 2])
    single = len(here) == 1 and reading.channel is None and 0 <= here[0] < len(turn.channels)
    channel = int(here[0]) if single else choose_channel(path, turn.channels, reading.channel)
    mine = np.flatnonzero(places[:, 2] == channel)
    if not len(mine):
        raise PipelineError(f"{path}: no image of channel {turn.channels[channel]} is in the files listed.")
    levels = np.unique(places[mine, 1])
    if reading.planes is not None or len(levels) > 1:
        levels = np.arange(turn.length("Z"))[choose_planes(path, turn.length("Z"), reading.planes)]
    mine = mine[np.isin(places[mine, 1], levels)]
    times, rows = np.unique(places[mine, 0], return_inverse=True)
    numbers = np.full((len(times), len(levels)), -1, np.int64)
    columns = np.searchsorted(levels, places[mine, 1])
    numbers[rows, columns] = mine
    if np.count_nonzero(numbers >= 0) < len(mine):
        raise PipelineError(f"{path}: its OME-XML gives one place to several images. Is a file listed twice?")
    whole: BoolArray = np.all(numbers >= 0, axis=1)
    last = int(np.flatnonzero(whole)[-1]) + 1 if np.any(whole) else 0
    if not whole[:last].all() or not last:
        t = int(np.argmin(whole))
        plane = int(levels[np.flatnonzero(numbers[t] < 0)[0]]) + 1
        raise PipelineError(
            f"{path}: the image of time {times[t]}, plane {plane} is not in the files listed. Are all files there?"
        )
    notes = [f"the last {len(times) - last} volume(s) are unfinished and left out"] if last < len(times) else []
    if gaps := int(times[last - 1] - times[0]) + 1 - last:
        after = int(times[np.argmax(np.diff(times[:last]) > 1)])
        notes.append(f"images of {gaps} times are not in the files listed, the first after time {after}")
    return numbers[:last], "; ".join(notes)
