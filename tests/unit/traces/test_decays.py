"""Traces whose own decay is held against the stated one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from caiman_pipeline.config.traces import TraceSettings
from caiman_pipeline.traces.activity import infer_activity
from caiman_pipeline.traces.decays import decay_warning, far_decays, own_decays
from caiman_pipeline.traces.timing import timing_from

RATE = 20.0


def transients(decay_s: float, *, n: int = 5, seed: int = 0) -> np.ndarray:
    """Return traces (n, 9000) of sparse transients that decay in ``decay_s``, and one of noise alone below them."""
    rng = np.random.default_rng(seed)
    spikes = (rng.random((n + 1, 9000)) < 0.01) * 12.0
    spikes[-1] = 0
    calcium = lfilter([1], [1, -np.exp(-1 / (RATE * decay_s))], spikes, axis=1)
    return (100 + calcium + rng.normal(size=calcium.shape)).astype(np.float32)


def measured(decay_s: float, stated_s: float) -> np.ndarray:
    timing = timing_from(RATE, stated_s)
    activity = infer_activity(transients(decay_s), TraceSettings(), timing, threads=1, progress=lambda *_: None)
    return own_decays(activity, timing)


@pytest.mark.parametrize("stated", [0.4, 1.0])
def test_own_decays_are_those_of_the_transients_and_unknown_for_noise(stated):
    found = measured(1.05, stated)
    np.testing.assert_allclose(found[:-1], 1.05, rtol=0.25)
    assert np.isnan(found[-1])


def test_a_median_far_from_the_stated_time_is_told_with_both():
    own = measured(1.05, 0.4)
    warning = decay_warning(own, 0.4)
    assert f"decay in {np.nanmedian(own):.2g} s (median of 5 with events), and `decay_time_s` is 0.4" in warning
    assert decay_warning(measured(1.05, 3.0), 3.0)
    assert decay_warning(measured(1.05, 1.0), 1.0) == decay_warning(measured(0.5, 0.4), 0.4) == ""


def test_single_traces_that_are_far_off_are_flagged_and_counted():
    own = np.array([0.45, 0.5, 0.4, 4.8, np.nan, 0.03], np.float32)
    np.testing.assert_array_equal(far_decays(own, 0.4), [False, False, False, True, False, True])
    warning = decay_warning(own, 0.4)
    assert "2 are more than 6 times off, the worst with 0.03 s" in warning
    assert decay_warning(np.append(np.full(20, 0.5), 6.0), 0.4) == "", "of many traces one may be odd; it is flagged"
    assert decay_warning(np.full(4, np.nan), 0.4) == decay_warning(None, 0.4) == ""
    assert decay_warning(np.array([1.0]), 0.4) == "", "one trace says little about an indicator"
