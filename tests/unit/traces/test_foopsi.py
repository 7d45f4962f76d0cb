"""Deconvolution: exact constraints, optimality, and traces with something the matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from caiman_pipeline.traces.foopsi import DeconvolutionMethod, deconvolve

AR = {1: (0.95,), 2: (1.7, -0.712)}


def simulate(order, n_traces=3, n_frames=1200, noise=0.3, rate=0.01, level=1.0, seed=0):
    rng = np.random.default_rng(seed)
    spikes = (rng.random((n_traces, n_frames)) < rate).astype(float)
    calcium = spikes.copy()
    for t in range(2, n_frames):
        calcium[:, t] += sum(g * calcium[:, t - 1 - k] for k, g in enumerate(AR[order]))
    traces = calcium + level + noise * rng.standard_normal(calcium.shape)
    return traces.astype(np.float32), spikes, calcium


def method(order, **changes):
    base = DeconvolutionMethod(
        order=order, penalty="l1", penalty_bounds=(0.0, np.inf), s_min=0.0, baseline="nonnegative",
        noise_band=(0.25, 0.5), noise_average="mean", lags=5, fudge_factor=1.0, nominal_ar=AR.get(order, ()),
    )  # fmt: skip
    return replace(base, **changes)


def known(order, n_traces=3, noise=0.3):
    return {"noise": np.full(n_traces, noise), "ar": np.tile(AR[order], (n_traces, 1))}


@pytest.mark.parametrize("order", [1, 2])
def test_activity_is_what_enters_the_calcium_and_never_negative(order):
    traces, _, _ = simulate(order)
    result = deconvolve(traces, method(order))
    entered = result.denoised[:, 2:].astype(float)
    for k in range(order):
        entered -= result.ar[:, k, None] * result.denoised[:, 1 - k : -1 - k]
    assert (result.deconvolved >= 0).all()
    np.testing.assert_allclose(result.deconvolved[:, 2:], entered, atol=1e-4)


@pytest.mark.parametrize("order", [1, 2])
def test_penalty_meets_the_noise_constraint(order):
    traces, _, _ = simulate(order)
    result = deconvolve(traces, method(order), **known(order))
    residual = traces - result.denoised - result.baseline[:, None]
    np.testing.assert_allclose(np.sqrt((residual.astype(float) ** 2).mean(1)), 0.3, rtol=1e-5)
    assert (result.sparsity > 0).all()


@pytest.mark.parametrize("order", [1, 2])
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
