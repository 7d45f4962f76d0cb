"""Signal-to-noise ratio of traces, by how exceptional their best transient is."""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr, ndtri

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.numerics.noise import noise_below


def trace_snr(traces: FloatArray, *, transient_frames: int) -> FloatArray:
    """Return the signal-to-noise ratio of each trace: that of its most exceptional stretch of a transient's length.

    Parameters
    ----------
    traces : (K, T), raw demixed traces
    transient_frames : frames that a transient lasts

    Returns
    -------
    float32 (K,); NaN where a trace is constant or not finite.

    Notes
    -----
    Each sample's probability under the trace's noise is averaged (its logarithm) over ``transient_frames``; the
    smallest is turned back into standard deviations.

    References
    ----------
    Giovannucci et al. 2019, 10.7554/eLife.38173
    """
    level, noise = noise_below(traces)
    usable = np.isfinite(noise) & (noise > 0) & np.isfinite(traces).all(1)
    z = (traces - level[:, None]) / np.where(usable, noise, 1.0)[:, None]
    length = min(max(transient_frames, 1), traces.shape[1])
    summed = np.cumsum(log_ndtr(-np.nan_to_num(z)), axis=1)
    windows = summed[:, length - 1 :].copy()
    windows[:, 1:] -= summed[:, :-length]
    snr = -_inverse_log_ndtr(windows.min(1) / length)
    return np.where(usable, snr, np.nan).astype(np.float32)


def _inverse_log_ndtr(log_p: FloatArray) -> FloatArray:
    """Return x with log Phi(x) = log_p, also where Phi(x) is below the smallest float."""
    x = np.where(log_p > -600, ndtri(np.exp(np.maximum(log_p, -600))), -np.sqrt(np.maximum(-2 * log_p, 1)))
    for _ in range(4):
        value = log_ndtr(x)
        slope = np.exp(-0.5 * x * x - 0.5 * np.log(2 * np.pi) - value)
        x = x - (value - log_p) / np.maximum(slope, 1e-12)
    return x
