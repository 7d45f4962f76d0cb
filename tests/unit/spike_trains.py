"""Traces with known spikes, for tests of deconvolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.signal import lfilter

from caiman_pipeline.traces.foopsi import DeconvolutionMethod

AR = {1: (0.95,), 2: (1.7, -0.712)}
NOISE = 0.3


def simulate(order, n_traces=3, n_frames=1200, noise=NOISE, rate=0.01, level=1.0, seed=0):
    """Return float32 (K, T) traces, their spikes and calcium."""
    rng = np.random.default_rng(seed)
    spikes = (rng.random((n_traces, n_frames)) < rate).astype(float)
    spikes[:, :5] = 0
    calcium = lfilter([1], [1, *(-np.array(AR[order]))], spikes)
    traces = calcium + level + noise * rng.standard_normal(calcium.shape)
    return traces.astype(np.float32), spikes, calcium


def method(order, **changes):
    """Return a plain method: l1 set by the noise, baseline not negative."""
    base = DeconvolutionMethod(
        order=order,
        penalty="l1",
        penalty_bounds=(0.0, np.inf),
        busy_share=1.0,
        s_min=0.0,
        baseline="nonnegative",
        noise_band=(0.25, 0.5),
        noise_average="mean",
        lags=5,
        fudge_factor=1.0,
        nominal_ar=AR.get(order, ()),
    )
    return replace(base, **changes)


def known(order, n_traces=3, noise=NOISE):
    """Return the noise and coefficients that ``simulate`` used."""
    return {"noise": np.full(n_traces, noise), "ar": np.tile(AR.get(order, ()), (n_traces, 1))}


def smooth_correlation(a, b, width=2.0):
    """Correlate two traces after smoothing both."""
    from scipy.ndimage import gaussian_filter1d

    return np.corrcoef(gaussian_filter1d(a.astype(float), width), gaussian_filter1d(b.astype(float), width))[0, 1]
