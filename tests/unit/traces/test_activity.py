"""From fluorescence to activity: what the steps do, and that every setting does something."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.signal import lfilter
from spike_trains import simulate, smooth_correlation

from caiman_pipeline.config.traces import TraceSettings
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.traces.activity import infer_activity, infer_block, points_down
from caiman_pipeline.traces.counted_events import events_of
from caiman_pipeline.traces.timing import timing_from

TIMING = timing_from(30.0, 0.6)


def infer(traces, timing=TIMING, **changes):
    return infer_activity(traces, TraceSettings(**changes), timing, threads=1, progress=lambda done, total: None)


def fluorescence(n_traces=3, n_frames=2400, drift=0.0, **options):
    traces, spikes, calcium = simulate(1, n_traces, n_frames, rate=0.008, level=10.0, **options)
    return (3 * traces + drift * np.linspace(0, 1, n_frames)).astype(np.float32), spikes, calcium


def test_spikes_are_found_with_default_settings():
    traces, spikes, _ = fluorescence()
    result = infer(traces)
    for k in range(3):
        assert smooth_correlation(result.deconvolved[k], spikes[k], 4) > 0.9


@pytest.mark.parametrize("rate_hz", [7.5, 30.0, 100.0])
def test_spikes_are_found_at_any_frame_rate(rate_hz):
    rng, seconds, decay_s, rise_s = np.random.default_rng(0), 80, 0.6, 0.05
    spikes = (rng.random((3, int(seconds * rate_hz))) < 0.24 / rate_hz).astype(float)
    slow, fast = np.exp(-1 / (rate_hz * decay_s)), np.exp(-1 / (rate_hz * rise_s))
    calcium = lfilter([1], [1, -(slow + fast), slow * fast], spikes)
    traces = 100 + 30 * calcium / calcium.max() + 3 * rng.standard_normal(spikes.shape)
    result = infer(traces.astype(np.float32), timing_from(rate_hz, decay_s))
    for k in range(3):
        assert smooth_correlation(result.deconvolved[k], spikes[k], 0.2 * rate_hz) > 0.9
        assert result.flags[k] == ""


def test_a_negative_going_indicator_is_deconvolved_with_its_polarity_and_else_flagged():
    traces, spikes, _ = fluorescence(noise=0.15)
    rising, falling = infer_block(traces, TraceSettings(), TIMING, threads=1), 100 - traces
    turned = infer_block(falling, TraceSettings(polarity=-1), TIMING, threads=1)
    np.testing.assert_allclose(turned.activity.deconvolved, rising.activity.deconvolved, atol=0.02)
    np.testing.assert_allclose(turned.activity.baseline, 100 - rising.activity.baseline, rtol=1e-3)
    np.testing.assert_allclose(turned.fluorescence, 100 - rising.fluorescence, atol=0.05)
    np.testing.assert_allclose(turned.transients, -rising.transients, atol=0.02)
    wrong = infer(falling)
    assert all("downward" in flag for flag in wrong.flags)
    assert not any("downward" in flag for flag in (*rising.activity.flags, *turned.activity.flags))
    assert max(smooth_correlation(wrong.deconvolved[k], spikes[k], 4) for k in range(3)) < 0.5


def test_noise_and_gaps_are_not_taken_for_a_negative_going_indicator():
    noise = np.random.default_rng(4).standard_normal((20, 3000)).astype(np.float32)
    noise[3, 100:900] = np.nan
    assert not any("downward" in flag for flag in infer(noise).flags)


def test_a_long_trace_with_few_frames_is_judged_by_those():
    """None of them is where a sample in even steps would look."""
    trace = np.full((1, 40_000), np.nan, np.float32)
    trace[0, 1::2] = np.random.default_rng(5).standard_normal(20_000)
    assert list(points_down(trace, np.ones(1))) == [False]
    trace[0, 1:2000:2] -= 30
    assert list(points_down(trace, np.ones(1))) == [True]


def test_slow_drift_does_no_harm_once_detrended():
    traces, spikes, _ = fluorescence(drift=60.0)
    with_drift = [smooth_correlation(infer(traces).deconvolved[k], spikes[k], 4) for k in range(3)]
    without = [smooth_correlation(infer(traces, detrend_window_s=0).deconvolved[k], spikes[k], 4) for k in range(3)]
    assert min(with_drift) > 0.85
    assert np.mean(with_drift) > np.mean(without) + 0.05


def test_supralinear_bursts_are_weighed_like_spikes():
    rng = np.random.default_rng(0)
    spikes = np.zeros((4, 3000))
    for k in range(4):
        for start in range(100, 2900, 200):
            spikes[k, start : start + 2 * rng.integers(1, 9) : 2] = 1
    calcium = lfilter([1], [1, -0.95], spikes)
    bright = 6 * calcium**2 + rng.standard_normal(calcium.shape)
    linear, curved = infer(bright.astype(np.float32), linear_range=0), infer(bright.astype(np.float32))
    gains = [
        smooth_correlation(curved.deconvolved[k], spikes[k], 6)
        - smooth_correlation(linear.deconvolved[k], spikes[k], 6)
        for k in range(4)
    ]
    assert min(gains) > 0.005


def test_scaled_traces_have_scaled_activity():
    traces, _, _ = fluorescence()
    one, thousand = infer(traces), infer(traces * 1000)
    np.testing.assert_allclose(thousand.ar, one.ar, rtol=1e-3)
    np.testing.assert_allclose(thousand.deconvolved, 1000 * one.deconvolved, rtol=0.02, atol=2.0)


def test_linearised_calcium_keeps_its_dynamics_and_has_the_traces_size():
    traces, _, calcium = fluorescence()
    result = infer(traces)
    entered = (
        result.denoised[:, 2:]
        - result.ar[:, :1] * result.denoised[:, 1:-1]
        - result.ar[:, 1:] * result.denoised[:, :-2]
    )
    np.testing.assert_allclose(result.deconvolved[:, 2:], entered, atol=1e-3)
    assert (result.deconvolved >= 0).all()
    np.testing.assert_allclose((result.denoised + result.baseline[:, None]).mean(1), traces.mean(1), rtol=1e-3)
    for k in range(3):
        assert np.polyfit(result.denoised[k], traces[k], 1)[0] == pytest.approx(1.0, abs=0.03)
        assert np.polyfit(3 * calcium[k], result.denoised[k], 1)[0] == pytest.approx(1.0, abs=0.2)


def test_gaps_zero_and_constant_traces_pass_through():
    traces, _, _ = fluorescence()
    traces[0, 500:560] = np.nan
    traces[1] = 0.0
    traces[2] = 42.0
    result = infer(traces)
    np.testing.assert_array_equal(np.isnan(result.deconvolved), np.isnan(traces))
    assert "gap" in result.flags[0]
    assert "zero" in result.flags[1]
    assert result.flags[2]
    assert (result.deconvolved[1:] == 0).all()


def test_result_of_a_row_does_not_depend_on_the_block(monkeypatch):
    traces, _, _ = fluorescence(n_traces=5)
    whole = infer(traces)
    monkeypatch.setattr("caiman_pipeline.traces.activity.BLOCK_VALUES", 2 * traces.shape[1])
    monkeypatch.setattr("caiman_pipeline.traces.activity.BLOCK_ROWS", 1)
    blocks = infer(traces)
    for name in ("denoised", "deconvolved", "baseline", "noise", "ar", "sparsity"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(blocks, name))
    assert whole.flags == blocks.flags


def test_fluorescence_of_the_model_has_the_traces_size():
    traces, _, calcium = fluorescence(drift=20.0)
    model = infer_block(traces, TraceSettings(), TIMING, threads=1).fluorescence
    for k in range(3):
        clean = 3 * (calcium[k] + 10.0) + 20.0 * np.linspace(0, 1, traces.shape[1])
        slope = np.polyfit(clean - np.linspace(0, 20, len(clean)), model[k] - np.linspace(0, 20, len(clean)), 1)[0]
        assert slope == pytest.approx(1.0, abs=0.12)
        assert np.abs(model[k] - clean).mean() < 0.6


CHANGES = {
    "polarity": {"polarity": -1},
    "order": {"order": 1},
    "order without dynamics": {"order": 0},
    "penalty": {"penalty": "l0"},
    "penalty none": {"penalty": "nonnegative"},
    "penalty_bounds": {"penalty_bounds": (4.0, 5.0), "busy_share": 1.0},
    "busy_share": {"busy_share": 0.0},
    "baseline": {"baseline": "fixed"},
    "detrend_window_s": {"detrend_window_s": 5.0},
    "detrend_quantile": {"detrend_quantile": 40.0, "baseline": "fixed"},
    "linear_range": {"linear_range": 5.0},
    "time_constants given": {"time_constants": "given"},
    "time_constants estimated": {"time_constants": "estimated"},
    "rise_time_s": {"rise_time_s": 0.1},
    "estimate_share": {"estimate_share": 0.1},
    "autocovariance_s": {"autocovariance_s": 0.1},
    "fudge_factor": {"fudge_factor": 0.95},
    "optimize_events": {"optimize_events": 5},
    "noise_band": {"noise_band": (0.1, 0.5)},
    "noise_average": {"noise_average": "median"},
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_of_the_deconvolution_changes_its_result(name):
    traces, _, _ = fluorescence(n_traces=2)
    assert not np.array_equal(infer(traces).deconvolved, infer(traces, **CHANGES[name]).deconvolved)


def test_settings_that_count_only_with_others_count_with_them():
    traces, _, _ = fluorescence(n_traces=2)
    small, large = (infer(traces, penalty="l0", s_min=s) for s in (0.5, 2.0))
    assert (small.deconvolved > 0).sum() > (large.deconvolved > 0).sum()
    low, high = (
        infer(traces, baseline="fixed", baseline_level=b, detrend_window_s=0, linear_range=0) for b in (-1.0, 1.0)
    )
    np.testing.assert_array_equal(low.baseline, -1.0)
    assert low.denoised.mean() > high.denoised.mean() + 1
    plain = {"detrend_window_s": 0, "linear_range": 0}
    np.testing.assert_array_equal(infer(traces - 100, baseline="nonnegative", **plain).baseline, 0.0)
    assert (infer(traces - 100, **plain).baseline < -50).all()


def test_convex_method_agrees_with_the_default_one():
    pytest.importorskip("cvxpy")
    traces, _, _ = fluorescence(n_traces=1, n_frames=500)
    own, convex = (
        infer(traces, penalty_bounds=(0.0, 1e6), busy_share=1.0),
        infer(traces, method="convex", solver="CLARABEL"),
    )
    assert np.corrcoef(own.deconvolved[0], convex.deconvolved[0])[0, 1] > 0.999
    other = infer(traces, method="convex", solver="SCS")
    assert np.corrcoef(own.deconvolved[0], other.deconvolved[0])[0, 1] > 0.99


@pytest.mark.parametrize(
    "wrong",
    [
        {"noise_band": (0.4, 0.2)},
        {"noise_band": (0.1, 0.7)},
        {"penalty_bounds": (3.0, 1.0)},
        {"order": 3},
        {"estimate_share": 1.5},
        {"f0_quantile": 101},
        {"f0_window_s": 0},
    ],
)
def test_settings_out_of_bounds_are_refused(wrong):
    with pytest.raises(ValidationError):
        TraceSettings(**wrong)


@pytest.mark.parametrize(("rate", "decay"), [(None, 0.5), (30.0, None), (0.0, 0.5), (30.0, -1.0)])
def test_unknown_rate_or_decay_is_an_error(rate, decay):
    with pytest.raises(PipelineError, match="frame_rate_hz"):
        timing_from(rate, decay)


def test_binned_traces_have_a_lower_rate():
    assert timing_from(30.0, 0.5, frames_per_bin=3).frame_rate_hz == 10.0


def test_events_are_rises_of_at_least_so_many_times_the_noise():
    calcium = np.zeros((3, 300), np.float32)
    for start, height in ((50, 4.0), (120, 2.0), (200, 8.0)):
        calcium[0, start:] += height * np.exp(-np.arange(300 - start) / 8.0)
    calcium[0, 250:] = np.nan
    calcium[1] = np.nan
    rates, heights = events_of(calcium, np.ones(3, np.float32), height=3.0, frame_rate_hz=30.0)
    np.testing.assert_allclose(rates, [2 / 250 * 30, np.nan, 0], rtol=1e-6)
    assert heights[0] == pytest.approx(6.0, rel=0.02)
    assert np.isnan(heights[1:]).all()
    fewer, _ = events_of(calcium, np.ones(3, np.float32), height=6.0, frame_rate_hz=30.0)
    assert fewer[0] == pytest.approx(1 / 250 * 30)
    unknown, _ = events_of(calcium, np.full(3, np.nan), height=3.0, frame_rate_hz=30.0)
    assert np.isnan(unknown).all()


def test_an_event_is_a_maximum_that_high_above_the_lowest_value_since_the_event_before():
    """Small dips on the way up do not part a rise in two, and the way down starts anew."""
    calcium = np.array([[0, 2, 1.5, 3.5, 3, 5, 1, 3.5, 0, 4, 4, 2, 4.9]], np.float32)
    rates, heights = events_of(calcium, np.ones(1, np.float32), height=3.0, frame_rate_hz=13.0)
    assert rates[0] == 2.0  # 0 to 3.5 across a dip, 0 to 4; 3 to 5, 1 to 3.5 and 2 to 4.9 are too small
    assert heights[0] == pytest.approx(3.75)


ORDERS = pytest.mark.parametrize("order", [0, 1, 2])


@ORDERS
@pytest.mark.parametrize("linear_range", [0.0, 3.0, 20.0])
def test_the_smallest_event_is_in_the_unit_of_the_activity(order, linear_range):
    """Linearised or not, and as few events as asked for are dropped."""
    traces, _, _ = fluorescence(n_traces=4, noise=0.2)
    for s_min in (1.0, 2.5):
        events = infer(traces, order=order, penalty="l0", s_min=s_min, linear_range=linear_range).deconvolved
        sizes = events[events > 0]
        assert s_min * (1 - 1e-4) <= sizes.min() < 1.4 * s_min
    events = infer(traces, order=order, penalty="l0", s_min=1e4, linear_range=linear_range).deconvolved
    assert not events.any()


def test_a_smallest_event_in_noise_is_in_the_traces_noise():
    traces, _, _ = fluorescence(n_traces=4, noise=0.2)
    result = infer(traces, order=1, penalty="l0", s_min=-12.0, linear_range=3.0)
    smallest = 12 * result.noise * np.sqrt(1 - result.ar[:, 0])
    for k in range(4):
        sizes = result.deconvolved[k][result.deconvolved[k] > 0]
        assert smallest[k] * (1 - 1e-4) <= sizes.min() < 1.6 * smallest[k]


@ORDERS
def test_activity_is_never_negative_and_an_order_without_dynamics_finds_the_spikes(order):
    traces, spikes, _ = fluorescence(drift=20.0)
    traces[1, 300:320] = np.nan
    result = infer(traces, order=order)
    assert np.nanmin(result.deconvolved) == 0
    for k in (0, 2):
        assert smooth_correlation(result.deconvolved[k], spikes[k], 4) > (0.55 if order == 0 else 0.9)


@ORDERS
@pytest.mark.parametrize("linear_range", [0.0, 20.0])
@pytest.mark.parametrize("window_s", [0.0, 40.0])
def test_a_baseline_that_is_not_negative_stays_so_with_all_that_is_taken_off_the_trace(order, linear_range, window_s):
    """Of a trace around zero, as demixed ones are, only what is above zero is activity."""
    traces, _, _ = fluorescence(n_traces=2)
    low = (traces - traces.mean(1, keepdims=True)).astype(np.float32)
    options = {"order": order, "linear_range": linear_range, "detrend_window_s": window_s}
    free, bounded = (infer(low, baseline=b, **options) for b in ("free", "nonnegative"))
    assert (free.baseline < 0).all()
    assert (bounded.baseline >= 0).all()
    assert not np.array_equal(bounded.deconvolved, free.deconvolved)
    if order:
        assert (bounded.denoised.mean(1) < free.denoised.mean(1)).all()
    model = infer_block(low, TraceSettings(baseline="nonnegative", **options), TIMING, threads=1).fluorescence
    assert model.min() > -1e-3
    above = infer(traces, baseline="nonnegative", **options)
    np.testing.assert_allclose(above.deconvolved, infer(traces, **options).deconvolved, atol=1e-3)


@pytest.mark.parametrize("linear_range", [0.0, 5.0])
def test_a_fixed_baseline_is_in_the_traces_unit(linear_range):
    traces, _, _ = fluorescence(n_traces=2)
    options = {"baseline": "fixed", "detrend_window_s": 0.0, "linear_range": linear_range}
    result = infer(traces, baseline_level=30.0, **options)
    np.testing.assert_allclose(result.baseline, 30.0, rtol=1e-6)
    fitted = (result.denoised * (traces - 30)).sum(1) / (result.denoised**2).sum(1)
    if linear_range:
        np.testing.assert_allclose(fitted, 1.0, atol=0.05)
    detrended = infer(traces, baseline_level=1.0, **{**options, "detrend_window_s": 40.0})
    np.testing.assert_allclose(detrended.baseline, traces.min(1) + 1.0, atol=4.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "convex", "penalty": "l0"}, "penalty `l1` only"),
        ({"polarity": -1, "baseline": "nonnegative"}, "above the activity"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        TraceSettings(**wrong)
