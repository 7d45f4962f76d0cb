"""The resting light of neighbours under a footprint."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.sparse import csc_matrix

from caiman_pipeline.model.background import SummedBackground
from caiman_pipeline.model.components import Components
from caiman_pipeline.traces import resting

DIMS = (41, 57)
level_between = resting.level_between
neighbours_light = partial(resting.neighbours_light, pixel_height=1.0)


def disc(centre, radius=5.0, dims=DIMS):
    at = np.indices(dims[-2:])
    image = np.zeros(dims)
    image[...] = np.hypot(*(a - c for a, c in zip(at, centre, strict=True))) <= radius
    return image.ravel()


def scene(centres, brightness, level=100.0, dims=DIMS):
    """Return components whose static background is a slope plus discs of a resting brightness."""
    discs = np.stack([disc(c, dims=dims) for c in centres], axis=1)
    slope = level + np.linspace(0, 10, dims[-1]) * np.ones(dims)
    static = slope.ravel() + discs @ np.asarray(brightness)
    n = len(centres)
    traces = np.zeros((n, 20), np.float32)
    return Components(
        dims=dims,
        ids=np.arange(n),
        footprints=csc_matrix((discs / np.linalg.norm(discs, axis=0)).astype(np.float32)),
        denoised=traces,
        residual=traces,
        background=SummedBackground(
            static.astype(np.float32), csc_matrix((len(static), 0), dtype=np.float32), np.zeros((0, 20), np.float32)
        ),
        noise=np.ones(len(static), np.float32),
        frames_per_bin=1,
    ), discs


def expected(discs, brightness):
    unit = discs / np.linalg.norm(discs, axis=0)
    own = unit.T @ (discs * np.asarray(brightness))
    return own.sum(1) - np.diag(own)


@pytest.mark.parametrize("dims", [DIMS, (3, *DIMS)], ids=["plane", "volume"])
def test_neighbours_light_is_what_their_discs_add_under_a_footprint(dims) -> None:
    centres, brightness = [(15, 20), (15, 26), (30, 45)], [40.0, 90.0, 60.0]
    given, discs = scene(centres, brightness, dims=dims)
    found = neighbours_light(given)
    np.testing.assert_allclose(found[:2], expected(discs, brightness)[:2], rtol=0.06)
    assert found[0] > 50
    assert found[2] == 0


def test_dark_neighbours_take_nothing_away() -> None:
    given, _ = scene([(15, 20), (15, 26)], [-30.0, -30.0])
    np.testing.assert_array_equal(neighbours_light(given), 0)


def test_pixels_without_data_do_not_count() -> None:
    given, _ = scene([(15, 20), (15, 26)], [40.0, 90.0])
    static, noise = given.background.static.copy(), given.noise.copy()
    static.reshape(DIMS)[:4], noise.reshape(DIMS)[:4] = np.nan, 0.0
    blind = replace(given, noise=noise, background=replace(given.background, static=static))
    np.testing.assert_allclose(neighbours_light(blind), neighbours_light(given), rtol=0.02)


def test_mean_of_the_moving_background_counts_too() -> None:
    given, _ = scene([(15, 20), (15, 26)], [40.0, 90.0])
    moving = csc_matrix(given.background.static[:, None])
    zero = np.zeros_like(given.background.static)
    moved = replace(given, background=SummedBackground(zero, moving, np.ones((1, 20), np.float32)))
    np.testing.assert_allclose(neighbours_light(moved), neighbours_light(given), rtol=1e-5)


def test_footprints_that_cover_everything_leave_no_level_to_compare_with() -> None:
    everything = csc_matrix(np.ones((np.prod(DIMS), 1), np.float32))
    image = np.full(np.prod(DIMS), 7.0)
    np.testing.assert_array_equal(
        level_between(image, everything, DIMS, usable=np.ones(len(image), bool), pixel_height=1.0), 0
    )


def test_no_components_and_empty_footprints() -> None:
    given, _ = scene([(15, 20), (15, 26)], [40.0, 90.0])
    none = replace(
        given,
        ids=given.ids[:0],
        footprints=given.footprints[:, :0],
        denoised=given.denoised[:0],
        residual=given.residual[:0],
    )
    assert neighbours_light(none).shape == (0,)
    empty = replace(given, footprints=csc_matrix(given.footprints.shape, dtype=np.float32))
    np.testing.assert_array_equal(neighbours_light(empty), 0)


def test_the_level_between_cells_is_as_wide_in_tissue_along_rows_and_columns() -> None:
    """A bright pixel, of pixels four times as high as wide, spreads over four times as many columns as rows."""
    image = np.zeros((61, 121))
    image[30, 60] = 1
    cell = csc_matrix(disc((5, 10), dims=image.shape)[:, None])
    free = np.ones(image.size, bool)
    level = level_between(image.ravel(), cell, image.shape, usable=free, pixel_height=4.0).reshape(image.shape)
    y, x = np.indices(image.shape) - np.array([30, 60])[:, None, None]
    near = (abs(y) < 12) & (abs(x) < 48)
    assert (level * near * x**2).sum() / (level * near * y**2).sum() == pytest.approx(16, rel=0.1)
