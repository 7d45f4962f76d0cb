"""TIFF movies: one or several series, contiguous or paged, compressed or not."""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from caiman_pipeline.errors import PipelineError
from caiman_pipeline.io.axes import AxisOrder, order_axes
from caiman_pipeline.types import FloatArray, Reading

UNKNOWN_AXES = str.maketrans("QI", "TT")
AGAIN = "Copy it again from its source."
DAMAGE = (
    tifffile.TiffFileError, OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError,
    struct.error, zlib.error,
)  # fmt: skip


class _ContiguousArray:
    """An uncompressed series as an array of ``shape``; read, not mapped, where whole frames lie in one run.

    Mapped pages would count as the job's memory, so that a long movie looked like a large one.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._path, self._offset, self.shape, self.dtype = path, offset, shape, dtype

    def __getitem__(self, index: tuple[slice | int, ...]) -> FloatArray:
        lead = index[0]
        if not (isinstance(lead, slice) and lead.start is not None):
            mapped = np.memmap(self._path, self.dtype, "r", self._offset, self.shape)
            return np.array(mapped[index])
        items = prod(self.shape[1:])
        offset = self._offset + lead.start * items * self.dtype.itemsize
        block = np.fromfile(self._path, self.dtype, (lead.stop - lead.start) * items, offset=offset)
        if block.size < (lead.stop - lead.start) * items:
            raise PipelineError(f"{self._path}: the file ends before frame {lead.stop}. {AGAIN}")
        return block.reshape(-1, *self.shape[1:])[(slice(None), *index[1:])]


class _PagedArray:
    """Pages of a file as an array of ``shape``, of which only those asked for are decoded.

    A page has the last ``page_axes`` axes: rows and columns, or more where planes are kept as the colours of one page.
    """

    def __init__(
        self, path: Path, pages: Sequence[int], *, shape: tuple[int, ...], dtype: np.dtype, page_axes: int
    ) -> None:
        self._path, self._pages, self._lead = path, pages, len(shape) - page_axes
        self.shape, self.dtype = shape, dtype

    def __getitem__(self, index: tuple[slice | int, ...]) -> FloatArray:
        chosen = np.arange(len(self._pages)).reshape(self.shape[: self._lead])[index[: self._lead]]
        keys = [self._pages[int(i)] for i in chosen.ravel()]
        try:
            with tifffile.TiffFile(self._path, is_ome=False) as file:
                block = file.asarray(key=keys).reshape(*chosen.shape, *self.shape[self._lead :])
        except DAMAGE as error:
            raise PipelineError(
                f"{self._path}: pages {keys[0]} to {keys[-1]} cannot be decoded ({error}). {AGAIN}"
            ) from error
        return block[(slice(None),) * chosen.ndim + index[self._lead :]]


@dataclass(frozen=True)
class _Series:
    """Images of a file that belong together, and the order of their axes."""

    array: _ContiguousArray | _PagedArray
    order: AxisOrder

    @property
    def n_frames(self) -> int:
        return self.order.frames(self.array.shape)


class TiffReader:
    """All frames of all series of a TIFF file; nothing is decoded until it is read."""

    def __init__(self, path: Path, reading: Reading) -> None:
        arrays, labels = _open_checked(path)
        several = len(arrays) > 1
        self._series = []
        for array, stored in zip(arrays, labels, strict=True):
            single = several and len(array.shape) == 2
            wanted = replace(reading, axes=None) if single else reading
            self._series.append(_Series(array, order_axes(str(path), array.shape, wanted, stored)))
        self.n_frames = sum(s.n_frames for s in self._series)
        self.dims = self._only(path, "size", [s.order.dims(s.array.shape) for s in self._series])
        self.dtype = self._only(path, "pixel type", [s.array.dtype.newbyteorder("=") for s in self._series])

    @staticmethod
    def _only(path: Path, what: str, found: list[Any]) -> Any:
        if any(f != found[0] for f in found):
            listed = ", ".join(dict.fromkeys(map(str, found)))
            raise PipelineError(f"{path}: holds images of different {what}: {listed}. Save one movie per file.")
        return found[0]

    def read(self, start: int, stop: int) -> FloatArray:
        """Return frames ``start`` to ``stop`` as (t, [D,] H, W)."""
        pieces, first = [], 0
        for series in self._series:
            low, high = max(start - first, 0), min(stop - first, series.n_frames)
            if low < high:
                pieces.append(series.order.read(series.array, low, high))
            first += series.n_frames
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


class _Complaints(logging.Handler):
    """Collect what tifffile says of a file's structure instead of raising."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if "invalid page offset" in message or "corrupted" in message:
            self.found.append(message)


