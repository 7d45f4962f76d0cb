"""Which software wrote a TIFF file, and what it says of the file's images."""

from __future__ import annotations

import json
from dataclasses import replace
from math import prod

import numpy as np
import tifffile

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.readers.choices import Channel
from caiman_pipeline.movies.readers.says import Says
from caiman_pipeline.movies.readers.tiff.images import DAMAGE, FileImages
from caiman_pipeline.movies.readers.tiff.ome import OmeSets, ome_head, ome_says
from caiman_pipeline.movies.readers.tiff.pages import AGAIN, DESCRIPTION, PageTable
from caiman_pipeline.movies.readers.tiff.scanimage import scanimage_header, scanimage_says

# Tags of software that lays images out in its own way: MetaMorph (STK), Zeiss LSM, FluoView, NIH Image.
OTHER_SOFTWARE = {33628, 33629, 34412, 34361, 43314}
COLOURS = {2: ("red", "green", "blue"), 6: ("red", "green", "blue")}
# No name: the file says how long axes are, not what they mean.
UNNAMED = "Q"


def file_says(images: FileImages, sets: OmeSets) -> list[tuple[int, Says]]:
    """Return the runs of images in a file, each with how many there are and what is said of them.

    Parameters
    ----------
    images : FileImages
        Images of one file.
    sets : OmeSets
        OME-XML that was read already, for the files of one recording.

    Returns
    -------
    list of (int, Says)
        Images of each run, and what is said of them.
    """
    table, pages = images.table, len(images.table)
    if OTHER_SOFTWARE & table.first.keys():
        return _by_tifffile(images)
    header = scanimage_header(table)
    if header:
        return [(len(images), scanimage_says(table, header))]
    if head := ome_head(table):
        says = ome_says(table, head, pages, sets)
        if images.layout.images > 1:
            # Colours of a page are no images of their own in OME-XML.
            says = replace(says, announced=says.announced * images.layout.images, places=None)
        return [(len(images), says)]
    text = table.text(DESCRIPTION)
    if text.startswith("ImageJ="):
        return [_imagej(images, text)]
    if text.startswith("{") and '"shape"' in text:
        return _shaped(images, text)
    return [(len(images), Says(((UNNAMED, 0),) if pages > 1 else ()))]


def colours_of(images: FileImages) -> tuple[Channel, ...]:
    """Return what the colours of a page are called, as channels; none for pages of one colour.

    Parameters
    ----------
    images : FileImages
        Images of one file.

    Returns
    -------
    tuple of Channel
        One for each colour.
    """
    samples = images.layout.samples
    names = COLOURS.get(images.layout.colours, ())
    more = ("", "alpha") if names else ("",)
    return tuple(Channel(i + 1, names[i] if i < len(names) else more[-1]) for i in range(samples) if samples > 1)


def _stated(text: str) -> dict[str, str]:
    lines = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _imagej(images: FileImages, text: str) -> tuple[int, Says]:
    """Return what ImageJ's description says; large stacks have one directory for all images."""
    stated = _stated(text)
    try:
        size = {
            letter: max(int(stated.get(name, 1)), 1)
            for letter, name in zip("TZC", ("frames", "slices", "channels"), strict=True)
        }
        announced = int(stated.get("images", prod(size.values())))
    except ValueError as error:
        raise PipelineError(
            f"{images.path}: ImageJ's description holds no numbers where they belong ({error})."
        ) from error
    if images.layout.samples > 1 and size["C"] == images.layout.samples and announced != prod(size.values()):
        size["C"] = 1
    order = stated.get("order", "czt").upper()
    order = order if sorted(order) == ["C", "T", "Z"] else "CZT"
    if len(images.table) == 1 and announced > 1:
        _take_for_many(images, announced)
    axes = tuple((letter, size[letter]) for letter in reversed(order) if size[letter] > 1)
    if size["T"] == 1 and prod(length for _, length in axes) < announced:
        axes = ((UNNAMED, 0), *axes)
    channels = tuple(Channel(i + 1) for i in range(size["C"]))
    return len(images), Says(
        axes if len(images.table) > 1 else (),
        channels=channels if len(images.table) > 1 else (),
        announced=announced * images.layout.images,
        source="ImageJ's description",
    )


