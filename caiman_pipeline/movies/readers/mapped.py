"""Numbers that lie in a file as one array: mapped while they are read."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from caiman_pipeline.model.arrays import NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims, Reading
from caiman_pipeline.movies.axes import order_axes, overruled, parse_axes
from caiman_pipeline.movies.readers.choices import Channel
from caiman_pipeline.movies.readers.foreign import PYTHON

COPY = "Copy the file again from its source."
# CaImAn writes name, size, order and number of frames of a matrix (pixels, frames) into the name of its file.
CAIMAN_NAME = re.compile(r".*_d1_(\d+)_d2_(\d+)_d3_(\d+)_order_([CF])_frames_(\d+)_?\.mmap")
# Letters of a local file header of a ZIP archive, and where it says how long its name and extra field are.
ZIP_HEADER_BYTES, ZIP_LENGTHS = 30, slice(26, 30)


@dataclass(frozen=True)
class Laid:
    """How an array lies in a file.

    Attributes
    ----------
    shape, dtype : of the array
    offset : bytes before it
    order : C or F
    axes : letters of its axes, where the format tells them
    """

    shape: Dims
    dtype: np.dtype
    offset: int = 0
    order: str = "C"
    axes: str | None = None


class MappedReader:
    """An array in a file; mapped only while it is read, so that mapped pages do not count as the job's memory.

    Parameters
    ----------
    path : the file
    laid : how the array lies in it
    reading : what the user says of it
    channels : names of the channels, where the format tells them
    notes : what the user should know
    """

    def __init__(
        self,
        path: Path,
        laid: Laid,
        reading: Reading,
        *,
        channels: tuple[Channel, ...] = (),
        notes: tuple[str, ...] = (),
    ) -> None:
        self._path, self._laid = path, laid
        needed = laid.offset + prod(laid.shape) * laid.dtype.itemsize
        if path.stat().st_size < needed:
            raise PipelineError(f"{path}: the file has {path.stat().st_size} bytes of {needed}: cut short. {COPY}")
        self._axes = order_axes(str(path), laid.shape, reading, laid.axes, channels=channels)
        self.n_frames, self.dims = self._axes.frames(laid.shape), self._axes.dims(laid.shape)
        self.dtype = laid.dtype.newbyteorder("=")
        self.notes = (*notes, *overruled(path, reading, laid.axes))

    def read(self, start: int, stop: int) -> NumberArray:
        """Return frames ``start`` to ``stop`` as (t, [D,] H, W)."""
        laid = self._laid
        order: Any = laid.order
        try:
            array = np.memmap(self._path, laid.dtype, "r", laid.offset, laid.shape, order)
        except (OSError, ValueError) as error:
            raise PipelineError(f"{self._path}: frames cannot be read ({error}). {COPY}") from error
        return np.array(self._axes.read(array, start, stop))


def open_npz(path: Path, reading: Reading) -> MappedReader:
    """Open the array of a ``.npz`` archive: the one that is named, or the only one with three or more axes.

    Raises
    ------
    PipelineError
        If the archive is damaged or compressed, or it cannot be told which array is meant.
    """
    from caiman_pipeline.movies.readers.hdf5 import choose_dataset

    try:
        with zipfile.ZipFile(path) as archive:
            entries = {name.removesuffix(".npy"): archive.getinfo(name) for name in archive.namelist()}
            laid = {name: _laid_in_archive(archive, entry) for name, entry in entries.items()}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, RuntimeError) as error:
        raise PipelineError(f"{path}: not a whole .npz archive ({error}). {COPY}") from error
    numbers = {name: found for name, found in laid.items() if found.dtype.kind != "O"}
    if not numbers and laid:
        raise PipelineError(f"{path}: {PYTHON}.")
    name = choose_dataset(str(path), {n: found.shape for n, found in numbers.items()}, reading.dataset)
    if entries[name].compress_type != zipfile.ZIP_STORED:
        raise PipelineError(
            f"{path}: the array {name!r} is compressed as a whole, so that no frame can be read alone. Save it with "
            "numpy.save or numpy.savez, or in chunks as Zarr or HDF5."
        )
    return MappedReader(path, laid[name], reading)


def _laid_in_archive(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Laid:
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        inside = file.tell()
    assert archive.fp is not None
    archive.fp.seek(entry.header_offset)
    lengths = np.frombuffer(archive.fp.read(ZIP_HEADER_BYTES)[ZIP_LENGTHS], "<u2")
    offset = entry.header_offset + ZIP_HEADER_BYTES + int(lengths.sum()) + inside
    return Laid(tuple(shape), dtype, offset, "F" if fortran else "C")


def open_caiman_map(path: Path, reading: Reading) -> MappedReader:
    """Open a memory map of CaImAn, float32; its size is in its name, its pixels are in Fortran order.

    Raises
    ------
    PipelineError
        If the name does not tell the size, or the file is not as long as it says.
    """
    found = CAIMAN_NAME.fullmatch(path.name)
    if found is None:
        raise PipelineError(
            f"{path}: the size of CaImAn's memory maps is in their names, like m_d1_512_d2_512_d3_1_order_F_frames_"
            "2000.mmap. Give the file the name that it had."
        )
    rows, columns, planes, n_frames = (int(found[i]) for i in (1, 2, 3, 5))
    pixels, letters = ((planes,), "Z") if planes > 1 else ((), "")
    shape: Dims = (*pixels, columns, rows)
    letters += "XY"
    laid = (
        Laid((n_frames, *shape), np.dtype("<f4"), axes=f"T{letters}")
        if found[4] == "F"
        else Laid((*shape, n_frames), np.dtype("<f4"), axes=f"{letters}T")
    )
    size, expected = path.stat().st_size, 4 * prod(laid.shape)
    if size != expected:
        raise PipelineError(f"{path}: has {size} bytes, but {expected} by its name. {COPY}")
    return MappedReader(path, laid, reading)


def open_suite2p(path: Path, reading: Reading) -> MappedReader:
    """Open suite2p's ``data.bin``: int16 frames; their size is in ``axes``, like TY512X796.

    Raises
    ------
    PipelineError
        If the size is not given, or does not divide the file.
    """
    stated = parse_axes(reading.axes) if reading.axes else []
    sizes = dict(stated)
    if [letter for letter, _ in stated] != ["T", "Y", "X"] or not sizes["Y"] or not sizes["X"] or sizes["T"]:
        raise PipelineError(
            f"{path}: suite2p's binary file does not say the size of its frames (ops.npy is a pickle, which is never "
            "loaded). State rows and columns, `Ly` and `Lx` of the ops, in the sheet's `axes` column: like TY512X796."
        )
    dims = (sizes["Y"], sizes["X"])
    frames, rest = divmod(path.stat().st_size, 2 * prod(dims))
    if rest:
        raise PipelineError(
            f"{path}: {path.stat().st_size} bytes are no whole number of int16 frames of {dims[0]} x {dims[1]} pixels. "
            "Correct the `axes` column, or copy the file again."
        )
    plain = Reading("TYX", None, reading.channel, reading.planes)
    return MappedReader(path, Laid((frames, *dims), np.dtype("<i2")), plain)
