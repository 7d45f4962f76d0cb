"""Time constants from isolated events."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from caiman_pipeline.traces.ar_model import nominal_coefficients
from caiman_pipeline.traces.isolated import find_isolated, optimise_on_events

TRUE = nominal_coefficients(order=2, decay_frames=14.0, rise_frames=2.0)


def frames_of(ar):
    return np.sort(-1 / np.log(np.roots([1, *(-np.asarray(ar))])))[::-1]


def recording(order, seed=0):
    """Return a trace with events every 150 frames, its calcium, and the coefficients it was made with."""
    ar = TRUE if order == 2 else (np.exp(-1 / 14.0),)
    spikes = np.zeros((1, 3000))
    spikes[0, 100::150] = 1.0
    calcium = lfilter([1], [1, *(-np.array(ar))], spikes)
    calcium *= 20 / calcium.max()
    noise = np.random.default_rng(seed).standard_normal(calcium.shape)
    return (calcium + noise + 3).astype(np.float32), calcium.astype(np.float32)


@pytest.mark.parametrize("start", [7.0, 14.0, 28.0])
def test_decay_and_rise_are_found_from_a_wrong_start(start):
    traces, calcium = recording(2)
    wrong = np.array([nominal_coefficients(order=2, decay_frames=start, rise_frames=1.2)])
    found, used = optimise_on_events(traces, calcium, np.array([3.0]), wrong, n_events=10)
    assert used[0] == 10
    np.testing.assert_allclose(frames_of(found[0]), [14.0, 2.0], rtol=0.12)


def test_decay_alone_is_found_for_order_one():
    traces, calcium = recording(1)
    found, _ = optimise_on_events(traces, calcium, np.array([3.0]), np.array([[np.exp(-1 / 7.0)]]), n_events=10)
    assert frames_of(found[0])[0] == pytest.approx(14.0, rel=0.08)


def test_crowded_events_are_not_used_and_leave_the_coefficients():
    traces, _ = recording(2)
    crowded = np.abs(np.sin(np.arange(3000) / 4.0))[None].astype(np.float32)
    start = np.array([TRUE])
    found, used = optimise_on_events(traces, crowded, np.array([3.0]), start, n_events=10)
    assert used[0] == 0
    np.testing.assert_array_equal(found, start)


def test_largest_events_come_first_and_gaps_disqualify():
    calcium = np.zeros(1000)
    for start, height in ((100, 1.0), (400, 5.0), (700, 3.0)):
        calcium[start:] += height * np.exp(-np.arange(1000 - start) / 10.0)
    finite = np.ones(1000, bool)
    starts = np.zeros(5, np.int64)
    assert find_isolated(calcium, finite, 50, starts) == 3
    np.testing.assert_array_equal(starts[:3], [400, 700, 100])
    finite[420] = False
    assert find_isolated(calcium, finite, 50, starts) == 2
    np.testing.assert_array_equal(starts[:2], [700, 100])
