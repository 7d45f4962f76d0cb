"""The size of cells in a correlation image, held against the stated one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from caiman_pipeline.extraction.tiles.cell_size import cell_size_warning, seen_cell_factor

DIMS = (150, 190)


def picture(height: float, width: float, *, dims=DIMS, n: int = 45, noise: float = 0.03, seed: int = 1) -> np.ndarray:
    """Return an image like that of local correlation: soft ellipses of several sizes on unequal ground, and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(dims)
    image = 0.1 * ndi.gaussian_filter(rng.normal(size=dims), 20) * 60
    for cy, cx in rng.uniform((0, 0), dims, (n, 2)):
        scale = rng.uniform(0.85, 1.15)
        r = np.hypot((y - cy) / (height / 2 * scale), (x - cx) / (width / 2 * scale))
        image = np.maximum(image, rng.uniform(0.3, 0.8) / (1 + np.exp((r - 1) / 0.2)))
    return image + noise * rng.normal(size=dims)


def warning(image, *cell, valid=None):
    return cell_size_warning(image, np.ones(image.shape, bool) if valid is None else valid, cell)


@pytest.mark.parametrize("diameter", [8.0, 12.0])
def test_diameters_three_times_off_are_told_and_right_ones_are_not(diameter):
    image = picture(diameter, diameter)
    assert warning(image, diameter, diameter) == ""
    for wrong in (diameter / 3.2, diameter * 3.2):
        text = warning(image, wrong, wrong)
        assert f"`cell_diameter` is {wrong:.2g} x {wrong:.2g} px" in text
        seen = seen_cell_factor(image, np.ones(DIMS, bool), (wrong, wrong)) * wrong
        assert diameter / 1.5 < seen < diameter * 1.5
    assert warning(image, diameter * 1.5, diameter * 1.5) == warning(image, diameter / 1.5, diameter / 1.5) == ""


def test_pixels_that_are_not_square_are_looked_at_in_their_shape():
    image = picture(5.0, 12.5)
    assert warning(image, 5.0, 12.5) == ""
    assert "x 40 px" in warning(image, 16.0, 40.0)


def test_noise_and_tiny_images_say_nothing():
    noise = np.random.default_rng(0).normal(size=DIMS)
    for cell in (4.0, 10.0, 30.0):
        assert warning(noise, cell, cell) == ""
        assert warning(noise[:13, :12], cell, cell) == ""
    assert warning(np.zeros(DIMS), 10.0, 10.0) == ""


def test_volumes_pool_their_planes_and_borders_without_data_do_not_count():
    planes = np.stack([picture(10, 10, seed=s) for s in range(3)])
    valid = np.ones(planes.shape, bool)
    valid[:, :, :25] = False
    planes[:, :, :25] = np.nan
    assert warning(planes, 2.0, 10.0, 10.0, valid=valid) == ""
    assert "`cell_diameter` is 32 x 32 px" in warning(planes, 6.0, 32.0, 32.0, valid=valid)
