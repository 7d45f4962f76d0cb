"""The pages of a TIFF file: where their pixels lie, found once and without reading any.

Reference: TIFF, Revision 6.0, Aldus Corporation, 1992; the 64-bit variant (BigTIFF) has wider offsets and counts.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from caiman_pipeline.model.arrays import AnyArray, BoolArray, IntArray
from caiman_pipeline.model.errors import PipelineError

AGAIN = "Copy it again from its source."
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
WIDTH, HEIGHT, BITS, COMPRESSION, COLOURS, DESCRIPTION = 256, 257, 258, 259, 262, 270
STRIPS, SAMPLES, STRIP_BYTES, PLANAR, SOFTWARE, PREDICTOR = 273, 277, 279, 284, 305, 317
TILES, TILE_BYTES, SAMPLE_FORMAT, DEPTH, FILL_ORDER, SUBFILE = 324, 325, 339, 32997, 266, 254
# Tags that decide how a page's bytes become pixels; pages that agree in them are decoded alike.
LAYOUT_TAGS = (
    SUBFILE,
    WIDTH,
    HEIGHT,
    BITS,
    COMPRESSION,
    COLOURS,
    FILL_ORDER,
    SAMPLES,
    278,
    PLANAR,
    PREDICTOR,
    322,
    323,
    338,
    SAMPLE_FORMAT,
    530,
    DEPTH,
)
# Pages after which it is worth to look whether all that follow lie at equal distances.
ALIKE = 3
# Bytes that writers leave between pages.
ROUNDING = 16
Entry = tuple[int, int, bytes]


@dataclass(frozen=True)
class PageLayout:
    """How a page's bytes become pixels.

    Attributes
    ----------
    height, width, depth, samples : size of an image, images in depth, colours
    planar : each colour is an image of its own in the file
    colours : the photometric interpretation (2 RGB, 6 YCbCr)
    dtype : type of the pixels, in the file's byte order; None where only a decoder knows
    plain : neither compressed, packed nor tiled
    reduced : a smaller copy of another page
    """

    height: int
    width: int
    depth: int
    samples: int
    planar: bool
    colours: int
    dtype: np.dtype | None
    plain: bool
    reduced: bool

    @property
    def images(self) -> int:
        """Images in the page: one for each colour and depth."""
        return self.samples * self.depth

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels of a plain page."""
        return self.height * self.width * self.images * (self.dtype.itemsize if self.dtype is not None else 0)


@dataclass(frozen=True)
class PageTable:
    """The pages of one file.

    Attributes
    ----------
    ifds : int64 (n,), position of each page's directory
    data : int64 (n,), position of the pixels where they lie in one plain piece, else -1
    kinds : int64 (n,), index into ``layouts``
    first : the first page's tags
    ends_early : the last page points to another one where the file ends
    """

    path: Path
    size: int
    byteorder: str
    big: bool
    ifds: IntArray
    data: IntArray
    kinds: IntArray
    layouts: tuple[PageLayout, ...]
    first: dict[int, Entry]
    ends_early: bool = False

    def __len__(self) -> int:
        return len(self.ifds)

    def text(self, code: int, start: int = 0, stop: int | None = None) -> str:
        """Return (a part of) a text tag of the first page, "" if it has none.

        Raises
        ------
        PipelineError
            If the file ends before it.
        """
        return self._text(self.first.get(code), start, stop)

    def text_of_page(self, number: int, code: int) -> str:
        """Return a text tag of another page."""
        with _File(self.path) as file:
            entry = file.directory(int(self.ifds[number]))[0].get(code)
        return self._text(entry, 0, None)

    def _text(self, entry: Entry | None, start: int, stop: int | None) -> str:
        try:
            with _File(self.path) as file:
                return file.text(entry, start, stop)
        except EOFError:
            raise PipelineError(f"{self.path}: the file is cut short (a text is not in it). {AGAIN}") from None

    def select(self, pages: IntArray) -> PageTable:
        """Return the table of some pages."""
        return replace(self, ifds=self.ifds[pages], data=self.data[pages], kinds=self.kinds[pages])


