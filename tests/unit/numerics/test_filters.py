"""Separable filters against their definition, also where the kernel is longer than the field."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from caiman_pipeline.numerics.filters import convolve_space, gaussian_kernel, kernel_norm, matched_kernels

RNG = np.random.default_rng(2)


@pytest.mark.parametrize(("sigma", "half"), [(0.2, 1), (1.0, 3), (1.5, 5), (2.4, 8)])
def test_a_kernel_is_a_gaussian_of_unit_sum_cut_at_three_deviations(sigma: float, half: int) -> None:
    kernel = gaussian_kernel(sigma)
    assert len(kernel) == 2 * half + 1
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    expected = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * sigma**2))
    np.testing.assert_allclose(kernel, expected / expected.sum(), rtol=1e-5)
    assert gaussian_kernel(0.0).tolist() == [0, 1, 0]


@pytest.mark.parametrize("dims", [(9, 14), (4, 9, 14), (2, 30)])
def test_filtering_is_convolution_with_zeros_around(dims: tuple[int, ...]) -> None:
    movie = RNG.normal(size=(*dims, 5)).astype(np.float32)
    kernels = [gaussian_kernel(s) for s in (1.3, 0.8, 1.9)[: len(dims)]]
    expected = movie.astype(float)
    for axis, kernel in enumerate(kernels):
        expected = ndi.convolve1d(expected, kernel.astype(float), axis=axis, mode="constant")
    np.testing.assert_allclose(convolve_space(movie, kernels), expected, atol=1e-5)
    scaled = convolve_space(movie, [np.float32([2]), *kernels[1:]])
    one = convolve_space(movie, [np.float32([1]), *kernels[1:]])
    np.testing.assert_allclose(scaled, 2 * one, rtol=1e-6)


def test_kernels_match_a_cell_and_leave_thin_axes_alone() -> None:
    thin, wide, long = matched_kernels((1.5, 8.0, 10.0))
    assert thin.tolist() == [1]
    np.testing.assert_array_equal(wide, gaussian_kernel(2.4))
    np.testing.assert_array_equal(long, gaussian_kernel(3.0))
    assert len(matched_kernels((1.6,))[0]) == 5


@pytest.mark.parametrize("dims", [(25, 31), (3, 31), (4, 5, 12)])
def test_the_norm_is_what_white_noise_keeps(dims: tuple[int, ...]) -> None:
    kernels = [gaussian_kernel(s) for s in (0.7, 1.2, 1.6)[: len(dims)]]
    pixels = int(np.prod(dims))
    response = convolve_space(np.eye(pixels, dtype=np.float32).reshape(*dims, pixels), kernels)
    expected = np.sqrt((response.astype(float) ** 2).sum(-1))
    np.testing.assert_allclose(kernel_norm(dims, kernels), expected, rtol=1e-4)
