"""Axis orders are asked for, never guessed, and known ones come out as (t, [D,] H, W)."""

from __future__ import annotations

import numpy as np
import pytest

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Reading
from caiman_pipeline.movies.axes import order_axes
from caiman_pipeline.movies.readers.choices import Channel

SIZES = {"T": 5, "Z": 3, "Y": 7, "X": 11, "C": 1}


@pytest.mark.parametrize("axes", ["TYX", "YXT", "XYT", "TZYX", "ZTYX", "XYZT", "TZCYX", "CTYX", "YX", "ZYX"])
def test_named_axes_come_out_in_one_order(axes):
    shape = tuple(SIZES[a] for a in axes)
    array = np.random.default_rng(0).random(shape)
    order = order_axes("m.npy", shape, Reading(axes))
    frames = order.read(array, 1, 4) if "T" in axes else order.read(array, 0, 1)
    labelled = "".join(a for a in axes if a != "C")
    kept = array[tuple(0 if a == "C" else slice(None) for a in axes)]
    wanted = [labelled.index(a) for a in "TZYX" if a in labelled]
    expected = kept.transpose(wanted)
    np.testing.assert_array_equal(frames, expected[1:4] if "T" in axes else expected[None])
    assert order.frames(shape) == (5 if "T" in axes else 1)
    assert order.dims(shape) == frames.shape[1:]


def test_a_single_plane_is_a_flat_movie():
    order = order_axes("m.tif", (5, 1, 7, 11), Reading("TZYX"))
    assert order.dims((5, 1, 7, 11)) == (7, 11)
    assert order.read(np.zeros((5, 1, 7, 11)), 0, 2).shape == (2, 7, 11)


@pytest.mark.parametrize(
    ("shape", "axes", "stored"),
    [
        ((5, 2, 7, 11), None, None),  # four axes without names
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
        order_axes("m.h5", shape, Reading(axes), stored)
    assert str(shape) in str(caught.value)


def test_the_sheet_wins_over_the_file():
    assert order_axes("m.tif", (5, 7, 11), Reading("TYX"), "ZYX").frames((5, 7, 11)) == 5


def test_frames_come_in_native_byte_order():
    order = order_axes("m.npy", (5, 7, 11), Reading("TYX"))
    frames = order.read(np.arange(385, dtype=">u2").reshape(5, 7, 11), 0, 5)
    assert frames.dtype == np.dtype("=u2")
    assert frames.max() == 384


TWO = (Channel(1, "red"), Channel(3, "green"))


@pytest.mark.parametrize(("wanted", "entry"), [("1", 0), ("3", 1), ("green", 1), (" Red ", 0)])
def test_the_channel_is_chosen_by_its_name_or_number(wanted, entry):
    array = np.random.default_rng(0).random((5, 2, 7, 11))
    order = order_axes("m.tif", array.shape, Reading(channel=wanted), "TCYX", channels=TWO)
    assert order.dims(array.shape) == (7, 11)
    np.testing.assert_array_equal(order.read(array, 1, 4), array[1:4, entry])


def test_channels_without_names_are_counted_from_one():
    array = np.random.default_rng(0).random((7, 11, 2, 5))
    order = order_axes("m.h5", array.shape, Reading("YXCT", channel="2"))
    np.testing.assert_array_equal(order.read(array, 0, 5), np.moveaxis(array[:, :, 1], -1, 0))


def test_a_channel_is_asked_for_with_what_is_there_and_the_column():
    with pytest.raises(PipelineError, match=r"m\.tif: holds 2 channels: 1 \(red\), 3 \(green\)\. .*`channel` column"):
        order_axes("m.tif", (5, 2, 7, 11), Reading(), "TCYX", channels=TWO)
    for wanted in ("2", "blue", "0"):
        with pytest.raises(PipelineError, match=rf"`channel` is '{wanted}', .* 1 \(red\), 3 \(green\)"):
            order_axes("m.tif", (5, 2, 7, 11), Reading(channel=wanted), "TCYX", channels=TWO)
    with pytest.raises(PipelineError, match=r"`channel` is '2', but the file's channel is 1\."):
        order_axes("m.npy", (5, 7, 11), Reading("TYX", channel="2"))


@pytest.mark.parametrize(("stored", "axes"), [("TCYX", "TZYX"), ("CTYX", "ZTYX"), ("TSYX", "TZYX"), ("CYX", "TYX")])
def test_channels_and_colours_never_become_planes_or_frames(stored, axes):
    shape = tuple({"T": 5, "C": 2, "S": 3, "Y": 7, "X": 11}[letter] for letter in stored)
    with pytest.raises(PipelineError, match=r"calls channels or colours.*`channel` column"):
        order_axes("m.tif", shape, Reading(axes), stored)


@pytest.mark.parametrize(
    ("wanted", "kept"), [(None, [0, 1, 2, 3, 4]), ("2-4", [1, 2, 3]), ("1,3,5", [0, 2, 4]), ("3", 2), ("5-5", 4)]
)
@pytest.mark.parametrize("axes", ["TZYX", "ZTYX", "YXZT"])
def test_planes_are_chosen_and_a_single_one_is_a_flat_movie(wanted, kept, axes):
    array = np.random.default_rng(0).random((6, 5, 7, 11))
    stored = array.transpose(["TZYX".index(letter) for letter in axes])
    order = order_axes("m.h5", stored.shape, Reading(axes, planes=wanted))
    found = order.read(stored, 2, 5)
    np.testing.assert_array_equal(found, array[2:5, kept])
    assert order.dims(stored.shape) == found.shape[1:]


@pytest.mark.parametrize(("wanted", "reason"), [("4-6", "planes 1 to 5"), ("3-1", "in order"), ("1,2,5", "evenly")])
def test_planes_that_are_not_there_or_not_even_are_refused(wanted, reason):
    with pytest.raises(PipelineError, match=rf"m\.h5: `planes` is '{wanted}'.*{reason}"):
        order_axes("m.h5", (6, 5, 7, 11), Reading("TZYX", planes=wanted))
    with pytest.raises(PipelineError, match="holds no planes"):
        order_axes("m.h5", (6, 7, 11), Reading("TYX", planes="2"))


@pytest.mark.parametrize(("axes", "channel", "planes"), [("TZ4YX", None, "1-3"), ("TZ4C2YX", "2", None)])
def test_numbers_say_how_many_images_take_turns(axes, channel, planes):
    turns = (4, 2) if "C2" in axes else (4,)
    array = np.random.default_rng(0).random((5, *turns, 7, 11))
    flat = array.reshape(-1, 7, 11)
    order = order_axes("m.h5", flat.shape, Reading(axes, channel=channel, planes=planes))
    expected = array[1:4, :, 1] if channel else array[1:4, :3]
    assert order.frames(flat.shape) == 5
    np.testing.assert_array_equal(order.read(flat, 1, 4), expected)
    one = order_axes("m.h5", flat.shape, Reading(axes, channel=channel, planes="3"))
    np.testing.assert_array_equal(one.read(flat, 1, 4), expected[:, 2])


def test_numbers_that_do_not_fit_are_refused():
    for axes in ("TZ3YX", "T4Z5YX"):
        with pytest.raises(PipelineError, match="do not make whole turns"):
            order_axes("m.h5", (20, 7, 11), Reading(axes if axes[1] != "4" else "T5Z5YX"))
    for axes in ("TZC2YX", "TYX11", "TZ4C2YXS"):
        with pytest.raises(PipelineError, match=r"axes with numbers do not fit.*TZ4YX"):
            order_axes("m.h5", (40, 7, 11), Reading(axes))