def _open_checked(path: Path) -> tuple[list[_ContiguousArray | _PagedArray], list[str]]:
    """Open every series of a file, with the axes that the file names; what tifffile only logs is an error here."""
    complaints, logger = _Complaints(), logging.getLogger("tifffile")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(complaints)
    try:
        with tifffile.TiffFile(path) as file:
            if any(series.is_multifile for series in file.series):
                with tifffile.TiffFile(path, is_ome=False) as alone:  # the other files are rows of the sheet themselves
                    return _open_series(path, alone)
            return _open_series(path, file)
    except DAMAGE as error:
        raise PipelineError(f"{path}: not a readable TIFF file ({error}). {AGAIN}") from error
    finally:
        logger.removeHandler(complaints)
        logger.propagate = propagate
        if complaints.found:
            raise PipelineError(f"{path}: the file is cut short or damaged ({complaints.found[0]}). {AGAIN}")


def _open_series(path: Path, file: tifffile.TiffFile) -> tuple[list[_ContiguousArray | _PagedArray], list[str]]:
    size = path.stat().st_size
    last = file.pages[-1]
    if last.dataoffsets and last.dataoffsets[-1] + last.databytecounts[-1] > size:
        raise PipelineError(f"{path}: the file is cut short (its last image ends after the file). {AGAIN}")
    series = list(file.series)
    if len(series) > 1 and len({(s.shape, s.dtype) for s in series}) == 1 and len(series[0].shape) == 2:
        shape, dtype = (len(series), *series[0].shape), series[0].dtype
        return [_PagedArray(path, range(len(series)), shape=shape, dtype=dtype, page_axes=2)], ["TYX"]
    arrays: list[_ContiguousArray | _PagedArray] = []
    labels = []
    for one in series:
        _check_whole(path, one, size)
        arrays.append(_open_one(path, one))
        labels.append(one.axes.translate(UNKNOWN_AXES))
    return arrays, labels


def _check_whole(path: Path, series: tifffile.TiffPageSeries, size: int) -> None:
    if series.dataoffset is not None and series.dataoffset + series.nbytes > size:
        raise PipelineError(
            f"{path}: the file is cut short ({size} bytes, {series.dataoffset + series.nbytes} expected). {AGAIN}"
        )


def _open_one(path: Path, series: tifffile.TiffPageSeries) -> _ContiguousArray | _PagedArray:
    if series.dataoffset is not None:
        dtype = series.dtype.newbyteorder(series.parent.byteorder)
        return _ContiguousArray(path, series.dataoffset, series.shape, dtype)
    pages, page_axes = _page_numbers(path, series), len(series.keyframe.shape)
    if prod(series.shape[:-page_axes]) != len(pages) or series.shape[-page_axes:] != series.keyframe.shape:
        raise PipelineError(
            f"{path}: {len(pages)} pages of {series.keyframe.shape} do not make up the shape {series.shape} that the "
            "file announces. Save it again as a plain stack."
        )
    return _PagedArray(path, pages, shape=series.shape, dtype=series.dtype, page_axes=page_axes)


def _page_numbers(path: Path, series: tifffile.TiffPageSeries) -> Sequence[int]:
    first, last = series.pages[0], series.pages[-1]
    if first is not None and last is not None and last.index - first.index + 1 == len(series.pages):
        return range(first.index, last.index + 1)
    if any(page is None for page in series.pages):
        raise PipelineError(f"{path}: lacks images that its metadata announce. {AGAIN}")
    return [page.index for page in series.pages]