def _take_for_many(images: FileImages, announced: int) -> None:
    """Take a file of one directory for as many images as follow one another in it.

    Raises
    ------
    PipelineError
        If it ends within one.
    """
    table, nbytes = images.table, images.layout.nbytes
    start = int(table.data[0])
    if start < 0 or not nbytes or start + nbytes < _end_of_tags(table) <= start + announced * nbytes:
        return
    count, rest = divmod(table.size - start, nbytes)
    # Behind a single image a few bytes may follow that are none.
    if count < announced and rest > (512 if count == 1 else 0):
        raise PipelineError(
            f"{images.path}: the file is cut short ({table.size} bytes, {start + announced * nbytes} expected for "
            f"{announced} images). {AGAIN}"
        )
    images.extend(int(min(max(count, 1), announced)))


def _end_of_tags(table: PageTable) -> int:
    """Return the last byte of the first page's directory and of what its tags point to."""
    ends = [int(table.ifds[0])]
    width = 8 if table.big else 4
    for kind, count, raw in table.first.values():
        length = {2: 1, 3: 2, 4: 4, 5: 8, 12: 8, 16: 8}.get(kind, 1) * count
        if length > width:
            ends.append(int.from_bytes(raw, "little" if table.byteorder == "<" else "big") + length)
    return max(ends)


def _shaped(images: FileImages, text: str) -> list[tuple[int, Says]]:
    """Return the runs that tifffile wrote, each with the shape of an array in its first page's description."""
    runs, at = [], 0
    per_page = images.layout.images
    while text:
        shape, axes = _shape(text)
        lead = _lead_of(shape, axes, images)
        announced = max(prod(length for _, length in lead), 1)
        if len(images.table) == 1 and announced > 1:
            _take_for_many(images, announced)
        following, pages = at + announced, len(images.table)
        text = images.table.text_of_page(following, DESCRIPTION) if following < pages else ""
        if not (text.startswith("{") and '"shape"' in text):
            # Pages that nothing is said of go on with what was said before.
            text, following = "", pages
        here = following - at
        says = Says(lead if here > 1 else (), announced=announced * per_page, across=_across(shape, axes))
        runs.append((here * per_page, says))
        at = following
    return runs


def _shape(text: str) -> tuple[list[int], str]:
    try:
        stated = json.loads(text)
        return [int(n) for n in stated["shape"]], str(stated.get("axes", ""))
    except (ValueError, KeyError, TypeError):
        return [], ""


def _across(shape: list[int], axes: str) -> str:
    """Return the axes as they are named where the last two are others than rows and columns, else ""."""
    named = len(axes) == len(shape) and set(axes) <= set("TZCYX") and len(set(axes)) == len(axes)
    return axes if named and {"Y", "X"} <= set(axes) and not axes.endswith("YX") else ""


def _lead_of(shape: list[int], axes: str, images: FileImages) -> tuple[tuple[str, int], ...]:
    """Return the axes along which pages follow one another, of an array's shape."""
    layout = images.layout
    inner = [layout.height, layout.width]
    inner = [*inner, layout.samples] if layout.samples > 1 and not layout.planar else inner
    inner = [layout.samples, *inner] if layout.samples > 1 and layout.planar else inner
    inner = [layout.depth, *inner] if layout.depth > 1 else inner
    if shape[-len(inner) :] != inner:
        return ((UNNAMED, 0),)
    lead = shape[: len(shape) - len(inner)]
    letters = axes[: len(lead)] if len(axes) == len(shape) else UNNAMED * len(lead)
    return tuple(zip(letters.translate(str.maketrans("I", UNNAMED)), lead, strict=True))


def _by_tifffile(images: FileImages) -> list[tuple[int, Says]]:
    """Return what tifffile knows of files of other software."""
    try:
        with tifffile.TiffFile(images.path) as file:
            series = file.series[0]
            letters, shape, start = series.axes, series.shape, series.dataoffset
            pages = [page.offset for page in series.pages if page is not None]
    except DAMAGE as error:
        raise PipelineError(f"{images.path}: not a readable TIFF file ({error}). {AGAIN}") from error
    lead = tuple(
        (UNNAMED if letter in "IQ" else letter, length)
        for letter, length in zip(letters, shape, strict=True)
        if letter not in "YXS"
    )
    count = prod(length for _, length in lead)
    if len(images.table) == 1 and count > 1 and start is not None:
        images.extend(count)
    else:
        images.table = images.table.select(np.flatnonzero(np.isin(images.table.ifds, pages)))
    return [(len(images), Says(lead, announced=count * images.layout.images))]
