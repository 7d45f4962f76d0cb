"""Images of TIFF files by their number: plain ones are read where they lie, others decoded."""

from __future__ import annotations

import logging
import struct
import zlib
from bisect import bisect_right
from dataclasses import replace
from itertools import accumulate
from typing import BinaryIO

import numpy as np
import tifffile

from caiman_pipeline.model.arrays import IntArray, NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.movies.readers.tiff.pages import AGAIN, PageLayout, PageTable

DAMAGE = (
    tifffile.TiffFileError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
    struct.error,
    zlib.error,
)


# What is the matter with a file is found out here; what tifffile only logs, of tags that nobody asks for, says nothing.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


class FileImages:
    """The images of one file, in the order of its pages; a page of several colours is as many images.

    Files are opened for each read, so that one object can be used from several threads.
    """

    def __init__(self, table: PageTable) -> None:
        shown = ~np.array([layout.reduced for layout in table.layouts])[table.kinds]
        self.table = table if shown.all() or not shown.any() else table.select(np.flatnonzero(shown))
        used = [table.layouts[k] for k in dict.fromkeys(self.table.kinds.tolist())]
        self.layout = used[0]
        self.path = table.path
        self._same_size([(p.height, p.width) for p in used], "size")
        self.dims: Dims = (self.layout.height, self.layout.width)
        types = [p.dtype or self._decoded_type(p) for p in used]
        self._same_size([t.newbyteorder("=") for t in types], "pixel type")
        self._same_size([(p.images, p.planar) for p in used], "colours")
        self.dtype = types[0].newbyteorder("=")

    def _same_size(self, found: list[object], what: str) -> None:
        if any(f != found[0] for f in found):
            listed = ", ".join(dict.fromkeys(map(str, found)))
            raise PipelineError(f"{self.path}: holds images of different {what}: {listed}. Save one movie per file.")

    def __len__(self) -> int:
        return len(self.table) * self.layout.images

    def _decoded_type(self, layout: PageLayout) -> np.dtype:
        """Return the type that a decoder gives, for pixels of unusual width."""
        page = int(np.flatnonzero(self.table.kinds == self.table.layouts.index(layout))[0])
        try:
            with tifffile.TiffFile(self.path, is_ome=False) as file:
                dtype = _keyframe(file, self.table, page).dtype
        except DAMAGE as error:
            raise PipelineError(f"{self.path}: not a readable TIFF file ({error}). {AGAIN}") from error
        if dtype is None:
            raise PipelineError(f"{self.path}: pixels of this width are not supported. Save it as 16-bit integers.")
        return dtype

    def extend(self, count: int) -> None:
        """Take the file for ``count`` images of which only the first has a directory; they follow one another.

        Parameters
        ----------
        count : int
            Images.
        """
        starts = self.table.data[0] + np.arange(count, dtype=np.int64) * self.layout.nbytes
        self.table = replace(
            self.table, ifds=np.full(count, self.table.ifds[0]), data=starts, kinds=np.full(count, self.table.kinds[0])
        )

    def read(self, numbers: IntArray, out: NumberArray) -> None:
        """Read images, ascending or not, into ``out`` (m, H, W) of this machine's byte order.

        Parameters
        ----------
        numbers : int64 (m,)
            Numbers of the images, ascending or not.
        out : array (m, H, W)
            Written, in this machine's byte order.

        Raises
        ------
        PipelineError
            If an image is damaged or cut short.
        """
        layout, images = self.layout, self.layout.images
        pages = numbers // images
        straight = layout.plain and (images == 1 or layout.planar or layout.depth > 1)
        if straight and (self.table.data[pages] >= 0).all():
            starts = self.table.data[pages] + numbers % images * (layout.nbytes // images)
            self._read_plain(starts, numbers, out)
            return
        self._read_decoded(pages, numbers % images, out)

    def _read_plain(self, starts: IntArray, numbers: IntArray, out: NumberArray) -> None:
        dtype = self.table.layouts[int(self.table.kinds[numbers[0] // self.layout.images])].dtype
        nbytes = out[0].nbytes
        ends = np.append(np.flatnonzero(np.diff(starts) != nbytes) + 1, len(starts))
        raw = out.view(dtype) if out.flags.c_contiguous and dtype is not None else np.empty(out.shape, dtype)
        try:
            with self.path.open("rb", buffering=0) as file:
                for first, stop in zip([0, *ends[:-1]], ends, strict=True):
                    self._fill(file, int(starts[first]), raw[first:stop], int(numbers[stop - 1]) + 1)
        except OSError as error:
            raise PipelineError(f"{self.path}: cannot be read ({error.strerror}). {AGAIN}") from error
        if raw.dtype != out.dtype or not np.shares_memory(raw, out):
            out[...] = raw

    def _fill(self, file: BinaryIO, start: int, block: NumberArray, image: int) -> None:
        view = memoryview(block.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        file.seek(start)
        done = 0
        while done < len(view):
            got = file.readinto(view[done:])  # type: ignore[attr-defined]
            if not got:
                raise PipelineError(f"{self.path}: the file ends before frame {image}. {AGAIN}")
            done += got

    def _read_decoded(self, pages: IntArray, parts: IntArray, out: NumberArray) -> None:
        """Decode pages, each once; the first of a kind tells how the others of that kind are to be decoded."""
        keyframes: dict[int, tifffile.TiffPage] = {}
        page = int(pages[0])
        try:
            with tifffile.TiffFile(self.path, is_ome=False) as file:
                for page in dict.fromkeys(pages.tolist()):
                    asked, kind = pages == page, int(self.table.kinds[page])
                    if kind in keyframes:
                        offset = int(self.table.ifds[page])
                        found = tifffile.TiffFrame(file, page, offset=offset, keyframe=keyframes[kind])
                    else:
                        found = keyframes[kind] = _keyframe(file, self.table, page)
                    out[asked] = self._as_images(np.asarray(found.asarray(maxworkers=1)))[parts[asked]]
        except DAMAGE as error:
            raise PipelineError(f"{self.path}: page {page} cannot be decoded ({error}). {AGAIN}") from error

    def _as_images(self, page: NumberArray) -> NumberArray:
        """Return a decoded page as (images, H, W)."""
        if self.layout.samples > 1 and not self.layout.planar:
            page = np.moveaxis(page, -1, 0)
        return page.reshape(self.layout.images, *self.dims)


def _keyframe(file: tifffile.TiffFile, table: PageTable, page: int) -> tifffile.TiffPage:
    file.filehandle.seek(int(table.ifds[page]))
    return tifffile.TiffPage(file, page)


class Images:
    """The images of several files, one after the other."""

    def __init__(self, files: list[FileImages]) -> None:
        self.files = files
        self.stops = list(accumulate(len(f) for f in files))

    def __len__(self) -> int:
        return self.stops[-1]

    def read(self, numbers: IntArray) -> NumberArray:
        """Return images as (m, H, W).

        Parameters
        ----------
        numbers : int64 (m,)
            Numbers of the images over all files.

        Returns
        -------
        array (m, H, W)
            In the files' own type.
        """
        first = self.files[0]
        out = np.empty((len(numbers), *first.dims), first.dtype)
        start = 0
        while start < len(numbers):
            k = bisect_right(self.stops, int(numbers[start]))
            low = self.stops[k] - len(self.files[k])
            inside = (numbers[start:] >= low) & (numbers[start:] < self.stops[k])
            count = len(inside) if inside.all() else int(np.argmin(inside))
            self.files[k].read(numbers[start : start + count] - low, out[start : start + count])
            start += count
        return out
