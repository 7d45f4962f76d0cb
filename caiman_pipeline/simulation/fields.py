"""Random streams, and smooth random fields and signals of unit variance made in the frequency domain."""

from __future__ import annotations

import numpy as np
import scipy.fft

from caiman_pipeline.model.arrays import FloatArray, NumberArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.simulation.settings import SimulationSettings

STREAMS = ("cells", "dendrites", "spikes", "population", "tissue", "motion", "detector")


def stream(settings: SimulationSettings, name: str, index: int = 0) -> np.random.Generator:
    """Return the generator of one stream of draws; streams and their indices are independent of each other."""
    return np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(STREAMS.index(name), index)))


def smooth_field(rng: np.random.Generator, shape: Dims, sigma: NumberArray) -> FloatArray:
    """Return Gaussian noise smoothed by ``sigma`` pixels along each axis, zero mean, unit variance, float64.

    The field is drawn on a larger domain, up to twice the size, so that its ends are not alike.
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
    """Return Gaussian noise smoothed over time, zero mean, unit variance in the long run, float64 (T,)."""
    return smooth_field(rng, (n_frames,), np.array([sigma_frames]))