class _File:
    """An open TIFF file, from which directories and tags are read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> _File:
        self._fd = os.open(self.path, os.O_RDONLY)
        self.size = os.fstat(self._fd).st_size
        head = os.pread(self._fd, 16, 0)
        self.order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        version = struct.unpack(self.order + "H", head[2:4])[0] if self.order and len(head) >= 8 else 0
        self.big = version == 43
        if version not in (42, 43) or len(head) < (16 if self.big else 8):
            os.close(self._fd)
            raise PipelineError(f"{self.path}: not a readable TIFF file (no header). {AGAIN}")
        self.start = struct.unpack(self.order + ("Q" if self.big else "I"), head[8:16] if self.big else head[4:8])[0]
        wide = "Q" if self.big else "I"
        self._count = struct.Struct(self.order + ("Q" if self.big else "H"))
        self._entry = struct.Struct(self.order + ("HHQ8s" if self.big else "HHI4s"))
        self._offset = struct.Struct(self.order + wide)
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)

    def read(self, offset: int, count: int) -> bytes:
        """Return bytes of the file; fewer where it ends."""
        return os.pread(self._fd, count, offset)

    def directory(self, offset: int) -> tuple[dict[int, Entry], int]:
        """Return a page's tags (type, count, value or where it is), and where the next page's directory is."""
        block = self.read(offset, 1024)
        if len(block) < self._count.size:
            raise EOFError
        entries = self._count.unpack_from(block)[0]
        body = entries * self._entry.size
        wanted = self._count.size + body + self._offset.size
        if not 0 < entries < 4096:
            raise ValueError(f"no directory at byte {offset}")
        if wanted > len(block):
            block = self.read(offset, wanted)
        if len(block) < wanted:
            raise EOFError
        table = block[self._count.size : self._count.size + body]
        tags = {code: (kind, count, value) for code, kind, count, value in self._entry.iter_unpack(table)}
        return tags, self._offset.unpack_from(block, wanted - self._offset.size)[0]

    def records(self, offsets: list[int], like: np.dtype | None = None) -> AnyArray | None:
        """Return directories of as many tags as the first has, as records; None if one ends behind the file."""
        if like is None:
            number = self._count.unpack(self.read(offsets[0], self._count.size))[0]
            wide = f"{self.order}u{8 if self.big else 4}"
            short = f"{self.order}u2"
            entry = [("code", short), ("type", short), ("count", wide), ("value", wide)]
            like = np.dtype([("number", wide if self.big else short), ("entries", entry, (number,)), ("next", wide)])
        blocks = b"".join(self.read(offset, like.itemsize) for offset in offsets)
        return np.frombuffer(blocks, like) if len(blocks) == like.itemsize * len(offsets) else None

    def value(self, entry: Entry, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes of a tag's value (of a part of it)."""
        kind, count, raw = entry
        length = TYPE_BYTES.get(kind, 1) * count
        if length > self.size:
            raise EOFError
        stop = length if stop is None else min(stop, length)
        if length <= len(raw):
            return raw[start:stop]
        return self.read(self._offset.unpack(raw)[0] + start, max(stop - start, 0))

    def numbers(self, entry: Entry | None) -> tuple[int, ...]:
        """Return a tag's whole numbers."""
        if entry is None:
            return ()
        if entry[1] == 1 and entry[0] == 4:
            return struct.unpack(self.order + "I", entry[2][:4])
        content, letter = self.value(entry), NUMBERS.get(entry[0])
        if letter is None:
            raise ValueError(f"a tag of type {entry[0]} where whole numbers belong")
        if len(content) < entry[1] * TYPE_BYTES[entry[0]]:
            raise EOFError
        return struct.unpack(f"{self.order}{entry[1]}{letter}", content)

    def text(self, entry: Entry | None, start: int = 0, stop: int | None = None) -> str:
        """Return a text tag."""
        return self.value(entry, start, stop).split(b"\0")[0].decode("utf-8", "replace") if entry else ""


