"""Arrays: NumPy, HDF5, Zarr as an OME-NGFF image, and MATLAB's own HDF5."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from caiman_pipeline.movies.writers.target import DATASET, Append, Target, append_bytes, fill

ZARR_CHUNK_BYTES = 2**23
NGFF_VERSION = "0.5"
NGFF_AXES = {
    "T": {"name": "t", "type": "time", "unit": "second"},
    "Z": {"name": "z", "type": "space", "unit": "micrometer"},
    "Y": {"name": "y", "type": "space", "unit": "micrometer"},
    "X": {"name": "x", "type": "space", "unit": "micrometer"},
}
# What a MATLAB file starts with: 116 letters, 8 bytes of nothing, version 2.0 and the byte order, in a block of 512.
MATLAB_BLOCK = 512
MATLAB_TEXT = "MATLAB 7.3 MAT-file, Platform: GLNXA64, Created by: caiman_pipeline HDF5 schema 1.00 ."
MATLAB_CLASSES = {"float32": "single", "float64": "double"}


def _header(file: IO[bytes], target: Target) -> None:
    header = {
        "descr": np.lib.format.dtype_to_descr(target.dtype),
        "fortran_order": False,
        "shape": tuple(int(n) for n in target.shape),
    }
    np.lib.format.write_array_header_1_0(file, header)


@contextmanager
def write_npy(path: Path, target: Target) -> Iterator[Append]:
    """Write a ``.npy`` array (T, [D,] H, W)."""
    with path.open("wb") as file:
        _header(file, target)
        yield append_bytes(file.write, target.dtype)


@contextmanager
def write_npz(path: Path, target: Target) -> Iterator[Append]:
    """Write an archive of one array, ``movie``, not compressed."""
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        # A date would make two archives of one movie differ.
        entry = zipfile.ZipInfo(f"{DATASET}.npy")
        with archive.open(entry, "w", force_zip64=True) as file:
            _header(file, target)
            yield append_bytes(file.write, target.dtype)


@contextmanager
def write_hdf5(path: Path, target: Target) -> Iterator[Append]:
    """Write the dataset ``movie``, a frame a chunk, with the names of its axes and the facts as attributes."""
    import h5py

    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(DATASET, target.shape, target.dtype, chunks=(1, *target.dims))
        for dim, name in zip(dataset.dims, target.axes, strict=True):
            dim.label = name
        steps = target.steps
        sizes = [steps[letter] for letter in target.axes[1:]]
        if all(sizes):
            dataset.attrs["element_size_um"] = np.array(sizes, dtype=np.float64)
        if target.facts.frame_rate_hz:
            dataset.attrs["frame_rate_hz"] = target.facts.frame_rate_hz
        yield fill(dataset)


@contextmanager
def write_zarr(path: Path, target: Target) -> Iterator[Append]:
    """Write an OME-NGFF image of one resolution (Zarr 3); a step that is not known has no unit."""
    import zarr

    frames = int(np.clip(ZARR_CHUNK_BYTES // target.frame_bytes, 1, target.shape[0]))
    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    steps = target.steps
    axes = [{k: v for k, v in NGFF_AXES[x].items() if k != "unit" or steps[x]} for x in target.axes]
    scale = {"type": "scale", "scale": [steps[letter] or 1.0 for letter in target.axes]}
    datasets = [{"path": "0", "coordinateTransformations": [scale]}]
    image = {"name": DATASET, "axes": axes, "datasets": datasets}
    group.attrs["ome"] = {"version": NGFF_VERSION, "multiscales": [image]}
    array = group.create_array(
        "0",
        shape=target.shape,
        dtype=target.dtype,
        chunks=(frames, *target.dims),
        dimension_names=[letter.lower() for letter in target.axes],
    )
    yield fill(array)


@contextmanager
def write_mat(path: Path, target: Target) -> Iterator[Append]:
    """Write a MATLAB 7.3 file with the variable ``movie``, there (rows, columns[, planes], frames).

    MATLAB's axes are HDF5's in reverse, so rows and columns change places in the file.
    """
    import h5py

    places = (0, *range(1, len(target.shape) - 2), len(target.shape) - 1, len(target.shape) - 2)
    with h5py.File(path, "w", userblock_size=MATLAB_BLOCK) as file:
        shape = tuple(target.shape[i] for i in places)
        dataset = file.create_dataset(DATASET, shape, target.dtype, chunks=(1, *shape[1:]))
        dataset.attrs["MATLAB_class"] = np.bytes_(MATLAB_CLASSES.get(target.dtype.name, target.dtype.name))
        if target.facts.frame_rate_hz:
            rate = file.create_dataset("frame_rate_hz", (1, 1), np.float64, data=target.facts.frame_rate_hz)
            rate.attrs["MATLAB_class"] = np.bytes_("double")
        append: Any = fill(dataset)
        yield lambda frames: append(np.transpose(frames, places))
    with path.open("r+b") as start:
        start.write(MATLAB_TEXT.ljust(116).encode("ascii") + bytes(8) + b"\x00\x02IM")
