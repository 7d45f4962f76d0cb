"""Some of a movie's frames and pixels, as a movie."""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Bounds
from caiman_pipeline.movies.readers.open import FrameReader


class Piece:
    """Frames ``start`` to ``stop`` of a movie, and of each a box.

    Parameters
    ----------
    movie : frames on demand
    frames : (start, stop), stop not included
    bounds : (start, stop) along planes, rows and columns

    Raises
    ------
    PipelineError
        If nothing is left, or the movie does not reach that far.
    """

    def __init__(self, movie: FrameReader, frames: tuple[int, int], bounds: Bounds) -> None:
        names = ("frames", *("planes", "rows", "columns")[-len(movie.dims) :])
        for name, (start, stop), size in zip(names, (frames, *bounds), (movie.n_frames, *movie.dims), strict=True):
            if not 0 <= start < stop <= size:
                raise PipelineError(f"{name} {start} to {stop} are asked for, of a movie of {size} {name}.")
        self._movie, self._start = movie, frames[0]
        self._box = (slice(None), *(slice(a, b) for a, b in bounds))
        self.n_frames, self.dims = frames[1] - frames[0], tuple(b - a for a, b in bounds)
        self.dtype = np.dtype(movie.dtype)
        self.block_frames = int(getattr(movie, "block_frames", 0))

    def read(self, start: int, stop: int) -> NumberArray:
        """Return frames ``start`` to ``stop`` of the piece."""
        return self._movie.read(self._start + start, self._start + stop)[self._box]
