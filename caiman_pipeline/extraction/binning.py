"""The movie averaged over short bins of time: where components are searched for."""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.tiles import Tile
from caiman_pipeline.movies.store.parts import MovieStore


def frames_per_bin(n_frames: int, *, bin_frames: float, max_bins: int) -> int:
    """Return the frames to average: ``bin_frames``, or more where the movie has more than ``max_bins`` of them.

    Parameters
    ----------
    n_frames : int
        Frames of the movie.
    bin_frames : float
        Frames that are wanted.
    max_bins : int
        Most bins.

    Returns
    -------
    int
        Frames, at least one.

    Examples
    --------
    >>> frames_per_bin(10_000, bin_frames=3.2, max_bins=2000)
    5
    """
    return max(1, round(bin_frames), -(-n_frames // max_bins))


def bin_tile(movie: MovieStore, tile: Tile, *, bin_frames: int) -> FloatArray:
    """Read one tile and average it over bins of time.

    Parameters
    ----------
    movie : MovieStore
        The corrected movie.
    tile : Tile
        Part of the field of view.
    bin_frames : int
        Frames of a bin.

    Returns
    -------
    float32 (P_tile, T // bin_frames)
        Means, raw pixel values; frames after the last whole bin are left out.
    """
    n_bins = movie.n_frames // bin_frames
    binned = np.zeros((int(np.prod(tile.shape)), n_bins), np.float32)
    for start, _, frames in movie.read_tile(tile):
        add_to_bins(binned, frames, start=start, bin_frames=bin_frames)
    binned /= bin_frames
    return binned


def add_to_bins(binned: FloatArray, frames: FloatArray, *, start: int, bin_frames: int) -> None:
    """Add the sums of some frames to bins, in place.

    Parameters
    ----------
    binned : float32 (P, bins)
        Sums so far.
    frames : float32 (P, t)
        Frames that follow one another; those after the last whole bin are left out.
    start : int
        Number of the first of them.
    bin_frames : int
        Frames of a bin.
    """
    stop = min(start + frames.shape[1], binned.shape[1] * bin_frames)
    if stop <= start:
        return
    owners = np.arange(start, stop) // bin_frames
    # A product with zeros and ones: five times as fast as sums over a few neighbours each.
    belongs = (owners[:, None] == np.arange(owners[0], owners[-1] + 1)).astype(np.float32)
    binned[:, owners[0] : owners[-1] + 1] += frames[:, : stop - start] @ belongs


def bin_traces(traces: FloatArray, *, bin_frames: int) -> FloatArray:
    """Average traces over bins.

    Parameters
    ----------
    traces : float (K, T)
        Any unit; a missing frame makes its bin NaN.
    bin_frames : int
        Frames of a bin.

    Returns
    -------
    float (K, T // bin_frames)
        Means; frames after the last whole bin are left out.

    Examples
    --------
    >>> import numpy as np
    >>> bin_traces(np.array([[1.0, 3.0, 5.0, 7.0, 9.0]]), bin_frames=2).tolist()
    [[2.0, 6.0]]
    """
    n_bins = traces.shape[1] // bin_frames
    return traces[:, : n_bins * bin_frames].reshape(len(traces), n_bins, bin_frames).mean(2)
