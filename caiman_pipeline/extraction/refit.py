"""Where a refinement starts: merged candidates, or the components of an earlier refinement, edited or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from scipy.sparse import csc_matrix

from caiman_pipeline.extraction.binning import bin_traces
from caiman_pipeline.extraction.gaps import take_kept
from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.movies.store.parts import MovieStore
from caiman_pipeline.results.files import load_result
from caiman_pipeline.results.records import LONG_TABLES
from caiman_pipeline.results.stored_rows import row_blocks


@dataclass(frozen=True)
class Start:
    """Components to refine.

    Attributes
    ----------
    footprints : (P, K); traces : float32 (K, T // bin_frames); ids : int64 (K,)
    n_seeds : so many at the front are seeds; n_masks : ids below this are seeds' numbers
    shapeless : they were found in a way that leaves their shape open
    """

    footprints: csc_matrix
    traces: FloatArray
    ids: IntArray
    bin_frames: int
    n_seeds: int
    n_masks: int
    shapeless: bool


def load_start(path: Path | str, movie: MovieStore) -> Start:
    """Read merged candidates or components.

    Raises
    ------
    PipelineError
        If the file is missing, damaged, of another kind, or of another movie.
    """
    kind = _kind(path)
    result = load_result(path, kind, stored=LONG_TABLES.get(kind, ()))
    bin_frames, n_masks = int(result["bin_frames"]), int(result["n_masks"])
    dims = tuple(int(n) for n in result["dims"])
    if kind == "merged":
        traces = result["traces"]
        check_movie(path, dims, traces.shape[1], movie, bin_frames=bin_frames)
    else:
        check_movie(path, dims, result["denoised"].shape[1], movie, bin_frames=None)
        traces = _binned(result.arrays, bin_frames, movie)
    ids = result["ids"]
    return Start(
        result["footprints"].tocsc(),
        traces,
        ids,
        bin_frames,
        int(np.count_nonzero(ids < n_masks)),
        n_masks,
        bool(result["shapeless"]),
    )


def check_movie(path: Path | str, dims: Dims, n_samples: int, movie: MovieStore, *, bin_frames: int | None) -> None:
    """Refuse components that do not fit the movie.

    Traces have a sample for each frame of the recording, or, with ``bin_frames``, for so many that take part.

    Parameters
    ----------
    path : path
        Their file, for the message.
    dims : tuple of int
        (H, W) or (D, H, W) that they are of.
    n_samples : int
        Samples of a trace.
    movie : MovieStore
        The corrected movie.
    bin_frames : int or None
        Frames of a sample.

    Raises
    ------
    PipelineError
        If frames or traces are of another size.
    """
    if dims != movie.dims:
        raise PipelineError(f"{path}: components of {dims}, but the movie's frames are {movie.dims}.")
    expected = len(movie.kept) if bin_frames is None else movie.n_frames // bin_frames
    if n_samples != expected:
        raise PipelineError(
            f"{path}: traces of {n_samples} samples do not fit the movie of {len(movie.kept)} frames, of which "
            f"{movie.n_frames} take part."
        )


def _kind(path: Path | str) -> str:
    try:
        with h5py.File(path, "r") as file:
            found = str(file.attrs.get("kind"))
    except OSError as error:
        raise PipelineError(f"{path}: not a readable result file ({error}).") from error
    return "components" if found == "components" else "merged"


def _binned(arrays: dict[str, FloatArray], bin_frames: int, movie: MovieStore) -> FloatArray:
    denoised, residual = arrays["denoised"], arrays["residual"]
    binned = np.empty((len(denoised), movie.n_frames // bin_frames), np.float32)
    for rows in row_blocks(denoised):
        raw = take_kept(denoised[rows] + residual[rows], movie.kept)
        binned[rows] = bin_traces(raw, bin_frames=bin_frames)
    return binned
