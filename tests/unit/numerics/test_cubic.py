"""Weights of interpolation between samples, and the place of a maximum between them."""

from __future__ import annotations

import numpy as np
import pytest

from caiman_pipeline.numerics.cubic import catmull_rom, catmull_rom_slopes, cubic_weights
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.peaks import parabola_vertex

PLACES = np.linspace(0, 1, 11)


@compiled
def _weights_and_slopes(f):
    return catmull_rom(f), catmull_rom_slopes(f)


def test_samples_of_a_parabola_give_its_values_between_them():
    def parabola(x):
        return 3 - 2 * x + 0.7 * x**2

    values = parabola(np.array([-1.0, 0, 1, 2])) @ cubic_weights(PLACES)
    np.testing.assert_allclose(values, parabola(PLACES), rtol=1e-14)


def test_the_third_sample_counts_less_than_the_second_before_half_way():
    np.testing.assert_allclose(cubic_weights(np.array([0.25]))[:, 0], [-0.0703125, 0.8671875, 0.2265625, -0.0234375])


def test_in_kernels_weights_are_the_same_and_slopes_are_their_derivative():
    step = 1e-6
    for f in PLACES:
        weights, slopes = _weights_and_slopes(f)
        np.testing.assert_array_equal(weights, cubic_weights(f))
        up, down = (np.array(_weights_and_slopes(f + s)[0]) for s in (step, -step))
        np.testing.assert_allclose(slopes, (up - down) / (2 * step), atol=1e-8)


def test_numbers_of_single_precision_stay_so():
    assert cubic_weights(PLACES.astype(np.float32)).dtype == np.float32


def test_the_vertex_of_a_parabola_is_found():
    at = 0.3
    low, middle, high = (5 - 2 * (x - at) ** 2 for x in (-1, 0, 1))
    assert parabola_vertex(low, middle, high) == pytest.approx(at)
    assert parabola_vertex(high, middle, low) == pytest.approx(-at)


@pytest.mark.parametrize("samples", [(1.0, 0.0, 2.0), (1.0, 1.0, 1.0), (np.nan, 1.0, 0.0)])
def test_what_does_not_bend_downwards_has_its_maximum_in_the_middle(samples):
    assert parabola_vertex(*samples) == 0


def test_a_vertex_is_no_further_than_half_a_step():
    assert parabola_vertex(0.0, 1.0, 1.9) == 0.5
    assert parabola_vertex.py_func(1.9, 1.0, 0.0) == -0.5
