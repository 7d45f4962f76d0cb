"""What OME-XML says of a file's images; the XML of a set of files, which each of them may hold, is read once.

Reference: the OME-TIFF specification, https://docs.openmicroscopy.org/ome-model/6.3.1/ome-tiff/specification.html
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np

from caiman_pipeline.model.arrays import IntArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.readers.choices import Channel
from caiman_pipeline.movies.readers.says import Says
from caiman_pipeline.movies.readers.tiff.pages import DESCRIPTION, PageTable, read_pages

PIECE = 1 << 14
HEAD_ENDS = re.compile(r"<(?:\w+:)?(?:TiffData|MetadataOnly|BinaryOnly)\b|</(?:\w+:)?(?:Pixels|OME)>")
Place = tuple[int, int, int]


def ome_head(table: PageTable) -> str:
    """Return OME-XML up to the list of the images' places, "" if there is none; the list grows with the set.

    Parameters
    ----------
    table : PageTable
        Pages of a file.

    Returns
    -------
    str
        XML, cut off before the list.
    """
    text, count = table.text(DESCRIPTION, 0, PIECE), PIECE
    if not re.match(r"(<\?xml[^>]*\?>|<!--.*?-->|\s)*<(\w+:)?OME\b", text, re.S):
        return ""
    while not (found := HEAD_ENDS.search(text)) and count < table.first[DESCRIPTION][1]:
        count *= 4
        text = table.text(DESCRIPTION, 0, count)
    if found and "BinaryOnly" in found[0]:
        return text[: text.find(">", found.end()) + 1]
    return text[: found.start()] if found else text


def attributes(element: str) -> dict[str, str]:
    """Return the attributes of an XML element's start tag.

    Parameters
    ----------
    element : str
        Start tag, or its text.

    Returns
    -------
    dict of str to str
        Values by name.

    Examples
    --------
    >>> attributes('<Pixels SizeT="20" Type="uint16">')
    {'SizeT': '20', 'Type': 'uint16'}
    """
    return {name: html.unescape(value) for name, value in re.findall(r'([\w:]+)\s*=\s*"([^"]*)"', element)}


def pixels(head: str) -> dict[str, str]:
    """Return what OME-XML states of the first image's pixels.

    Parameters
    ----------
    head : str
        OME-XML, or its beginning.

    Returns
    -------
    dict of str to str
        Values by name; empty where there are none.
    """
    found = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", head)
    return attributes(found[0]) if found else {}


@dataclass
class OmeSet:
    """The images of the files of one set.

    Attributes
    ----------
    order : the axes along which images follow one another, fastest first
    sizes : times, planes, channels
    blocks : for each file, by its identifier ("" for the only one): first page, pages (0: all), and place of the first
    names : identifiers by file name
    n_movies : movies that the XML describes, such as positions; in ``blocks`` each comes after the one before it
    """

    order: str
    sizes: tuple[int, int, int]
    channels: tuple[Channel, ...]
    blocks: dict[str, list[tuple[int, int, Place]]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    n_movies: int = 1

    def places(self, key: str, n_pages: int) -> IntArray:
        """Return time, plane and channel of a file's images, int64 (n, 3); -1 where nothing is said.

        Parameters
        ----------
        key : str
            By what the set knows the file.
        n_pages : int
            Pages of the file, n.

        Returns
        -------
        int64 (n, 3)
            Time, plane and channel, from 0; -1 where nothing is said.
        """
        found = np.full((n_pages, 3), -1, np.int64)
        for page, count, place in self.blocks.get(key, []):
            stop = n_pages if count == 0 else min(page + count, n_pages)
            if page < stop:
                found[page:stop] = self._from(place, stop - page)
        listed = np.flatnonzero(found[:, 0] >= 0)
        if len(listed) and listed[-1] + 1 < n_pages:
            # Pages behind the last that is listed go on from there.
            rest = n_pages - listed[-1]
            found[listed[-1] :] = self._from(tuple(found[listed[-1]].tolist()), rest)
        return found

    def _from(self, place: Place, count: int) -> IntArray:
        """Return ``count`` places from one on, in the set's order; the last axis runs on."""
        letters = [letter for letter in self.order if letter in "TZC"]
        size = dict(zip("TZC", self.sizes, strict=True))
        first = dict(zip("TZC", place, strict=True))
        steps = [prod(size[inner] for inner in letters[:i]) for i in range(3)]
        start = sum(first[letter] * step for letter, step in zip(letters, steps, strict=True))
        at = start + np.arange(count)
        columns = {}
        for i, (letter, step) in enumerate(zip(letters, steps, strict=True)):
            columns[letter] = at // step if i == 2 else at // step % size[letter]
        return np.stack([columns["T"], columns["Z"], columns["C"]], axis=1)


