"""Bins of time: sums over whole bins, whatever the pieces that frames come in."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from planted import store

from caiman_pipeline.extraction.binning import add_to_bins, bin_tile, bin_traces, frames_per_bin
from caiman_pipeline.model.tiles import Tile

RNG = np.random.default_rng(1)


@pytest.mark.parametrize(
    ("n_frames", "asked", "most", "expected"),
    [(1000, 3.4, 5000, 3), (1000, 0.2, 5000, 1), (1000, 3.0, 200, 5), (1001, 3.0, 200, 6), (1000, 1.0, 1000, 1)],
)
def test_bins_are_as_asked_or_as_many_as_there_may_be(n_frames: int, asked: float, most: int, expected: int) -> None:
    assert frames_per_bin(n_frames, bin_frames=asked, max_bins=most) == expected


@pytest.mark.parametrize("cuts", [(0, 100), (0, 1, 7, 64, 100), (0, 97, 98, 99, 100)])
def test_pieces_add_up_to_the_sums_of_whole_bins(cuts: tuple[int, ...]) -> None:
    frames, binned = RNG.normal(size=(5, 100)), np.zeros((5, 14), np.float32)
    for a, b in pairwise(cuts):
        add_to_bins(binned, frames[:, a:b].astype(np.float32), start=a, bin_frames=7)
    np.testing.assert_allclose(binned, frames[:, :98].reshape(5, 14, 7).sum(2), atol=1e-4)


def test_a_tile_is_averaged_over_bins(tmp_path: Path) -> None:
    movie = RNG.normal(size=(11, 17, 95)).astype(np.float32)
    tile = Tile(0, ((2, 9), (5, 17)), ((2, 9), (5, 17)))
    found = bin_tile(store(tmp_path, movie), tile, bin_frames=9)
    expected = movie[2:9, 5:17, :90].reshape(84, 10, 9).mean(2)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(
        bin_traces(movie[2, :, :], bin_frames=9), movie[2, :, :90].reshape(17, 10, 9).mean(2), atol=1e-6
    )
