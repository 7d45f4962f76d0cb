"""NumPy ``.npy`` movies."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caiman_pipeline.model.arrays import NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Reading
from caiman_pipeline.movies.axes import order_axes
from caiman_pipeline.movies.readers.foreign import PYTHON, holds_objects


class NpyReader:
    """A ``.npy`` array, mapped only while it is read, so that mapped pages do not count as the job's memory."""

    def __init__(self, path: Path, reading: Reading) -> None:
        self._path = path
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            if holds_objects(path, error):
                raise PipelineError(f"{path}: {PYTHON}.") from error
            raise PipelineError(f"{path}: not a whole .npy array ({error}). Copy it again from its source.") from error
        if not isinstance(array, np.ndarray):
            raise PipelineError(f"{path}: an archive of several arrays (.npz). Save the movie alone with numpy.save.")
        self._axes = order_axes(str(path), array.shape, reading)
        self.n_frames = self._axes.frames(array.shape)
        self.dims = self._axes.dims(array.shape)
        self.dtype = array.dtype.newbyteorder("=")

    def read(self, start: int, stop: int) -> NumberArray:
        """Return frames ``start`` to ``stop`` as (t, [D,] H, W).

        Parameters
        ----------
        start : int
            First frame.
        stop : int
            Frame after the last.

        Returns
        -------
        array (t, [D,] H, W)
            In the file's own type.
        """
        return np.array(self._axes.read(np.load(self._path, mmap_mode="r", allow_pickle=False), start, stop))