@dataclass
class OmeSets:
    """OME-XML that was read already, for the files of one recording."""

    by_master: dict[Path, OmeSet | None] = field(default_factory=dict)
    sets: list[OmeSet] = field(default_factory=list)

    def find(self, table: PageTable, head: str) -> tuple[OmeSet | None, str]:
        """Return the set that a file belongs to, and its key there.

        Parameters
        ----------
        table : PageTable
            Pages of a file.
        head : str
            The beginning of its OME-XML.

        Returns
        -------
        known : OmeSet or None
            The set; None where the file that holds its XML is not there.
        key : str
            By what the set knows the file, empty if not at all.
        """
        root = re.search(r"<(?:\w+:)?OME\b[^>]*>", head)
        own = attributes(root[0]).get("UUID", "").removeprefix("urn:uuid:") if root else ""
        other = re.search(r"<(?:\w+:)?BinaryOnly\b[^>]*>", head)
        if other:
            known = self._of_master(table.path.parent / attributes(other[0]).get("MetadataFile", ""))
            return known, _key(known, own, table.path.name) if known else ""
        for known in self.sets:
            key = _key(known, own, table.path.name)
            if key:
                return known, key
        made = self.by_master[table.path] = parse_set(table.text(DESCRIPTION))
        self.sets.append(made)
        return made, _key(made, own, table.path.name)

    def _of_master(self, path: Path) -> OmeSet | None:
        if path not in self.by_master:
            self.by_master[path] = parse_set(read_pages(path).text(DESCRIPTION)) if path.is_file() else None
            if made := self.by_master[path]:
                self.sets.append(made)
        return self.by_master[path]


def _key(known: OmeSet, own: str, name: str) -> str:
    """Return by what a set knows a file: its identifier, else its name; "" if not at all."""
    if own and own in known.blocks:
        return own
    return known.names.get(name, "")


def parse_set(text: str) -> OmeSet:
    """Read the places of all images of a set from its OME-XML.

    Parameters
    ----------
    text : str
        OME-XML.

    Returns
    -------
    OmeSet
        The images of its files.
    """
    made = OmeSet(*described(text))
    movies = re.split(r"<(?:\w+:)?Pixels\b", text)[1:]
    made.n_movies = max(len(movies), 1)
    for i, movie in enumerate(movies):
        for start, body in re.findall(r"<(?:\w+:)?TiffData\b([^>]*?)(?:/>|>(.*?)</(?:\w+:)?TiffData>)", movie, re.S):
            says = attributes(start)
            uuid = re.search(r"<(?:\w+:)?UUID\b([^>]*)>([^<]*)<", body)
            key = uuid[2].strip().removeprefix("urn:uuid:") if uuid else ""
            if uuid and (name := attributes(uuid[1]).get("FileName")):
                made.names[name] = key
            count = int(says["PlaneCount"]) if "PlaneCount" in says else 1 if "IFD" in says else 0
            t, z, c = (int(says.get(f"First{letter}", 0)) for letter in "TZC")
            made.blocks.setdefault(key, []).append((int(says.get("IFD", 0)), count, (t + i * made.sizes[0], z, c)))
    return made


