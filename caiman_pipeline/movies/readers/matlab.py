"""MATLAB files: version 7.3, which is HDF5 with axes in reverse, and older ones, which hold at most 2 GB an array."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

import h5py
import numpy as np

from caiman_pipeline.model.arrays import NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Reading
from caiman_pipeline.movies.axes import order_axes
from caiman_pipeline.movies.readers.hdf5 import Hdf5Reader, choose_dataset

CLASSES = {"single": "float32", "double": "float64"}
COPY = "Copy it again from its source."


def open_matlab(path: Path, reading: Reading) -> MatlabReader | Hdf5Reader:
    """Open a variable of a MATLAB file; ``axes`` are in the order in which MATLAB shows them, like YXT.

    Raises
    ------
    PipelineError
        If the file is damaged, or variable or axes must be named.
    """
    if not h5py.is_hdf5(path):
        return MatlabReader(path, reading)
    if reading.axes and not reading.axes.isalpha():
        raise PipelineError(f"{path}: axes of a MATLAB file are letters alone, like YXT, found {reading.axes!r}.")
    return Hdf5Reader(
        path, Reading((reading.axes or "")[::-1] or None, reading.dataset, reading.channel, reading.planes)
    )


class MatlabReader:
    """A variable of a MATLAB file of version 4 to 7; it is read as a whole when the first frame is asked for."""

    def __init__(self, path: Path, reading: Reading) -> None:
        from scipy.io import whosmat

        try:
            found = {name: (shape, kind) for name, shape, kind in whosmat(path)}
        except Exception as error:  # scipy meets damage in many ways
            raise PipelineError(f"{path}: not a readable MATLAB file ({error}). {COPY}") from error
        shapes = {name: shape for name, (shape, _) in found.items() if len(shape) >= 2}
        self._path, self._lock, self._array = path, Lock(), None
        self._name = choose_dataset(str(path), shapes, reading.dataset)
        shape, kind = found[self._name]
        try:
            self.dtype = np.dtype(CLASSES.get(kind, kind))
        except TypeError as error:
            raise PipelineError(f"{path}: the variable {self._name!r} is a {kind}, not an array of numbers.") from error
        self._axes = order_axes(f"{path}:{self._name}", shape, reading)
        self.n_frames, self.dims = self._axes.frames(shape), self._axes.dims(shape)
        self._loaded: NumberArray | None = None

    def read(self, start: int, stop: int) -> NumberArray:
        """Return frames ``start`` to ``stop`` as (t, [D,] H, W)."""
        return np.array(self._axes.read(self._whole(), start, stop)).astype(self.dtype, copy=False)

    def _whole(self) -> NumberArray:
        from scipy.io import loadmat

        with self._lock:
            if self._loaded is None:
                try:
                    self._loaded = loadmat(self._path, variable_names=[self._name])[self._name]
                except Exception as error:
                    raise PipelineError(f"{self._path}: {self._name!r} cannot be read ({error}). {COPY}") from error
            return self._loaded
