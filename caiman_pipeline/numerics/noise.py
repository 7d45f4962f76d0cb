"""Noise of each pixel or trace from the high-frequency end of its power spectrum."""

from __future__ import annotations

import numpy as np
import scipy.fft

from caiman_pipeline.model.arrays import FloatArray


def noise_power(signals: FloatArray, *, band: tuple[float, float], method: str) -> FloatArray:
    """Return the noise variance of each row from its power spectrum.

    Parameters
    ----------
    signals : float32 (N, t)
    band : normalised frequencies (Nyquist is 0.5) over which the spectrum is averaged
    method : ``mean``, ``median`` or ``logmexp`` (exponential of the mean logarithm, corrected for its bias)

    Returns
    -------
    float64 (N,), variance per sample of white noise of that power.

    References
    ----------
    Pnevmatikakis et al. 2016, 10.1016/j.neuron.2015.11.037
    """
    n_samples = signals.shape[1]
    centred = signals - signals.mean(1, keepdims=True)
    frequencies = np.fft.rfftfreq(n_samples)
    inside = (frequencies >= band[0]) & (frequencies <= band[1]) & (frequencies > 0)
    if not inside.any():
        inside[-1] = True
    spectrum = scipy.fft.rfft(centred, axis=1)[:, inside]
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float64) / n_samples
    if n_samples % 2 == 0 and frequencies[-1] <= band[1] and power.shape[1] > 1:
        power = power[:, :-1]  # the Nyquist bin has one degree of freedom, the others two
    if method == "mean":
        return power.mean(1)
    if method == "median":
        return np.median(power, axis=1) / np.log(2)
    floor = np.finfo(np.float64).tiny
    return np.exp(np.log(np.maximum(power, floor)).mean(1) + np.euler_gamma)
