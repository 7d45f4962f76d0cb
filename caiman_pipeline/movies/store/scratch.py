"""Node-local scratch: a stage that passes over the movie several times reads each part from afar once.

Used only where it is asked for (``--scratch``, or ``CAIMAN_PIPELINE_SCRATCH`` in the environment): a cluster's scratch
may be memory in disguise.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Bounds
from caiman_pipeline.movies.store.parts import MovieStore, StoredPart

VARIABLE = "CAIMAN_PIPELINE_SCRATCH"


@dataclass(frozen=True)
class NearPart:
    """A part that is kept in ``folder`` once it was read."""

    part: StoredPart
    folder: Path

    @property
    def start(self) -> int:
        """First frame."""
        return self.part.start

    @property
    def stop(self) -> int:
        """Frame after the last."""
        return self.part.stop

    def read(self) -> FloatArray:
        """Return the whole part, float32 (*dims, stop - start)."""
        path = self.folder / f"{self.start}.npy"
        if path.exists():
            return np.load(path, allow_pickle=False)
        frames = self.part.read()
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            np.save(file, frames, allow_pickle=False)
        unfinished.rename(path)
        return frames

    def read_box(self, bounds: Bounds) -> FloatArray:
        """Return a box of the field of view, from where the part is; a box alone is not worth keeping.

        Parameters
        ----------
        bounds : tuple of (int, int)
            First pixel along each axis, and the one after the last.

        Returns
        -------
        float32 (*box, t)
            In raw pixel values.
        """
        return self.part.read_box(bounds)


@contextmanager
def near(movie: MovieStore, scratch: str | None) -> Iterator[MovieStore]:
    """Yield the movie with its parts kept on scratch, in a folder that is removed at the end; or as it is, without one.

    Parameters
    ----------
    movie : MovieStore
        The corrected movie.
    scratch : str or None
        Folder, with environment variables to expand; None: what ``CAIMAN_PIPELINE_SCRATCH`` says; "" for none.

    Yields
    ------
    MovieStore
        The same frames.

    Raises
    ------
    PipelineError
        If the scratch folder is not there, cannot be written or has not room for the movie.
    """
    place = os.path.expandvars(os.environ.get(VARIABLE, "") if scratch is None else scratch)
    if not place:
        yield movie
        return
    _require(Path(place), n_bytes=4 * movie.n_pixels * movie.n_frames)
    with tempfile.TemporaryDirectory(dir=place, prefix="caiman-pipeline-") as folder:
        yield replace(movie, parts=tuple(NearPart(part, Path(folder)) for part in movie.parts))


def _require(folder: Path, *, n_bytes: int) -> None:
    advice = f"Give another one (`--scratch` or {VARIABLE}), or none."
    if not folder.is_dir():
        raise PipelineError(f"{folder}: the scratch folder is not there. {advice}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PipelineError(f"{folder}: the scratch folder cannot be written. {advice}")
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise PipelineError(
            f"{folder}: the movie needs {n_bytes / 1e9:.1f} GB of scratch, {free / 1e9:.1f} GB are free. {advice}"
        )