class _Walk:
    """Follow the chain of pages; where they lie at equal distances, many are looked at together."""

    def __init__(self, file: _File) -> None:
        self._file = file
        self._known: dict[tuple[object, ...], int] = {}
        self.layouts: list[PageLayout] = []
        self.pages: list[tuple[int, int, int]] = []
        self.runs: list[tuple[int, int, tuple[int, int, int]]] = []
        self.ends_early = False
        self._end = 0

    def page(self, offset: int) -> tuple[tuple[int, int, int], int]:
        """Return a page's directory, pixels and layout, and where the next directory is."""
        tags, following = self._file.directory(offset)
        key = tuple(self._layout_value(tags.get(code)) for code in LAYOUT_TAGS)
        kind = self._known.get(key)
        if kind is None:
            self.layouts.append(_layout(self._file, tags))
            kind = self._known[key] = len(self.layouts) - 1
        return (offset, self._pixels(tags, self.layouts[kind]), kind), following

    def _layout_value(self, entry: Entry | None) -> object:
        if entry is None or entry[1] * TYPE_BYTES.get(entry[0], 1) <= len(entry[2]):
            return entry
        return self._file.value(entry)

    def _pixels(self, tags: dict[int, Entry], layout: PageLayout) -> int:
        """Return where the pixels start if they lie in one plain piece, else -1; they must end within the file."""
        starts = self._file.numbers(tags.get(STRIPS) or tags.get(TILES))
        if layout.plain and len(starts) == 1 and starts[0]:
            end, first = starts[0] + layout.nbytes, starts[0]
        else:
            counts = self._file.numbers(tags.get(STRIP_BYTES) or tags.get(TILE_BYTES))
            ends = [a + b for a, b in zip(starts, counts, strict=False)]
            whole = layout.plain and starts and all(starts) and starts[1:] == tuple(ends[:-1])
            end = max(ends, default=0)
            first = starts[0] if whole and sum(counts) == layout.nbytes else -1
        if end > self._file.size:
            raise EOFError
        self._end = end
        return first

    def run(self) -> None:
        """Find all pages."""
        offset, seen = self._file.start, set[int]()
        wait = ALIKE
        while offset:
            if offset == self._file.size and self.pages and 0 <= offset - self._end < ROUNDING:
                # The pixels of the last page are all there: its writer ended before the next page.
                self.ends_early = True
                return
            if offset in seen:
                raise ValueError(f"its pages go in a circle at byte {offset}")
            seen.add(offset)
            page, offset = self.page(offset)
            self.pages.append(page)
            if len(self.pages) >= wait and (step := self._step()):
                found, offset = self._leap(step, offset)
                wait = len(self.pages) + (ALIKE if found > ALIKE else 64)

    def _step(self) -> tuple[int, int] | None:
        """Return by how much the last three pages' directories and pixels lie apart, if by the same."""
        a, b, c = (np.array(page) for page in self.pages[-ALIKE:])
        if c[1] < 0 or not np.array_equal(b - a, c - b) or (c - b)[0] <= 0 or (c - b)[2] != 0:
            return None
        return int((c - b)[0]), int((c - b)[1])

    def _leap(self, step: tuple[int, int], following: int) -> tuple[int, int]:
        """Add pages that follow at equal distances; return how many, and where the directory after them is.

        Each directory is read and compared with that of the last page, but many at a time.
        """
        ifd, data, kind = self.pages[-1]
        rows = self._file.records([self.pages[-2][0], ifd])
        if rows is None or not self._is_simple(rows):
            return 0, following
        size, found = rows.dtype.itemsize, 0
        most = max((self._file.size - ifd - size) // step[0], 0)
        batch = 64
        while found < most and following == ifd + (found + 1) * step[0]:
            ks = np.arange(found + 1, min(found + batch, most) + 1)
            block = self._file.records([ifd + int(k) * step[0] for k in ks], like=rows.dtype)
            if block is None:
                break
            good = self._alike(rows, block, ks) & (data + ks * step[1] + self.layouts[kind].nbytes <= self._file.size)
            pointed = np.append(True, block["next"][:-1] == ifd + ks[1:] * step[0])
            good = np.append(good & pointed, False)
            count = int(np.argmin(good))
            self.pages += [(ifd + int(k) * step[0], data + int(k) * step[1], kind) for k in ks[:count]]
            found += count
            self._end = self.pages[-1][1] + self.layouts[kind].nbytes
            following = int(block["next"][count - 1]) if count else following
            if count < len(ks):
                break
            batch = min(4 * batch, 4096)
        return found, following

    def _is_simple(self, rows: AnyArray) -> bool:
        """Tell whether a directory's layout and its single strip stand in the directory itself."""
        entries, width = rows["entries"][1], 8 if self._file.big else 4
        codes = entries["code"].tolist()
        sizes = [TYPE_BYTES.get(int(t), 8) * int(n) for t, n in zip(entries["type"], entries["count"], strict=True)]
        strips = [size for code, size in zip(codes, sizes, strict=True) if code == STRIPS]
        inside = all(size <= width for code, size in zip(codes, sizes, strict=True) if code in LAYOUT_TAGS)
        return inside and len(strips) == 1 and strips[0] <= width and int(entries["count"][codes.index(STRIPS)]) == 1

    def _alike(self, rows: AnyArray, block: AnyArray, ks: IntArray) -> BoolArray:
        """Return which directories differ from the last page's only in where its pixels and its texts lie."""
        before, last = rows["entries"]
        found = block["entries"]
        layout = np.isin(last["code"], LAYOUT_TAGS)
        strip = int(np.flatnonzero(last["code"] == STRIPS)[0])
        same = (block["number"] == rows["number"][1]) & (found["code"] == last["code"]).all(1)
        for name in ("type", "count", "value"):
            same &= (found[name][:, layout] == last[name][layout]).all(1)
        same &= (found["type"][:, strip] == last["type"][strip]) & (found["count"][:, strip] == 1)
        at, apart = int(last["value"][strip]), int(last["value"][strip]) - int(before["value"][strip])
        return same & (found["value"][:, strip].astype(np.int64) == at + ks * apart)


def _layout(file: _File, tags: dict[int, Entry]) -> PageLayout:
    def number(code: int, default: int) -> int:
        values = file.numbers(tags.get(code))
        return int(values[0]) if values else default

    height, width = number(HEIGHT, 0), number(WIDTH, 0)
    if not height or not width:
        raise ValueError("a page without height or width")
    bits = set(file.numbers(tags.get(BITS))) or {1}
    kinds = set(file.numbers(tags.get(SAMPLE_FORMAT))) or {1}
    letter = {1: "u", 2: "i", 3: "f", 4: "u"}.get(min(kinds), "") if len(kinds) == 1 else ""
    size = min(bits) if len(bits) == 1 else 0
    known = letter and size in (8, 16, 32, 64) and not (letter == "f" and size == 8)
    plain = number(COMPRESSION, 1) == 1 and number(PREDICTOR, 1) == 1 and number(FILL_ORDER, 1) == 1
    return PageLayout(
        height=height,
        width=width,
        depth=number(DEPTH, 1),
        samples=number(SAMPLES, 1),
        planar=number(PLANAR, 1) == 2,
        colours=number(COLOURS, 1),
        dtype=np.dtype(f"{file.order}{letter}{size // 8}") if known else None,
        plain=bool(plain and known and TILES not in tags and 322 not in tags),
        reduced=bool(number(SUBFILE, 0) & 1),
    )


def read_pages(path: Path, *, first_only: bool = False) -> PageTable:
    """Find the pages of a TIFF file, or look at its first page only.

    Raises
    ------
    PipelineError
        If it is no TIFF file, or ends before its pages do.
    """
    try:
        with _File(path) as file:
            first = file.directory(file.start)[0]
            walk = _Walk(file)
            if first_only:
                walk.pages.append(walk.page(file.start)[0])
            else:
                walk.run()
            ifds, data, kinds = np.array(walk.pages, np.int64).T
            return PageTable(
                path, file.size, file.order, file.big, ifds, data, kinds, tuple(walk.layouts), first, walk.ends_early
            )
    except EOFError:
        raise PipelineError(f"{path}: the file is cut short (it ends before its pages do). {AGAIN}") from None
    except (OSError, ValueError, struct.error, OverflowError) as error:
        raise PipelineError(f"{path}: not a readable TIFF file ({error}). {AGAIN}") from error