def described(text: str) -> tuple[str, tuple[int, int, int], tuple[Channel, ...]]:
    """Return the order of axes, the times, planes and channels, and the channels' names, from (the head of) OME-XML.

    Parameters
    ----------
    text : str
        OME-XML, or its beginning.

    Returns
    -------
    order : str
        Axes along which images follow one another, fastest first.
    sizes : tuple of int
        Times, planes, channels.
    channels : tuple of Channel
        By their names, where they have some.
    """
    stated, named = pixels(text), _channels(text)
    per_page = max((samples for _, samples in named), default=1)
    times, planes, samples = (int(stated.get(f"Size{letter}", 1)) for letter in "TZC")
    n_channels = max(samples // per_page, 1)
    names = [name for name, _ in named] if len(named) == n_channels else [""] * n_channels
    channels = tuple(Channel(i + 1, name) for i, name in enumerate(names))
    return stated.get("DimensionOrder", "XYCZT")[2:], (times, planes, n_channels), channels


def _channels(text: str) -> list[tuple[str, int]]:
    """Return name and samples of each channel of the first image."""
    end = re.search(r"</(?:\w+:)?Pixels>", text)
    tags = re.findall(r"<(?:\w+:)?Channel\b[^>]*>", text[: end.start()] if end else text)
    stated = [attributes(tag) for tag in tags]
    return [(a.get("Name", ""), int(a.get("SamplesPerPixel", 1))) for a in stated]


def ome_says(table: PageTable, head: str, n_pages: int, sets: OmeSets) -> Says:
    """Return what OME-XML says of a file's pages.

    Parameters
    ----------
    table : PageTable
        Pages of a file.
    head : str
        The beginning of its OME-XML.
    n_pages : int
        Pages of the file.
    sets : OmeSets
        OME-XML that was read already.

    Returns
    -------
    Says
        Axes, channels, and places of the images where they are listed.

    Raises
    ------
    PipelineError
        If the file belongs to a set and the XML does not tell which of its images it holds, or if it is damaged.
    """
    try:
        if "BinaryOnly" not in head:
            _, (times, planes, _), channels = described(head)
            if planes * len(channels) == 1:
                return _plain_movie(table, head, times, n_pages, channels)
        known, key = sets.find(table, head)
    except ValueError as error:
        raise PipelineError(f"{table.path}: its OME-XML holds no numbers where they belong ({error}).") from error
    if known is None:
        return Says((("Q", n_pages),) if n_pages > 1 else (), source="OME-XML")
    return _placed(table, known, key, n_pages)


def _plain_movie(table: PageTable, head: str, times: int, n_pages: int, channels: tuple[Channel, ...]) -> Says:
    """Return what is said of one plane and channel; the list of places, which grows with the set, is not read."""
    if n_pages == 1:
        start = len(head.encode())
        return _one_of_many(_first_file(table.text(DESCRIPTION, start, start + PIECE)), times, channels)
    text = table.text(DESCRIPTION)
    movies = len(re.findall(r"<(?:\w+:)?Pixels\b", text))
    notes = _several(table, movies)
    announced = 0 if "FileName=" in text else times * movies
    return Says((("T", 0),), channels=channels, announced=announced, source="OME-XML", notes=notes)


def _one_of_many(first_file: str, times: int, channels: tuple[Channel, ...]) -> Says:
    """Return what is said of a file of one image, of a set whose first file has an identifier."""
    known = bool(first_file) and times > 1
    start = f"set of {first_file}" if known else ""
    return Says((), channels=channels, announced=times * known, of_all=known, source="OME-XML", start=start)


def _first_file(text: str) -> str:
    """Return the identifier of the first file that a list of places names, "" if it names none."""
    found = re.search(r"<(?:\w+:)?UUID\b[^>]*>([^<]*)<", text)
    return found[1].strip().removeprefix("urn:uuid:") if found else ""


def _several(table: PageTable, movies: int) -> tuple[str, ...]:
    described = f"{table.path.name}: its OME-XML describes {movies} movies, read one after the other"
    return (described,) if movies > 1 else ()


def _placed(table: PageTable, known: OmeSet, key: str, n_pages: int) -> Says:
    if prod(known.sizes[1:]) == 1 and n_pages == 1:
        return _one_of_many(next(iter(known.blocks), ""), known.sizes[0] * known.n_movies, known.channels)
    if prod(known.sizes[1:]) == 1:
        return Says((("T", 0),) if n_pages > 1 else (), channels=known.channels, source="OME-XML")
    blocks = known.blocks or {"": [(0, 0, (0, 0, 0))]}
    if key not in blocks:
        raise PipelineError(
            f"{table.path}: its OME-XML lists other files ({', '.join(list(known.names)[:2])}, ...), not this one, and "
            "so not which channel and plane it holds. Give it the name that it had."
        )
    known.blocks = blocks
    sizes = dict(zip("TZC", known.sizes, strict=True))
    axes = tuple((letter, sizes[letter]) for letter in reversed(known.order) if sizes[letter] > 1)
    announced = sum(count or prod(known.sizes) for _, count, _ in blocks[key])
    return Says(
        axes,
        channels=known.channels,
        announced=announced,
        source="OME-XML",
        start=f"set {id(known)}",
        places=known.places(key, n_pages),
        notes=_several(table, known.n_movies),
    )
