"""Movie files written frame by frame: TIFF, NumPy, HDF5 and Zarr, chosen by the file's suffix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from caiman_pipeline.model.arrays import NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.results.atomic import require_space, whole_file, whole_folder

Append = Callable[[NumberArray], None]
DATASET = "movie"


@contextmanager
def movie_writer(path: Path, shape: Dims, dtype: np.dtype) -> Iterator[Append]:
    """Yield a function that appends frames (t, *dims) to a movie of ``shape``; the file is whole in the end, or absent.

    Raises
    ------
    PipelineError
        If the suffix names no known format, the disk is full or the folder cannot be written.
    """
    path = Path(path)
    opener = WRITERS.get(path.suffix.lower())
    if opener is None:
        raise PipelineError(f"{path}: movies are written as {', '.join(WRITERS)}, not {path.suffix!r}.")
    if opener is not _zarr:  # the only one that compresses
        require_space(path, int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize)
    whole = whole_folder if opener is _zarr else whole_file
    with whole(path) as temporary, opener(temporary, shape, np.dtype(dtype)) as append:
        yield append


def _axes(shape: Dims) -> str:
    return {3: "TYX", 4: "TZYX"}[len(shape)]


@contextmanager
def _tiff(path: Path, shape: Dims, dtype: np.dtype) -> Iterator[Append]:
    """BigTIFF with all frames in one run, so that it can be mapped into memory."""
    import tifffile

    labels = {"axes": _axes(shape)}
    place = tifffile.imwrite(
        path, shape=shape, dtype=dtype, bigtiff=True, photometric="minisblack", metadata=labels, returnoffset=True
    )
    with path.open("r+b") as file:
        file.seek(place[0])
        yield lambda frames: _write_bytes(file.write, frames, dtype)


@contextmanager
def _npy(path: Path, shape: Dims, dtype: np.dtype) -> Iterator[Append]:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        yield lambda frames: _write_bytes(file.write, frames, dtype)


def _write_bytes(write: Callable[[memoryview], int], frames: NumberArray, dtype: np.dtype) -> None:
    write(np.ascontiguousarray(frames, dtype).data.cast("B"))


@contextmanager
def _hdf5(path: Path, shape: Dims, dtype: np.dtype) -> Iterator[Append]:
    import h5py

    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(DATASET, shape, dtype, chunks=(1, *shape[1:]))
        for dim, name in zip(dataset.dims, _axes(shape), strict=True):
            dim.label = name
        yield _fill(dataset)


@contextmanager
def _zarr(path: Path, shape: Dims, dtype: np.dtype) -> Iterator[Append]:
    import zarr

    frames = int(np.clip(2**23 // (dtype.itemsize * np.prod(shape[1:])), 1, shape[0]))
    names = _axes(shape)
    yield _fill(
        zarr.create_array(str(path), shape=shape, dtype=dtype, chunks=(frames, *shape[1:]), dimension_names=names)
    )


def _fill(array: Any) -> Append:
    """Append to anything of fixed shape that takes slices."""
    done = [0]

    def append(frames: NumberArray) -> None:
        array[done[0] : done[0] + len(frames)] = frames
        done[0] += len(frames)

    return append


WRITERS = {
    ".tif": _tiff,
    ".tiff": _tiff,
    ".btf": _tiff,
    ".npy": _npy,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".zarr": _zarr,
}
