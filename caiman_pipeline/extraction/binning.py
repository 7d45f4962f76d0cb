"""The movie averaged over short bins of time: where components are searched for."""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.tiles import Tile
from caiman_pipeline.movies.store.parts import MovieStore


def frames_per_bin(n_frames: int, *, bin_frames: float, max_bins: int) -> int:
    """Return the frames to average: ``bin_frames``, or more where the movie has more than ``max_bins`` of them."""
    return max(1, round(bin_frames), -(-n_frames // max_bins))


def bin_tile(movie: MovieStore, tile: Tile, *, bin_frames: int) -> FloatArray:
    """Read one tile and average it over bins of time.

    Returns
    -------
    float32 (P_tile, T // bin_frames); frames after the last whole bin are left out.
    """
    n_bins = movie.n_frames // bin_frames
    binned = np.zeros((int(np.prod(tile.shape)), n_bins), np.float32)
    for start, _, frames in movie.read_tile(tile):
        add_to_bins(binned, frames, start=start, bin_frames=bin_frames)
    binned /= bin_frames
    return binned


def add_to_bins(binned: FloatArray, frames: FloatArray, *, start: int, bin_frames: int) -> None:
    """Add the sums of ``frames`` (P, t), the first of which is frame ``start``, to ``binned`` (P, bins), in place."""
    stop = min(start + frames.shape[1], binned.shape[1] * bin_frames)
    if stop <= start:
        return
    owners = np.arange(start, stop) // bin_frames
    # A product with zeros and ones: five times as fast as sums over a few neighbours each.
    belongs = (owners[:, None] == np.arange(owners[0], owners[-1] + 1)).astype(np.float32)
    binned[:, owners[0] : owners[-1] + 1] += frames[:, : stop - start] @ belongs


def bin_traces(traces: FloatArray, *, bin_frames: int) -> FloatArray:
    """Average traces (K, T) over bins; returns (K, T // bin_frames)."""
    n_bins = traces.shape[1] // bin_frames
    return traces[:, : n_bins * bin_frames].reshape(len(traces), n_bins, bin_frames).mean(2)
