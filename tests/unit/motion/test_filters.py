"""The band pass against its definition, to the very edge."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from caiman_pipeline.motion.filters import band_pass, smooth_image
from caiman_pipeline.motion.measures import SURROUND
from caiman_pipeline.numerics.gaussian import TRUNCATE

RNG = np.random.default_rng(6)


def blurred(plane, sigmas):
    """Convolve with Gaussians cut at ``TRUNCATE`` deviations; beyond the edge the plane goes on point-symmetrically."""
    result = plane.astype(float)
    for axis, sigma in enumerate(sigmas):
        reach = int(np.ceil(TRUNCATE * sigma))
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        pads = [(reach, reach) if a == axis else (0, 0) for a in range(2)]
        wide = np.pad(result, pads, mode="reflect", reflect_type="odd")
        filtered = ndi.convolve1d(wide, kernel / kernel.sum(), axis=axis)
        result = np.take(filtered, np.arange(reach, reach + plane.shape[axis]), axis=axis)
    return result


@pytest.mark.parametrize("widths", [(1.2, 2.0), (2.1, 0.9)])
def test_the_band_pass_is_a_difference_of_two_gaussians(widths):
    frames = (50 + RNG.normal(size=(2, 41, 53))).astype(np.float32)
    expected = [blurred(f, widths) - blurred(f, [SURROUND * w for w in widths]) for f in frames]
    np.testing.assert_allclose(band_pass(frames, widths), expected, atol=1e-4)


def test_nothing_is_filtered_without_a_width():
    frames = RNG.normal(size=(2, 9, 11)).astype(np.float32)
    assert band_pass(frames, None) is frames


@pytest.mark.parametrize("dims", [(17, 23), (3, 17, 23)])
def test_an_image_is_smoothed_along_rows_and_columns(dims):
    image = RNG.normal(size=dims)
    sigma = (*(0,) * (len(dims) - 2), 1.7, 1.7)
    np.testing.assert_allclose(smooth_image(image, 1.7), ndi.gaussian_filter(image, sigma, mode="nearest"), atol=1e-6)
