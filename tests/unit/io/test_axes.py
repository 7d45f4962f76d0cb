"""Axis orders are asked for, never guessed, and known ones come out as (t, [D,] H, W)."""

from __future__ import annotations

import numpy as np
import pytest

from caiman_pipeline.errors import PipelineError
from caiman_pipeline.io.axes import order_axes

SIZES = {"T": 5, "Z": 3, "Y": 7, "X": 11, "C": 1}


@pytest.mark.parametrize("axes", ["TYX", "YXT", "XYT", "TZYX", "ZTYX", "XYZT", "TZCYX", "CTYX", "YX", "ZYX"])
def test_named_axes_come_out_in_one_order(axes):
    shape = tuple(SIZES[a] for a in axes)
    array = np.random.default_rng(0).random(shape)
    order = order_axes("m.npy", shape, axes)
    frames = order.read(array, 1, 4) if "T" in axes else order.read(array, 0, 1)
    labelled = "".join(a for a in axes if a != "C")
    kept = array[tuple(0 if a == "C" else slice(None) for a in axes)]
    wanted = [labelled.index(a) for a in "TZYX" if a in labelled]
    expected = kept.transpose(wanted)
    np.testing.assert_array_equal(frames, expected[1:4] if "T" in axes else expected[None])
    assert order.frames(shape) == (5 if "T" in axes else 1)
    assert order.dims(shape) == frames.shape[1:]


def test_a_single_plane_is_a_flat_movie():
    order = order_axes("m.tif", (5, 1, 7, 11), "TZYX")
    assert order.dims((5, 1, 7, 11)) == (7, 11)
    assert order.read(np.zeros((5, 1, 7, 11)), 0, 2).shape == (2, 7, 11)


@pytest.mark.parametrize(
    ("shape", "axes", "stored"),
    [
        ((5, 2, 7, 11), None, None),  # four axes without names
        ((5, 2, 7, 11), None, "TCYX"),  # two channels
        ((1, 5, 7, 11), None, "TTYX"),  # two axes that the file has no names for
        ((5, 7, 11), None, "ZYX"),  # an ImageJ stack that was meant as a movie, or not
        ((5, 7, 11), "TZYX", None),  # too many letters
        ((5, 7, 11), "TTX", None),  # a letter twice
        ((5, 7, 11), "TZX", None),  # no rows
        ((7, 11, 300), None, None),  # looks like (Y, X, T)
        ((128, 128, 200), None, None),  # square frames first
        ((11,), None, None),
    ],
)
def test_what_is_not_stated_is_asked_for_with_file_shape_and_column(shape, axes, stored):
    with pytest.raises(PipelineError, match=r"m\.h5.*`axes` column") as caught:
        order_axes("m.h5", shape, axes, stored)
    assert str(shape) in str(caught.value)


def test_the_sheet_wins_over_the_file():
    assert order_axes("m.tif", (5, 7, 11), "TYX", "ZYX").frames((5, 7, 11)) == 5


def test_frames_come_in_native_byte_order():
    order = order_axes("m.npy", (5, 7, 11), None)
    frames = order.read(np.arange(385, dtype=">u2").reshape(5, 7, 11), 0, 5)
    assert frames.dtype == np.dtype("=u2")
    assert frames.max() == 384
