"""TIFF movies: the images of one or several files, put in order of time, plane and channel."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from caiman_pipeline.model.arrays import IntArray, NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims, Reading
from caiman_pipeline.movies.axes import AxisOrder, order_axes, parse_axes
from caiman_pipeline.movies.readers.says import Says
from caiman_pipeline.movies.readers.tiff.dialects import colours_of, file_says
from caiman_pipeline.movies.readers.tiff.images import FileImages, Images
from caiman_pipeline.movies.readers.tiff.ome import OmeSets
from caiman_pipeline.movies.readers.tiff.pages import read_pages
from caiman_pipeline.movies.readers.tiff.turns import Turn, frames_of_places, frames_of_turns, turn_of


@dataclass(frozen=True)
class _Run:
    """Images that follow one another in one way: of a file, a part of it, or of several files."""

    path: Path
    first: int
    count: int
    says: Says
    turn: Turn


class TiffMovie:
    """Frames as the numbers of the images that they are made of."""

    def __init__(self, images: Images, numbers: IntArray, *, transposed: bool) -> None:
        self.images, self.numbers, self._transposed = images, numbers, transposed
        dims = images.files[0].dims
        dims = dims[::-1] if transposed else dims
        self.dims: Dims = dims if numbers.shape[1] == 1 else (numbers.shape[1], *dims)
        self.dtype = images.files[0].dtype

    def read(self, start: int, stop: int) -> NumberArray:
        """Return frames ``start`` to ``stop`` as (t, [D,] H, W).

        Parameters
        ----------
        start : int
            First frame.
        stop : int
            Frame after the last.

        Returns
        -------
        array (t, [D,] H, W)
            In the files' own type.
        """
        block = self.images.read(self.numbers[start:stop].ravel())
        block = block.swapaxes(1, 2) if self._transposed else block
        return block.reshape(stop - start, *self.dims)


class TiffReader:
    """The frames of a recording that begin in one of its TIFF files; nothing is decoded until it is read."""

    def __init__(self, movie: TiffMovie, first: int, n_frames: int, notes: tuple[str, ...] = ()) -> None:
        self._movie, self._first, self.n_frames, self.notes = movie, first, n_frames, notes
        self.dims, self.dtype = movie.dims, movie.dtype

    def read(self, start: int, stop: int) -> NumberArray:
        """Return frames ``start`` to ``stop`` as (t, [D,] H, W).

        Parameters
        ----------
        start : int
            First frame of this file.
        stop : int
            Frame after the last.

        Returns
        -------
        array (t, [D,] H, W)
            In the files' own type.
        """
        return self._movie.read(self._first + start, self._first + stop)


class _OtherOrder:
    """A file whose pages are not images of rows and columns: read as an array, with the axes that the sheet states."""

    def __init__(self, images: FileImages, lead: Dims, reading: Reading) -> None:
        self._images = Images([images])
        self.shape = (*lead, *images.dims)
        self._order: AxisOrder = order_axes(str(images.path), self.shape, reading)
        self.n_frames, self.dims = self._order.frames(self.shape), self._order.dims(self.shape)
        self.dtype, self.notes = images.dtype, ()

    def __getitem__(self, index: tuple[slice | int, ...]) -> NumberArray:
        lead = self.shape[:-2]
        chosen = np.arange(prod(lead)).reshape(lead)[index[: len(lead)]]
        block = self._images.read(np.atleast_1d(chosen.ravel())).reshape(*chosen.shape, *self.shape[-2:])
        return block[(slice(None),) * chosen.ndim + index[len(lead) :]]

    def read(self, start: int, stop: int) -> NumberArray:
        """Return frames ``start`` to ``stop`` as (t, [D,] H, W)."""
        return self._order.read(self, start, stop)


def open_tiff(path: Path, reading: Reading) -> Any:
    """Open one TIFF file, as ``open_tiffs`` does several.

    Parameters
    ----------
    path : path
        The file.
    reading : Reading
        What sheet and config say of how to read it.

    Returns
    -------
    reader
        Its frames.

    Raises
    ------
    PipelineError
        As ``open_tiffs``.
    """
    return open_tiffs([path], reading)[0]


def open_tiffs(paths: Sequence[Path], reading: Reading) -> list[Any]:
    """Open the TIFF files of a recording, in the order in which they were written: one reader for each.

    Images that take turns (channels, planes) go on from file to file. A frame belongs to the file in which it begins.

    Parameters
    ----------
    paths : sequence of path
        In the order in which they were written.
    reading : Reading
        What sheet and config say of how to read them.

    Returns
    -------
    list of readers
        One for each file.

    Raises
    ------
    PipelineError
        If a file is damaged or holds images that differ, or if its axes, channel or planes must be stated.
    """
    files, sets = [FileImages(read_pages(path)) for path in paths], OmeSets()
    for one in files:
        _check_alike(one, files[0])
    said = [file_says(images, sets) for images in files]
    reading = replace(reading, axes=reading.axes or said[0][0][1].across or None)
    reading = _colours_before_rows(reading, files[0].layout.samples)
    letters = [letter for letter, _ in parse_axes(reading.axes or "")]
    if letters and set(letters[-2:]) != {"Y", "X"}:
        return [_OtherOrder(f, _lead(f, s), reading) for f, s in zip(files, said, strict=True)]
    runs = _runs(files, said, reading)
    numbers, notes = _all_frames(runs, reading)
    movie = TiffMovie(Images(files), numbers, transposed=letters[-2:] == ["X", "Y"])
    notes = [*_count_notes(runs), *notes, *_early_ends(files), *dict.fromkeys(n for r in runs for n in r.says.notes)]
    return _by_file(movie, tuple(notes))


def _colours_before_rows(reading: Reading, samples: int) -> Reading:
    """Return axes with the colours of a page where its images are: a reader sees one image for each of them."""
    axes = (reading.axes or "").upper()
    if samples == 1 or not re.search("[CS]", axes):
        return reading
    axes = axes.replace("S", "C")
    return replace(reading, axes=f"{axes[:-3]}C{axes[-3:-1]}" if axes.endswith(("YXC", "XYC")) else axes)


def _check_alike(images: FileImages, first: FileImages) -> None:
    for kind, what, own, others in (
        ("frames of", "frame size", images.dims, first.dims),
        ("pixels of type", "pixel type", images.dtype, first.dtype),
        ("pages of colours", "number of colours", images.layout.images, first.layout.images),
    ):
        if own != others:
            raise PipelineError(
                f"{images.path}: {kind} {own}, but {first.path} has {others}. "
                f"Files of one recording must have one {what}."
            )


def _lead(images: FileImages, said: list[tuple[int, Says]]) -> Dims:
    lengths = tuple(length for _, length in said[0][1].axes)
    whole = len(said) == 1 and prod(lengths) * images.layout.images == len(images)
    pages = lengths if whole else (len(images) // images.layout.images,)
    return (*pages, *((images.layout.images,) if images.layout.images > 1 else ()))


def _runs(files: list[FileImages], said: list[list[tuple[int, Says]]], reading: Reading) -> list[_Run]:
    runs, first = [], 0
    for images, parts in zip(files, said, strict=True):
        colours, depth = colours_of(images), images.layout.depth
        for count, says in parts:
            turn = turn_of(str(images.path), says, count, reading, colours=colours, depth=depth, dims=images.dims)
            runs.append(_Run(images.path, first, count, says, turn))
            first += count
    return runs


def _all_frames(runs: list[_Run], reading: Reading) -> tuple[IntArray, list[str]]:
    """Return the images of every frame, int64 (T, planes), and what the user should know."""
    found, notes = [], []
    for members in _going_on(runs):
        first, count = members[0], sum(r.count for r in members)
        path = str(first.path)
        if first.turn.listed:
            places = np.concatenate([r.says.places for r in members if r.says.places is not None])
            numbers, note = frames_of_places(path, first.turn, places, reading)
        else:
            numbers, note = frames_of_turns(path, first.turn, count, reading)
        found.append(numbers + first.first)
        notes += [f"{members[-1].path.name}: {note}"] if note else []
    if len({numbers.shape[1] for numbers in found}) > 1:
        sizes = ", ".join(f"{r.path.name} {n.shape[1]}" for r, n in zip(runs, found, strict=False))
        raise PipelineError(f"{runs[0].path}: volumes of different numbers of planes ({sizes}). Give each a row.")
    return np.concatenate(found), notes


def _going_on(runs: list[_Run]) -> list[list[_Run]]:
    """Return runs that go on in one another, together: open in time, arranged alike, and of one acquisition."""

    def key(numbered: tuple[int, _Run]) -> object:
        i, run = numbered
        alone = not (run.turn.open or run.turn.listed)
        return (i if alone else -1, run.turn.axes, run.turn.back, run.turn.listed, run.says.start)

    return [[run for _, run in members] for _, members in groupby(enumerate(runs), key)]


def _by_file(movie: TiffMovie, notes: tuple[str, ...]) -> list[TiffReader]:
    """Return a reader for each file, with the frames that begin in it; what is to be known comes with the first."""
    stops = movie.images.stops
    begins = np.maximum.accumulate(np.searchsorted(stops, movie.numbers[:, 0], side="right"))
    counts = np.bincount(begins, minlength=len(stops))
    firsts = np.cumsum(counts) - counts
    return [
        TiffReader(movie, int(first), int(count), notes if i == 0 else ())
        for i, (first, count) in enumerate(zip(firsts, counts, strict=True))
    ]


def _count_notes(runs: list[_Run]) -> list[str]:
    """Return where another number of images is announced than there is; the images that are there count."""
    notes = []
    for _, grouped in groupby(runs, lambda r: r.says.start if r.says.of_all else r.first):
        members = list(grouped)
        held, says = sum(r.count for r in members), members[0].says
        # A file of an OME set may list itself first, and then tells no set; positions may make more than one movie.
        silent = "OME" in says.source and says.of_all and (len(members) == 1 or held > says.announced)
        if says.announced not in (0, held) and not silent:
            named = members[0].path.name
            notes.append(f"{named}: {says.announced} images are announced by {says.source}, {held} are there")
    more = f" (and {len(notes) - 1} more files are like that)" if len(notes) > 1 else ""
    return [f"{note}, and those are read{more}" for note in notes[:1]]


def _early_ends(files: list[FileImages]) -> list[str]:
    named = [f.path.name for f in files if f.table.ends_early]
    return [f"{name}: was not closed when it was written; its whole images are read" for name in named[:1]]
