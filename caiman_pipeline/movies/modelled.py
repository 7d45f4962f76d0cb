"""The corrected movie, and what the model says of it frame by frame: components, background, what neither explains."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_matrix

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.components import Components
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.lazy import StoredFrames
from caiman_pipeline.movies.store.bounds import part_length
from caiman_pipeline.movies.store.parts import MovieStore


class CorrectedMovie:
    """The corrected movie of a recording, float32; frames that are left out are NaN."""

    def __init__(self, store: MovieStore) -> None:
        self._frames = StoredFrames(store)
        self.n_frames, self.dims, self.dtype = self._frames.n_frames, store.dims, np.dtype(np.float32)
        self.block_frames = part_length(store.dims)

    def read(self, start: int, stop: int) -> FloatArray:
        """Return frames ``start`` to ``stop``, float32 (t, [D,] H, W)."""
        frames = self._frames.box(np.arange(start, stop), tuple((0, n) for n in self.dims))
        return frames.astype(np.float32, copy=False)


class ModelledMovie:
    """A part of what a recording's components and background say of its movie, in pixel values, float32.

    Parameters
    ----------
    what : ``denoised`` (footprints x denoised traces), ``background``, or ``residual``: the corrected movie less both
    store : the corrected movie
    components : all components, with their background
    rows : int64, those that ``denoised`` shows; the others count in ``background`` and ``residual`` alike

    Raises
    ------
    PipelineError
        If traces are averages over several frames, so that nothing is said of single frames.

    Notes
    -----
    Frames that are left out are NaN. The corrected movie is the sum of ``background``, ``residual`` and the
    ``denoised`` movie of all components.
    """

    def __init__(self, what: str, store: MovieStore, components: Components, rows: IntArray) -> None:
        if components.frames_per_bin != 1:
            raise PipelineError(
                f"the traces are averages over {components.frames_per_bin} frames: they say nothing of single frames. "
                "Take the components that the stage `refine` wrote."
            )
        self._movie, self._what, self._kept = CorrectedMovie(store), what, store.kept
        self._components, self._rows = components, rows
        self._footprints: csr_matrix = components.footprints.tocsr()
        self.n_frames, self.dims, self.dtype = self._movie.n_frames, store.dims, self._movie.dtype
        self.block_frames = self._movie.block_frames

    def read(self, start: int, stop: int) -> FloatArray:
        """Return frames ``start`` to ``stop``, float32 (t, [D,] H, W)."""
        make: dict[str, Callable[[int, int], FloatArray]] = {
            "denoised": self._denoised,
            "background": self._background,
            "residual": self._residual,
        }
        kept: BoolArray = self._kept[start:stop]
        frames = make[self._what](start, stop).T.reshape(-1, *self.dims).astype(np.float32)
        frames[~kept] = np.nan
        return frames

    def _denoised(self, start: int, stop: int) -> FloatArray:
        footprints = self._components.footprints[:, self._rows].tocsr()
        return footprints @ self._components.denoised.take(self._rows, axis=0)[:, start:stop]

    def _rest(self, start: int, stop: int) -> FloatArray:
        """Return what the movie shows beside all components, (P, t)."""
        frames = self._movie.read(start, stop).reshape(stop - start, -1).T
        return frames - self._footprints @ self._components.denoised[:, start:stop]

    def _background(self, start: int, stop: int) -> FloatArray:
        background = self._components.background
        # Only what follows its surroundings needs the movie for that.
        rest = self._rest(start, stop) if background.follows() else np.zeros((len(background.static), 1), np.float32)
        return background.images(start, stop, rest)

    def _residual(self, start: int, stop: int) -> FloatArray:
        rest = self._rest(start, stop)
        return rest - self._components.background.images(start, stop, rest)
