"""TIFF movies: one or several series, contiguous or paged, compressed or not."""

from __future__ import annotations

import logging
from math import prod
from pathlib import Path

import numpy as np
import tifffile

from caiman_pipeline.errors import PipelineError
from caiman_pipeline.io.axes import AxisOrder, order_axes
from caiman_pipeline.types import FloatArray

UNKNOWN_AXES = str.maketrans("QI", "TT")


class _ContiguousArray:
    """An uncompressed series as an array of ``shape``, read (not mapped) when sliced along the first axis.

    Mapped pages would count as the job's memory, so that a long movie looked like a large one.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._path, self._offset, self.shape, self.dtype = path, offset, shape, dtype

    def __getitem__(self, index: tuple[slice | int, ...]) -> FloatArray:
        lead, rest = index[0], index[1:]
        start, stop = (lead.start or 0, lead.stop) if isinstance(lead, slice) else (lead, lead + 1)
        stop = self.shape[0] if stop is None else stop
        items = prod(self.shape[1:])
        offset = self._offset + start * items * self.dtype.itemsize
        block = np.fromfile(self._path, self.dtype, (stop - start) * items, offset=offset)
        block = block.astype(self.dtype.newbyteorder("="), copy=False).reshape(stop - start, *self.shape[1:])
        return block[(slice(None) if isinstance(lead, slice) else 0, *rest)]


class _PagedArray:
    """Pages of a file as an array of ``shape``, decoded when sliced along the first axis."""

    def __init__(self, path: Path, first_page: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._path, self._first, self.shape, self.dtype = path, first_page, shape, dtype

    def __getitem__(self, index: tuple[slice | int, ...]) -> FloatArray:
        lead, rest = index[0], index[1:]
        start, stop = (lead.start or 0, lead.stop) if isinstance(lead, slice) else (lead, lead + 1)
        stop = self.shape[0] if stop is None else stop
        pages = prod(self.shape[1:-2])
        keys = range(self._first + start * pages, self._first + stop * pages)
        try:
            with tifffile.TiffFile(self._path) as file:
                block = file.asarray(key=keys)
        except (ValueError, OSError, RuntimeError, IndexError) as error:
            raise PipelineError(
                f"{self._path}: frames {start} to {stop} cannot be decoded ({error}). Copy the file again from its source."
            ) from error
        block = block.reshape(stop - start, *self.shape[1:])
        return block[(slice(None) if isinstance(lead, slice) else 0, *rest)]


class TiffReader:
    """All frames of all series of a TIFF file; nothing is decoded until it is read."""

    def __init__(self, path: Path, axes: str | None) -> None:
        complaints = _Complaints()
        logger = logging.getLogger("tifffile")
        propagate, logger.propagate = logger.propagate, False
        logger.addHandler(complaints)
        try:
            with tifffile.TiffFile(path) as file:
                self._arrays, labels = _open_series(path, file)
        except (tifffile.TiffFileError, OSError, ValueError, IndexError) as error:
            raise PipelineError(
                f"{path}: not a readable TIFF file ({error}). Copy it again from its source."
            ) from error
        finally:
            logger.removeHandler(complaints)
            logger.propagate = propagate
        if complaints.found:
            raise PipelineError(
                f"{path}: the file is cut short or damaged ({complaints.found[0]}). Copy it again from its source."
            )
        self._axes = self._one_order(path, axes, labels)
        self._frames = [self._axes.frames(a.shape) for a in self._arrays]
        self.n_frames = sum(self._frames)
        self.dims = self._axes.dims(self._arrays[0].shape)

    def _one_order(self, path: Path, axes: str | None, labels: list[str]) -> AxisOrder:
        orders = [order_axes(str(path), a.shape, axes, s) for a, s in zip(self._arrays, labels, strict=True)]
        dims = {order.dims(a.shape) for order, a in zip(orders, self._arrays, strict=True)}
        if len(dims) > 1:
            raise PipelineError(f"{path}: holds images of different size, {sorted(dims)}. Save one movie per file.")
        self.dtype = self._arrays[0].dtype.newbyteorder("=")
        return orders[0]

    def read(self, start: int, stop: int) -> FloatArray:
        """Return frames ``start`` to ``stop`` as (t, [D,] H, W)."""
        pieces, first = [], 0
        for array, n in zip(self._arrays, self._frames, strict=True):
            low, high = max(start - first, 0), min(stop - first, n)
            if low < high:
                pieces.append(self._axes.read(array, low, high))
            first += n
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


def _open_series(path: Path, file: tifffile.TiffFile) -> tuple[list[_ContiguousArray | _PagedArray], list[str]]:
    size = path.stat().st_size
    last = file.pages[-1]
    if last.dataoffsets and last.dataoffsets[-1] + last.databytecounts[-1] > size:
        raise PipelineError(f"{path}: the file is cut short (its last image ends after the file). Copy it again.")
    series = list(file.series)
    shapes = {s.shape for s in series}
    if len(series) > 1 and len(shapes) == 1 and len(series[0].shape) == 2:
        shape = (len(series), *series[0].shape)
        return [_PagedArray(path, 0, shape, series[0].dtype)], ["TYX"]
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
            f"{path}: the file is cut short ({size} bytes, {series.dataoffset + series.nbytes} expected). Copy it again."
        )


def _open_one(path: Path, series: tifffile.TiffPageSeries) -> _ContiguousArray | _PagedArray:
    if series.dataoffset is not None:
        dtype = series.dtype.newbyteorder(series.parent.byteorder)
        return _ContiguousArray(path, series.dataoffset, series.shape, dtype)
    return _PagedArray(path, series.pages[0].index, series.shape, series.dtype)
