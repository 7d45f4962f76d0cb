"""From fluorescence to calcium: the indicator's response, and its time constants for each trace."""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.traces.ar_model import autocovariance, fill_gaps, fit_ar1, nominal_coefficients

# Factor from the indicator's decay time up to which a trace's own counts.
SEARCH_RANGE = 8.0


def linearise(traces: FloatArray, noise: FloatArray, linear_range: float) -> FloatArray:
    """Undo the indicator's supralinear response: F becomes R log(1 + F / R), with R = ``linear_range`` x noise.

    Parameters
    ----------
    traces : float32 (K, T), fluorescence above its baseline
    noise : (K,), standard deviation
    linear_range : in units of noise; fluorescence well below it is kept as it is, 0 leaves everything

    Returns
    -------
    float32 (K, T), in the traces' unit (of small signals); values below zero are kept.

    Notes
    -----
    Genetically encoded indicators bind calcium cooperatively, so that bursts are brighter than the sum of their spikes;
    photon noise grows with brightness as well. The logarithm stands for both, and has no parameter that depends on the
    unit of the trace.
    """
    scale = (linear_range * noise[:, None]).astype(np.float32)
    usable = scale > 0
    scale = np.where(usable, scale, np.float32(1))
    compressed = scale * np.log1p(np.maximum(traces, 0) / scale)
    return np.where(usable & (traces > 0), compressed, traces).astype(np.float32)


def fluorescence_of(calcium: FloatArray, noise: FloatArray, linear_range: float) -> FloatArray:
    """Undo ``linearise``: return the fluorescence that calcium stands for.

    Parameters
    ----------
    calcium : float (K, T)
        Linearised calcium; missing frames stay missing.
    noise : float (K,)
        Standard deviation per frame that ``linearise`` was given, in the same unit.
    linear_range : float
        Noise standard deviations up to which the indicator is about linear.

    Returns
    -------
    float32 (K, T)
        Fluorescence, in the same unit; a trace without noise stays as it is.
    """
    scale = linear_range * noise[:, None]
    usable = scale > 0
    scale = np.where(usable, scale, 1.0)
    response = np.where(usable, scale * np.expm1(np.where(usable, calcium / scale, 0.0)), calcium)
    return response.astype(np.float32)


def fit_to_trace(
    model: FloatArray, traces: FloatArray, *, offsets: tuple[float, float], gain: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return gain and offset with which gain x model + offset fits each trace in the least squares.

    Parameters
    ----------
    model : float (K, T)
        What is to be scaled; frames that are not finite do not count.
    traces : float (K, T)
        What it is fitted to, any unit; frames that are not finite do not count.
    offsets : (float, float)
        Smallest and largest offset, in the traces' unit.
    gain : float (K,), optional
        Where only the offset is to be found.

    Returns
    -------
    gain : float64 (K,)
        Factor on the model; 1 for a flat or opposed model.
    offset : float64 (K,)
        Level, in the traces' unit.

    Examples
    --------
    >>> import numpy as np
    >>> model = np.array([[0.0, 1.0, 2.0, 1.0]])
    >>> gain, offset = fit_to_trace(model, 3 * model + 7, offsets=(-np.inf, np.inf))
    >>> float(gain[0]), float(offset[0])
    (3.0, 7.0)
    """
    present = np.isfinite(model) & np.isfinite(traces)
    count = np.maximum(present.sum(1), 1)
    x, y = np.where(present, model, 0.0), np.where(present, traces, 0.0)
    x_mean, y_mean = (v.sum(1, dtype=np.float64) / count for v in (x, y))
    if gain is not None:
        return gain, np.clip(y_mean - gain * x_mean, *offsets)
    centred = np.where(present, x - x_mean[:, None], 0.0)
    gain = _ratio((centred * y).sum(1), np.square(centred).sum(1))
    offset = np.clip(y_mean - gain * x_mean, *offsets)
    bound = offset != y_mean - gain * x_mean
    if bound.any():
        above = np.where(present, y - offset[:, None], 0.0)
        gain = np.where(bound, _ratio((x * above).sum(1), np.square(x, dtype=np.float64).sum(1)), gain)
    return gain, offset


def _ratio(shared: FloatArray, power: FloatArray) -> FloatArray:
    """Return the slope of a regression, 1 where there is none or a negative one."""
    usable = (power > 0) & (shared > 0)
    return np.where(usable, shared / np.where(usable, power, 1.0), 1.0)


def decay_frames_of(traces: FloatArray, noise: FloatArray, *, lags: int, fudge_factor: float) -> FloatArray:
    """Estimate the 1/e decay of each trace's autocovariance.

    Parameters
    ----------
    traces : float32 (K, T)
        Any unit; frames that are not finite are missing.
    noise : float (K,)
        Standard deviation per frame, in the same unit.
    lags : int
        Frames over which the autocovariance is looked at.
    fudge_factor : float
        Factor on the decay per frame against the bias of noisy estimates.

    Returns
    -------
    float64 (K,)
        Decay, frames; NaN where the autocovariance does not decay.
    """
    filled, finite = fill_gaps(traces)
    cov = autocovariance(filled, finite, lags)
    factors = fudge_factor * np.array([fit_ar1(row, float(sd), lags) for row, sd in zip(cov, noise, strict=True)])
    decays = np.full(len(factors), np.nan)
    usable = (factors > 0.0) & (factors < 1.0)
    decays[usable] = -1.0 / np.log(factors[usable])
    return decays


def combined_coefficients(
    own: FloatArray, *, order: int, decay_frames: float, rise_frames: float, share: float
) -> tuple[FloatArray, BoolArray]:
    """Return AR coefficients from a decay time between the indicator's and the trace's own.

    Parameters
    ----------
    own : float (K,)
        The traces' own decay, frames; NaN where it is not known.
    order : int
        0, 1 (instant rise) or 2.
    decay_frames : float
        The indicator's time of decay to 1/e, frames.
    rise_frames : float
        The time constant of its rise, frames.
    share : float
        Weight of the trace's own decay in the geometric mean, 0 to 1.

    Returns
    -------
    coefficients : float64 (K, order)
        Coefficients per frame.
    missing : bool (K,)
        Where the trace's own decay could not be used.

    Notes
    -----
    An estimate from one noisy trace varies by far more than the indicator does, and a table's decay time misses what
    the cell, its activity and the temperature add. The estimate counts up to a factor of 8 from the indicator's.
    """
    missing = np.isnan(own)
    ratio = np.where(missing, 1.0, own / decay_frames)
    decays = decay_frames * np.clip(ratio, 1.0 / SEARCH_RANGE, SEARCH_RANGE) ** share
    rows = [nominal_coefficients(order=order, decay_frames=d, rise_frames=rise_frames) for d in decays]
    return np.array(rows, np.float64).reshape(len(decays), order), missing
