"""Random streams, and smooth random fields and signals of unit variance made in the frequency domain."""

from __future__ import annotations

import numpy as np
import scipy.fft

from caiman_pipeline.model.arrays import FloatArray, NumberArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.simulation.settings import SimulationSettings

# What has random numbers of its own; a place in this list is part of a seed.
STREAMS = ("cells", "dendrites", "spikes", "population", "tissue", "motion", "detector")


def stream(settings: SimulationSettings, name: str, index: int = 0) -> np.random.Generator:
    """Return the generator of one stream of draws; streams and their indices are independent of each other.

    Parameters
    ----------
    settings : SimulationSettings
        The seed.
    name : str
        One of ``STREAMS``.
    index : int
        Cell, frame or whatever has draws of its own.

    Returns
    -------
    numpy Generator
        The same for the same three.

    Examples
    --------
    >>> one, same = (stream(SimulationSettings(seed=4), "cells", 2).random() for _ in range(2))
    >>> one == same
    True
    """
    return np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(STREAMS.index(name), index)))


def smooth_field(rng: np.random.Generator, shape: Dims, sigma: NumberArray) -> FloatArray:
    """Return Gaussian noise smoothed along each axis, of zero mean and unit variance.

    Parameters
    ----------
    rng : numpy Generator
        Where chance comes from.
    shape : tuple of int
        Size of the field.
    sigma : array (ndim,)
        Standard deviation of the smoothing along each axis, pixels.

    Returns
    -------
    float64 (*shape)
        The field.
    """
    wide = [
        scipy.fft.next_fast_len(n + min(int(np.ceil(4 * s)), n), real=True) for n, s in zip(shape, sigma, strict=True)
    ]
    spectrum = scipy.fft.rfftn(rng.standard_normal(wide))
    for axis, (n, s) in enumerate(zip(wide, sigma, strict=True)):
        last = axis == len(wide) - 1
        frequency = scipy.fft.rfftfreq(n) if last else scipy.fft.fftfreq(n)
        kernel = np.exp(-2 * (np.pi * s * frequency) ** 2)
        spectrum *= kernel.reshape([-1 if i == axis else 1 for i in range(len(wide))])
    spectrum.flat[0] = 0.0
    whole = scipy.fft.irfftn(spectrum, s=wide)
    return (whole / max(whole.std(), 1e-12))[tuple(slice(n) for n in shape)]


def smooth_signal(rng: np.random.Generator, n_frames: int, sigma_frames: float) -> FloatArray:
    """Return Gaussian noise smoothed over time, of zero mean and unit variance in the long run.

    Parameters
    ----------
    rng : numpy Generator
        Where chance comes from.
    n_frames : int
        Frames, T.
    sigma_frames : float
        Standard deviation of the smoothing, frames.

    Returns
    -------
    float64 (T,)
        The signal.
    """
    return smooth_field(rng, (n_frames,), np.array([sigma_frames]))
