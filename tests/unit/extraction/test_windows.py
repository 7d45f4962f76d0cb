"""Boxes around a place, cut at the border of the field."""

from __future__ import annotations

import numpy as np
import pytest

from caiman_pipeline.extraction.windows import box_around, filtered_footprint, widened, within
from caiman_pipeline.numerics.filters import convolve_space, gaussian_kernel

DIMS = (20, 31)


@pytest.mark.parametrize(
    ("centre", "expected"),
    [((9, 12), ((7, 12), (9, 16))), ((0, 0), ((0, 3), (0, 4))), ((19, 30), ((17, 20), (27, 31)))],
)
def test_a_box_reaches_as_far_to_each_side_within_the_field(
    centre: tuple[int, int], expected: tuple[tuple[int, int], ...]
) -> None:
    box = box_around(centre, (2, 3), DIMS)
    assert box == tuple(slice(a, b) for a, b in expected)


def test_a_wider_box_holds_the_box() -> None:
    box = (slice(4, 9), slice(26, 30))
    wide = widened(box, (3, 5), DIMS)
    assert wide == (slice(1, 12), slice(21, 31))
    assert within(box, wide) == (slice(3, 8), slice(5, 9))
    assert widened((slice(1, 20), slice(0, 2)), (3, 5), DIMS) == (slice(0, 20), slice(0, 7))


@pytest.mark.parametrize("place", [(9, 12), (1, 29)])
def test_a_filtered_footprint_is_that_of_the_whole_field(place: tuple[int, int]) -> None:
    box = box_around(place, (2, 3), DIMS)
    footprint = np.random.default_rng(0).random(tuple(b.stop - b.start for b in box)).astype(np.float32)
    whole = np.zeros(DIMS, np.float32)
    whole[box] = footprint
    kernels = [gaussian_kernel(1.2), gaussian_kernel(0.6)]
    wide, found = filtered_footprint(footprint, box, DIMS, kernels=kernels)
    expected = convolve_space(whole, kernels)
    np.testing.assert_allclose(found, expected[wide], atol=1e-6)
    rest = expected.copy()
    rest[wide] = 0
    assert not rest.any()
