from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csc_matrix

from caiman_pipeline.report.canvas import GAP_PX, flatten, jpeg_uri, lay_out, shrink, to_grey
from caiman_pipeline.report.contours import SUBPIXEL, trace_outlines


def test_single_plane_is_the_canvas_itself():
    canvas = lay_out((37, 53))
    image = np.arange(37 * 53, dtype=np.float32).reshape(37, 53)
    assert canvas.shape == (37, 53)
    np.testing.assert_array_equal(flatten(image, canvas), image)


def test_every_plane_of_a_volume_has_its_own_place():
    canvas = lay_out((5, 20, 31))
    volume = np.random.default_rng(0).random((5, 20, 31)).astype(np.float32)
    flat = flatten(volume, canvas)
    for plane in range(5):
        row, column = canvas.corner(plane)
        np.testing.assert_array_equal(flat[row : row + 20, column : column + 31], volume[plane])
    assert np.isnan(flat).any()
    assert flat.shape[0] % (20 + GAP_PX) == 20


def test_many_planes_are_drawn_together_without_losing_any():
    canvas = lay_out((30, 8, 11))
    assert len(canvas.slabs) == 12
    volume = np.zeros((30, 8, 11), np.float32)
    volume[29, 3, 4] = 7
    row, column = canvas.corner(int(canvas.slab_of_planes()[29]))
    assert flatten(volume, canvas)[row + 3, column + 4] == 7
    assert len(canvas.slab_of_planes()) == 30


def test_grey_stretches_between_percentiles_and_blackens_what_is_not_finite():
    image = np.linspace(10, 20, 1000, dtype=np.float32).reshape(25, 40)
    image[0, 0], image[3, 3] = np.nan, np.inf
    grey = to_grey(image, low=0, high=100)
    assert grey[0, 0] == 0
    assert grey[3, 3] == 255
    assert grey[-1, -1] == 255
    assert grey[0, 1] == 0
    assert (np.diff(grey[5:].ravel().astype(int)) >= 0).all()


def test_room_keeps_the_brightest_below_white():
    image = np.linspace(0, 1, 200, dtype=np.float32).reshape(10, 20)
    assert to_grey(image, low=0, high=100, room=0.25).max() == 204


@pytest.mark.parametrize("value", [np.nan, 3.0])
def test_grey_of_a_flat_image_is_finite(value):
    assert to_grey(np.full((5, 7), value, np.float32)).shape == (5, 7)


def test_shrink_keeps_small_images_and_limits_large_ones():
    assert shrink(np.zeros((40, 60), np.uint8), 64).shape == (40, 60)
    assert shrink(np.zeros((200, 600), np.uint8), 60).shape == (20, 60)


def test_pictures_are_data_uris():
    assert jpeg_uri(np.zeros((8, 9), np.uint8)).startswith("data:image/jpeg;base64,")


def test_outline_follows_the_footprint_in_x_and_y(make_outcome):
    components = make_outcome(n_components=1).components
    weight = np.zeros((37, 53), np.float32)
    weight[10:14, 30:41] = 1
    components = replace(components, footprints=csc_matrix(weight.reshape(-1, 1)))
    (outline,) = trace_outlines(components, lay_out((37, 53)), level=0.5)
    (line,) = outline.lines
    np.testing.assert_allclose(line.min(0), [30, 10], atol=0.3)
    np.testing.assert_allclose(line.max(0), [41, 14], atol=0.3)
    assert outline.x == pytest.approx(35.5, abs=1)
    assert outline.y == pytest.approx(12, abs=0.5)


def test_path_encodes_the_line_in_tenths_of_a_pixel(make_outcome):
    components = make_outcome().components
    outline = trace_outlines(components, lay_out((37, 53)), level=0.4)[2]
    start, steps = outline.path.removesuffix("z").removeprefix("M").split("l")
    x, y = (int(v) for v in start.split())
    numbers = [int(v) for v in steps.replace("-", " -").replace("+", " ").split()]
    points = np.cumsum(np.array([[x, y], *zip(numbers[::2], numbers[1::2], strict=True)]), axis=0) / SUBPIXEL
    line = outline.lines[0]
    np.testing.assert_allclose(points[0], line[0], atol=0.06)
    np.testing.assert_allclose(points.min(0), line.min(0), atol=0.06)
    np.testing.assert_allclose(points.max(0), line.max(0), atol=0.06)


def test_component_of_a_volume_has_a_line_on_each_plane_that_it_spans(make_outcome):
    components = make_outcome(dims=(5, 20, 31), n_components=1).components
    weight = np.zeros((5, 20, 31), np.float32)
    weight[1:3, 5:9, 12:17] = 1
    components = replace(components, footprints=csc_matrix(weight.reshape(-1, 1)))
    canvas = lay_out((5, 20, 31))
    (outline,) = trace_outlines(components, canvas, level=0.5)
    assert len(outline.lines) == 2
    row, column = canvas.corner(1)
    np.testing.assert_allclose(outline.lines[0].min(0), [column + 12, row + 5], atol=0.3)


def test_empty_footprint_has_no_line_and_one_pixel_has_one(make_outcome):
    components = make_outcome(n_components=2).components
    footprints = np.zeros((37 * 53, 2), np.float32)
    footprints[4 * 53 + 9, 1] = 1
    components = replace(components, footprints=csc_matrix(footprints))
    empty, dot = trace_outlines(components, lay_out((37, 53)), level=0.9)
    assert empty.lines == ()
    assert empty.path == ""
    assert dot.x == pytest.approx(9.5, abs=0.1)
    assert dot.y == pytest.approx(4.5, abs=0.1)
