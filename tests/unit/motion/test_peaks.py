"""From likelihood surfaces to displacements: a dimmer frame is compared with a dimmer template."""

from __future__ import annotations

import numpy as np
import pytest
from moving import PAD, make_scene

from caiman_pipeline.motion.agreement import square_agreement
from caiman_pipeline.motion.nodes import make_grid
from caiman_pipeline.motion.peaks import frame_gain, linearise, window_peaks
from caiman_pipeline.motion.surfaces import prepare_squares

RNG = np.random.default_rng(3)
DIMS, LAGS = (40, 60), (2, 3)
TEMPLATE = make_scene(DIMS, seed=2)[PAD:-PAD, PAD:-PAD]
GRID = make_grid(DIMS, spacing=(20.0, 20.0), local=True, bins=(1, 1))
SQUARES = prepare_squares(TEMPLATE, np.ones(DIMS, np.float32), GRID, lags=LAGS)
PLACES = [(dy, dx) for dy in range(-2, 3) for dx in range(-3, 4)]


def likelihood(agreement, gain):
    """Log-likelihood of a template ``gain`` times as bright, up to a constant: (T, squares, displacements)."""
    return gain * agreement - 0.5 * gain**2 * SQUARES.energy


@pytest.fixture(scope="module")
def agreement():
    """Of frames of no displacement in particular: noise, so that neither term decides alone."""
    spread = 0.3 * SQUARES.energy.std(axis=1)[None, :, None]
    return (SQUARES.energy[None] * 0.35 + spread * RNG.normal(size=(6, *SQUARES.energy.shape))).astype(np.float32)


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.7])
def test_at_whole_displacements_the_likelihood_is_that_of_its_definition(agreement, gain):
    gains = np.full((6, SQUARES.n_squares), gain, np.float32)
    for d in (8, 17, 26):
        at = np.zeros((6, SQUARES.n_squares, 3), np.float32)
        at[..., 1:] = PLACES[d]
        expected = likelihood(agreement, gain)[:, :, d]
        np.testing.assert_allclose(linearise(agreement, SQUARES, at, gains)[..., 0], expected, rtol=1e-4)


@pytest.mark.parametrize("gain", [0.5, 0.8, 1.6])
def test_the_most_likely_displacement_depends_on_how_bright_the_frame_is(agreement, gain):
    each = np.arange(SQUARES.n_squares)[:, None]
    found = window_peaks(agreement, SQUARES, each, np.full(6, gain, np.float32))
    best = np.array(PLACES)[likelihood(agreement, gain).argmax(2)]
    np.testing.assert_allclose(found[..., 1:], best, atol=0.501)
    assert not found[..., 0].any()
    assert (np.array(PLACES)[likelihood(agreement, 1.0).argmax(2)] != best).any()


def test_a_window_adds_up_its_squares_and_leaves_out_what_fills_the_list(agreement):
    members = np.array([[0, 3, -1], [1, -1, -1]])
    found = window_peaks(agreement, SQUARES, members, np.ones(6, np.float32))
    one = likelihood(agreement, 1.0)
    together = np.stack([one[:, 0] + one[:, 3], one[:, 1]], axis=1)
    np.testing.assert_allclose(found[..., 1:], np.array(PLACES)[together.argmax(2)], atol=0.501)


def test_the_top_between_pixels_is_that_of_a_parabola_and_stays_on_the_edge_at_the_edge():
    y, x = np.array(PLACES).T
    surface = -((y - 0.3) ** 2) - 2 * (x + 0.4) ** 2
    edge = -((y + 2.4) ** 2) - (x - 1.2) ** 2
    squares = np.stack([surface, edge]) + 0.5 * SQUARES.energy[:2]
    padded = np.concatenate([squares, np.zeros_like(SQUARES.energy[2:])])[None].astype(np.float32)
    found = window_peaks(padded, SQUARES, np.array([[0], [1]]), np.ones(1, np.float32))
    scale = float(np.finfo(np.float32).eps * SQUARES.energy[:2].max())
    np.testing.assert_allclose(found[0, :, 1:], [[0.3, -0.4], [-2, 1.2]], atol=0.02 + 10 * scale)


def test_gain_is_taken_where_all_squares_together_agree_best_and_is_bounded():
    offsets = np.zeros((4, SQUARES.n_squares, 3), np.int64)
    bright = np.array([0.1, 0.7, 1.5, 9.0], np.float32)
    frames = bright[:, None, None] * TEMPLATE
    found = frame_gain(square_agreement(frames, offsets, SQUARES), SQUARES)
    np.testing.assert_allclose(found, [0.5, 0.7, 1.5, 2.0], rtol=0.02)
