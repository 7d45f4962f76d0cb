"""Autoregressive coefficients of traces, estimated from the traces themselves."""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.numerics.kernels import compiled


def nominal_coefficients(*, order: int, decay_frames: float, rise_frames: float) -> tuple[float, ...]:
    """Return the AR coefficients of a transient that rises and decays with the given 1/e times, in frames.

    Parameters
    ----------
    order : int
        0, 1 (instant rise) or 2.
    decay_frames : float
        Time of the decay to 1/e, frames; 0 for a transient that is gone in the next frame.
    rise_frames : float
        Time constant of the rise, frames; 0 for none.

    Returns
    -------
    tuple of float
        Coefficients of the calcium one and two frames ago.

    Examples
    --------
    >>> [round(g, 4) for g in nominal_coefficients(order=2, decay_frames=20.0, rise_frames=2.0)]
    [1.5578, -0.5769]
    """
    decay, rise = (float(np.exp(-1.0 / n)) if n > 0 else 0.0 for n in (decay_frames, rise_frames))
    return {0: (), 1: (decay,), 2: (decay + rise, -decay * rise)}[order]


def fill_gaps(traces: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Bridge values that are not finite by straight lines; return the traces and where they were finite.

    Parameters
    ----------
    traces : (K, T)

    Returns
    -------
    float32 (K, T), the same array where nothing is missing, and bool (K, T).
    """
    finite = np.isfinite(traces)
    rows = np.flatnonzero(~finite.all(1))
    if not len(rows):
        return np.ascontiguousarray(traces, dtype=np.float32), finite
    filled = np.array(traces, dtype=np.float32, order="C")
    frames = np.arange(traces.shape[1])
    for k in rows:
        ok = finite[k]
        filled[k] = np.interp(frames, frames[ok], filled[k, ok]) if ok.any() else 0.0
    return filled, finite


@compiled
def _centre(trace: FloatArray, finite: BoolArray, centred: FloatArray) -> int:
    """Write the trace without its mean, zero where it is not finite; return the number of finite frames."""
    total, count = 0.0, 0
    for t in range(len(trace)):
        if finite[t]:
            total += trace[t]
            count += 1
    mean = total / max(count, 1)
    for t in range(len(trace)):
        centred[t] = trace[t] - mean if finite[t] else 0.0
    return count


@compiled(fastmath={"reassoc"}, forceinline=True)
def _lagged_product(centred: FloatArray, lag: int) -> float:
    product = 0.0
    for t in range(lag, len(centred)):
        product += centred[t] * centred[t - lag]
    return product


@compiled
def autocovariance(traces: FloatArray, finite: BoolArray, lags: int) -> FloatArray:
    """Return float64 (K, lags + 1), the autocovariance of each trace, missing frames left out."""
    n_traces, n_frames = traces.shape
    cov = np.zeros((n_traces, lags + 1))
    for k in range(n_traces):
        centred = np.empty(n_frames)
        count = _centre(traces[k], finite[k], centred)
        for lag in range(min(lags, n_frames - 1) + 1):
            pairs = n_frames
            if count < n_frames:
                pairs = lag
                for t in range(lag, n_frames):
                    pairs += finite[k, t] and finite[k, t - lag]
            cov[k, lag] = _lagged_product(centred, lag) / max(pairs, 1)
    return cov


@compiled
def fit_ar1(cov: FloatArray, noise: float, lags: int) -> float:
    """Return the least-squares AR(1) coefficient of one autocovariance whose lag 0 holds noise."""
    top, bottom = 0.0, 0.0
    for n in range(1, lags + 1):
        x = cov[n - 1] - (noise * noise if n == 1 else 0.0)
        top += x * cov[n]
        bottom += x * x
    return top / bottom if bottom > 0.0 else 0.0


@compiled
def fit_ar2(cov: FloatArray, noise: float, lags: int) -> tuple[float, float]:
    """Return the least-squares AR(2) coefficients of one autocovariance whose lag 0 holds noise."""
    a11, a12, a22, b1, b2 = 0.0, 0.0, 0.0, 0.0, 0.0
    for n in range(1, lags + 1):
        x1 = cov[n - 1] - (noise * noise if n == 1 else 0.0)
        x2 = cov[abs(n - 2)] - (noise * noise if n == 2 else 0.0)
        a11 += x1 * x1
        a12 += x1 * x2
        a22 += x2 * x2
        b1 += x1 * cov[n]
        b2 += x2 * cov[n]
    determinant = a11 * a22 - a12 * a12
    if determinant <= 1e-12 * a11 * a22:
        return 0.0, 0.0
    return (b1 * a22 - b2 * a12) / determinant, (a11 * b2 - a12 * b1) / determinant


@compiled
def ar_roots(g1: float, g2: float) -> tuple[float, float]:
    """Return the two decay factors (slow, fast) of AR(2) coefficients, or (0, 0) if they are not real."""
    square = g1 * g1 + 4.0 * g2
    if square < 0.0:
        return 0.0, 0.0
    return (g1 + np.sqrt(square)) / 2.0, (g1 - np.sqrt(square)) / 2.0


def ar_coefficients(
    traces: FloatArray,
    noise: FloatArray,
    *,
    order: int,
    lags: int,
    fudge_factor: float,
    nominal: tuple[float, ...],
) -> tuple[FloatArray, BoolArray]:
    """Estimate AR coefficients from the autocovariance, noise taken out of lag 0.

    Parameters
    ----------
    traces : float32 (K, T)
        Any unit; frames that are not finite are missing.
    noise : float (K,)
        Standard deviation per frame, in the same unit.
    order : int
        0, 1 or 2.
    lags : int
        Lags used beyond the order.
    fudge_factor : float
        Factor on the roots (decay per frame) against the bias of noisy estimates.
    nominal : tuple of float
        Coefficients to use where the estimate is not a decay.

    Returns
    -------
    coefficients : float64 (K, order)
        Coefficients per frame.
    fallback : bool (K,)
        Where the estimate's roots were not real and inside (0, 1), and ``nominal`` was taken.

    Notes
    -----
    CaImAn replaces impossible roots by random ones; here the fall-back is fixed and flagged.

    References
    ----------
    Pnevmatikakis et al. 2016, 10.1016/j.neuron.2015.11.037
    """
    coefficients = np.zeros((len(traces), order))
    fallback = np.zeros(len(traces), bool)
    if order == 0 or not len(traces):
        return coefficients, fallback
    filled, finite = fill_gaps(traces)
    cov = autocovariance(filled, finite, lags + order)
    for k in range(len(traces)):
        slow, fast = _scaled_roots(cov[k], float(noise[k]), order, lags, fudge_factor)
        usable = 0.0 < slow < 1.0 and (order == 1 or 0.0 <= fast < 1.0)
        fallback[k] = not usable
        coefficients[k] = ((slow,) if order == 1 else (slow + fast, -slow * fast)) if usable else nominal
    return coefficients, fallback


@compiled
def _scaled_roots(cov: FloatArray, noise: float, order: int, lags: int, fudge_factor: float) -> tuple[float, float]:
    if order == 1:
        return fudge_factor * fit_ar1(cov, noise, lags + 1), 0.0
    g1, g2 = fit_ar2(cov, noise, lags + 2)
    slow, fast = ar_roots(g1, g2)
    return fudge_factor * slow, fudge_factor * fast
