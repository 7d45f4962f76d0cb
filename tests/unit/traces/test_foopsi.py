"""Deconvolution: exact constraints, optimality, options, and traces with something the matter."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter
from spike_trains import AR, NOISE, known, method, simulate, smooth_correlation

from caiman_pipeline.traces.foopsi import deconvolve

BOTH = pytest.mark.parametrize("order", [1, 2])


@BOTH
@pytest.mark.parametrize("penalty", ["l1", "l0", "nonnegative"])
def test_activity_is_what_enters_the_calcium_and_never_negative(order, penalty):
    traces, _, _ = simulate(order)
    result = deconvolve(traces, method(order, penalty=penalty))
    entered = result.denoised[:, 2:].astype(float)
    for k in range(order):
        entered -= result.ar[:, k, None] * result.denoised[:, 1 - k : -1 - k]
    assert (result.deconvolved >= 0).all()
    assert (result.deconvolved > 0).any()
    np.testing.assert_allclose(result.deconvolved[:, 2:], entered, atol=1e-4)


@BOTH
def test_penalty_meets_the_noise_constraint(order):
    traces, _, _ = simulate(order)
    result = deconvolve(traces, method(order), **known(order))
    residual = traces - result.denoised - result.baseline[:, None]
    np.testing.assert_allclose(np.sqrt((residual.astype(float) ** 2).mean(1)), NOISE, rtol=1e-5)
    assert (result.sparsity > 0).all()


@BOTH
def test_solution_meets_the_optimality_conditions(order):
    traces, _, _ = simulate(order)
    result = deconvolve(traces, method(order), **known(order))
    for y, c, s, b, lam in zip(
        traces.astype(float), result.denoised, result.deconvolved, result.baseline, result.sparsity, strict=True
    ):
        residual = y - b - c
        gradient = np.zeros(len(y) + 2)
        for t in range(len(y) - 1, -1, -1):
            gradient[t] = residual[t] + sum(g * gradient[t + 1 + k] for k, g in enumerate(AR[order]))
        inner = gradient[2 : len(y)]
        assert inner.max() <= lam * (1 + 1e-3)
        np.testing.assert_allclose(inner[s[2:] > 0], lam, rtol=1e-3)
        assert abs(residual.mean()) < 1e-5


@BOTH
def test_spikes_are_found(order):
    traces, spikes, calcium = simulate(order)
    result = deconvolve(traces, method(order))
    for k in range(3):
        assert smooth_correlation(result.deconvolved[k], spikes[k]) > 0.9
        assert np.corrcoef(result.denoised[k], calcium[k])[0, 1] > 0.95


@BOTH
def test_agrees_with_oasis_deconv(order):
    functions = pytest.importorskip("oasis.functions")
    traces, _, _ = simulate(order, n_frames=2000)
    result = deconvolve(traces, method(order), **known(order))
    for k, y in enumerate(traces.astype(float)):
        above, lam = y - float(result.baseline[k]), float(result.sparsity[k])
        if order == 1:
            c, s = functions.oasisAR1(above, AR[1][0], lam=lam)[:2]
        else:
            c, s = functions.onnls(above, AR[2], lam=lam)

        def objective(calcium, activity, above=above, lam=lam):
            return 0.5 * ((above - calcium) ** 2).sum() + lam * (activity[1:].sum() + calcium[0])

        assert np.corrcoef(s[1:], result.deconvolved[k, 1:])[0, 1] > 0.999
        assert objective(result.denoised[k], result.deconvolved[k]) <= objective(c, s) + 1e-3


@BOTH
def test_repeated_trace_has_the_same_spikes_in_each_repeat(order):
    traces, _, _ = simulate(order, n_traces=1, n_frames=900, seed=4)
    traces[0, -60:] = 1.0 + NOISE * np.random.default_rng(9).standard_normal(60)
    result = deconvolve(np.tile(traces, 4), method(order), **known(order, 1))
    repeats = result.deconvolved.reshape(4, 900)[:, 100:-60]
    assert repeats[0].max() > 0.3
    for repeat in repeats[1:]:
        np.testing.assert_allclose(repeat, repeats[0], atol=1e-3 * repeats[0].max())


@BOTH
def test_scaled_trace_has_the_same_coefficients_and_scaled_activity(order):
    traces, _, _ = simulate(order)
    one, thousand = deconvolve(traces, method(order)), deconvolve(traces * 1000, method(order))
    np.testing.assert_allclose(thousand.ar, one.ar, rtol=1e-4)
    np.testing.assert_allclose(thousand.deconvolved, 1000 * one.deconvolved, rtol=1e-2, atol=0.5)
    np.testing.assert_allclose(thousand.sparsity, 1000 * one.sparsity, rtol=1e-3)


@BOTH
@pytest.mark.parametrize("value", [0.0, 7.5])
def test_constant_trace_is_silent_and_flagged(order, value):
    result = deconvolve(np.full((1, 300), value, np.float32), method(order))
    assert (result.denoised == 0).all()
    assert (result.deconvolved == 0).all()
    assert result.baseline[0] == value
    assert result.flags[0].split()[0] == ("zero" if value == 0 else "constant")
    assert np.isfinite(result.ar).all()


@BOTH
def test_gap_stays_a_gap_and_is_not_spread(order):
    traces, spikes, _ = simulate(order)
    holed = traces.copy()
    holed[1, 400:470] = np.nan
    holed[1, 800] = np.inf
    result, whole = deconvolve(holed, method(order), **known(order)), deconvolve(traces, method(order), **known(order))
    missing = ~np.isfinite(holed)
    assert (np.isnan(result.denoised) == missing).all()
    assert (np.isnan(result.deconvolved) == missing).all()
    assert result.flags == ("", "gap", "")
    np.testing.assert_array_equal(result.deconvolved[[0, 2]], whole.deconvolved[[0, 2]])
    assert smooth_correlation(result.deconvolved[1, :380], whole.deconvolved[1, :380]) > 0.98
    assert smooth_correlation(result.deconvolved[1, 520:790], spikes[1, 520:790]) > 0.85


@BOTH
def test_gap_at_the_beginning_and_empty_trace(order):
    traces, _, _ = simulate(order)
    traces[0, :50] = np.nan
    traces[2] = np.nan
    result = deconvolve(traces, method(order))
    assert np.isfinite(result.denoised[0, 50:]).all()
    assert np.isnan(result.denoised[2]).all()
    assert "no_data" in result.flags[2]


@BOTH
def test_negative_baseline_is_found_unless_it_must_not_be_negative(order):
    traces, spikes, _ = simulate(order, level=-20.0)
    free = deconvolve(traces, method(order, baseline="free"))
    np.testing.assert_allclose(free.baseline, -20.0, atol=0.3)
    assert smooth_correlation(free.deconvolved[0], spikes[0]) > 0.9
    bounded = deconvolve(traces, method(order, baseline="nonnegative"))
    assert (bounded.baseline >= 0).all()


@BOTH
def test_fixed_baseline_stays_where_it_is_put(order):
    traces, _, _ = simulate(order)
    result = deconvolve(traces, method(order, baseline="fixed"), **known(order), baseline=np.array([1.0, 0.9, 1.1]))
    np.testing.assert_allclose(result.baseline, [1.0, 0.9, 1.1], rtol=1e-6)
    lower = deconvolve(traces, method(order, baseline="fixed"), **known(order), baseline=np.zeros(3))
    assert (lower.denoised.mean(1) > result.denoised.mean(1) + 0.5).all()


@BOTH
@pytest.mark.parametrize("s_min", [0.4, -3.0])
def test_no_event_is_smaller_than_s_min(order, s_min):
    traces, _, _ = simulate(order)
    result = deconvolve(traces, method(order, penalty="l0", s_min=s_min), **known(order))
    decay = np.max(np.roots([1, *(-np.array(AR[order]))]))
    smallest = s_min if s_min > 0 else -s_min * NOISE * np.sqrt(1 - decay)
    events = result.deconvolved[result.deconvolved > 0]
    assert len(events) > 10
    assert events.min() >= smallest * (1 - 1e-5)
    more = deconvolve(traces, method(order, penalty="l0", s_min=s_min / 4), **known(order))
    assert (more.deconvolved > 0).sum() > len(events)


@BOTH
def test_automatic_s_min_keeps_the_residual_within_the_noise_and_few_events(order):
    traces, spikes, _ = simulate(order)
    result = deconvolve(traces, method(order, penalty="l0"), **known(order))
    residual = traces - result.denoised - result.baseline[:, None]
    assert (np.sqrt((residual**2).mean(1)) <= NOISE * 1.001).all()
    l1 = deconvolve(traces, method(order), **known(order))
    assert (result.deconvolved > 0).sum() < 0.7 * (l1.deconvolved > 0).sum()
    assert smooth_correlation(result.deconvolved[0], spikes[0]) > 0.85


@pytest.mark.parametrize("penalty", ["l1", "l0", "nonnegative"])
@pytest.mark.parametrize("baseline", ["free", "nonnegative", "fixed"])
def test_without_dynamics_activity_is_calcium_and_never_negative(penalty, baseline):
    traces, _, calcium = simulate(1, level=0.3)
    traces[0, 40:50] = np.nan
    given = {"noise": np.full(3, NOISE), "baseline": np.full(3, 0.3)}
    result = deconvolve(traces, method(0, penalty=penalty, baseline=baseline), **given)
    np.testing.assert_array_equal(result.deconvolved, result.denoised)
    np.testing.assert_array_equal(np.isnan(result.deconvolved), np.isnan(traces))
    assert np.nanmin(result.deconvolved) == 0
    assert result.ar.shape == (3, 0)
    assert np.corrcoef(result.denoised[1], calcium[1])[0, 1] > 0.7
    if baseline == "fixed":
        np.testing.assert_allclose(result.baseline, 0.3, rtol=1e-6)


def test_without_dynamics_penalty_noise_and_smallest_event_do_what_they_do_with_them():
    traces, _, _ = simulate(1)
    noise = np.full(3, NOISE)
    free = deconvolve(traces, method(0, baseline="free"), noise=noise)
    residual = traces - free.denoised - free.baseline[:, None]
    np.testing.assert_allclose(np.sqrt((residual.astype(float) ** 2).mean(1)), NOISE, rtol=1e-5)
    bounded = deconvolve(traces, method(0, penalty="nonnegative", baseline="fixed"), noise=noise, baseline=np.ones(3))
    np.testing.assert_allclose(bounded.denoised, np.maximum(traces - 1, 0), atol=1e-6)
    first = traces.copy()
    first[:, 0] = 1.3
    events = deconvolve(first, method(0, penalty="l0", s_min=0.5), noise=noise).deconvolved
    assert events[events > 0].min() >= 0.5 * (1 - 1e-6)


@BOTH
def test_impossible_coefficients_fall_back_to_the_nominal_ones(order):
    alternating = np.tile([1.0, -1.0], 300)[None].astype(np.float32)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    result = deconvolve(alternating, method(order))
    assert "ar_fallback" in result.flags[0]
    np.testing.assert_allclose(result.ar[0], AR[order], rtol=1e-6)
    again = deconvolve(alternating, method(order))
    np.testing.assert_array_equal(result.deconvolved, again.deconvolved)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@BOTH
def test_pure_noise_is_silent(order):
    noise = np.random.default_rng(3).standard_normal((1, 1000)).astype(np.float32)
    result = deconvolve(noise, method(order, baseline="free"), noise=np.array([1.05]), ar=np.array([AR[order]]))
    assert (result.deconvolved == 0).all()
    assert result.flags == ("no_activity",)
    assert result.sparsity[0] > 0


@BOTH
def test_bounded_penalty_keeps_the_events_of_a_sparse_trace(order):
    rng = np.random.default_rng(0)
    traces, spikes, _ = simulate(order, n_traces=1, n_frames=20_000, rate=0.0)
    height = 8 * NOISE / (1.0 if order == 1 else 3.0)
    for start in (4000, 9000, 15000):
        spikes[0, start] = height
    traces = lfilter([1], [1, *(-np.array(AR[order]))], spikes) + NOISE * rng.standard_normal(spikes.shape)
    given = {"noise": np.array([NOISE * 1.1]), "ar": np.array([AR[order]])}
    silent = deconvolve(traces.astype(np.float32), method(order, baseline="free"), **given)
    bounded = deconvolve(traces.astype(np.float32), method(order, baseline="free", penalty_bounds=(1.0, 3.0)), **given)
    assert (silent.deconvolved == 0).all()
    for start in (4000, 9000, 15000):
        assert bounded.deconvolved[0, start - 3 : start + 4].sum() > 0.5 * height


@BOTH
def test_noise_that_cannot_be_reached_is_flagged(order):
    traces, _, _ = simulate(order)
    result = deconvolve(traces, method(order), noise=np.full(3, 1e-3), ar=np.tile(AR[order], (3, 1)))
    assert result.flags == ("noise_unreachable",) * 3
    assert (result.sparsity == 0).all()
    assert np.isfinite(result.denoised).all()


@BOTH
def test_given_penalty_is_used(order):
    traces, _, _ = simulate(order)
    weak = deconvolve(traces, method(order), **known(order), sparsity=np.full(3, 0.5))
    strong = deconvolve(traces, method(order), **known(order), sparsity=np.full(3, 5.0))
    np.testing.assert_array_equal(strong.sparsity, 5.0)
    assert (strong.deconvolved.sum(1) < weak.deconvolved.sum(1)).all()


@BOTH
def test_start_does_not_change_the_solution(order):
    traces, _, _ = simulate(order)
    cold = deconvolve(traces, method(order), **known(order))
    warm = deconvolve(traces, method(order), **known(order), start=cold)
    np.testing.assert_allclose(warm.deconvolved, cold.deconvolved, atol=1e-5)


@BOTH
def test_rows_do_not_depend_on_each_other_or_on_threads(order):
    traces, _, _ = simulate(order, n_traces=6)
    together = deconvolve(np.tile(traces, (10, 1)), method(order), threads=2)
    alone = [deconvolve(traces[k : k + 1], method(order)) for k in range(6)] * 10
    for name in ("denoised", "deconvolved", "baseline", "noise", "ar", "sparsity"):
        stacked = np.concatenate([getattr(a, name) for a in alone])
        np.testing.assert_array_equal(getattr(together, name), stacked)


def test_initial_transient_is_not_activity():
    decaying = (5 * 0.95 ** np.arange(600))[None]
    noise = 0.1 * np.random.default_rng(0).standard_normal(decaying.shape)
    for order in (1, 2):
        ar = (0.95,) if order == 1 else (0.95 + 0.5, -0.95 * 0.5)
        result = deconvolve(
            (decaying + noise).astype(np.float32),
            method(order, nominal_ar=ar),
            noise=np.array([0.1]),
            ar=np.array([ar]),
        )
        assert result.denoised[0, 0] > 4.5
        assert result.deconvolved[0].sum() < 0.5


def test_no_traces_give_empty_results():
    for order in (0, 1, 2):
        result = deconvolve(np.zeros((0, 100), np.float32), method(order))
        assert result.denoised.shape == (0, 100)
        assert result.ar.shape == (0, order)


@pytest.mark.parametrize("order", [1, 2])
def test_a_busy_trace_has_no_penalty_and_a_sparse_one_keeps_it(order):
    rare, _, quiet = simulate(order, rate=0.002, n_frames=2000)
    often, _, calcium = simulate(order, rate=0.1, n_frames=2000)
    assert (quiet > NOISE).mean(1).max() < 0.4
    assert (calcium > NOISE).mean(1).min() > 0.8
    bounds = {"baseline": "free", "penalty_bounds": (1.0, 3.0)}
    for traces, busy in ((rare, False), (often, True)):
        found, penalised, free = (
            deconvolve(traces, method(order, **bounds, **change), **known(order))
            for change in ({"busy_share": 0.5}, {}, {"penalty": "nonnegative"})
        )
        np.testing.assert_array_equal(found.deconvolved, (free if busy else penalised).deconvolved)
        assert (penalised.sparsity > 0).all()
        assert not np.array_equal(free.deconvolved, penalised.deconvolved)
