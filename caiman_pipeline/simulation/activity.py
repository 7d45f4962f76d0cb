"""Spikes and calcium of simulated cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.simulation.fields import smooth_signal, stream
from caiman_pipeline.simulation.settings import SimulationSettings

PRIVATE_SPREAD, SHARED_SPREAD = 1.0, 0.5
# Standard deviation over cells of the logarithm of spike rate, and of brightness.
RATE_SPREAD, BRIGHTNESS_SPREAD = 0.6, 0.4
# Rate that no burst exceeds.
MAX_RATE_HZ = 20.0
# Signals that the population shares, from half a second to eight seconds slow.
N_SHARED = 3


@dataclass(frozen=True)
class Activity:
    """What cells do: spike counts, calcium (one spike peaks at 1), fluorescence (brightness), all float32 (K, T)."""

    spikes: FloatArray
    calcium: FloatArray
    fluorescence: FloatArray


def ar_coefficients(settings: SimulationSettings) -> tuple[float, float, float]:
    """Return (g1, g2, scale) of calcium: ``c[t] = g1 c[t-1] + g2 c[t-2] + scale * spikes[t]``.

    Parameters
    ----------
    settings : SimulationSettings
        Frame rate, Hz, rise and decay time, s.

    Returns
    -------
    (float, float, float)
        Coefficients per frame, and the scale by which one spike's calcium peaks at 1.
    """
    slow = np.exp(-1 / (settings.frame_rate_hz * settings.decay_time_s))
    fast = np.exp(-1 / (settings.frame_rate_hz * settings.rise_time_s))
    lag = np.arange(1, int(5 * settings.frame_rate_hz * settings.decay_time_s) + 2)
    peak = ((slow**lag - fast**lag) / (slow - fast)).max()
    return float(slow + fast), float(-slow * fast), float(1 / peak)


def bleaching(settings: SimulationSettings) -> FloatArray:
    """Return the share of fluorophores left at each frame: exponential, fast at first.

    Parameters
    ----------
    settings : SimulationSettings
        Frames, and the share lost by the end.

    Returns
    -------
    float64 (T,)
        1 at first.

    Examples
    --------
    >>> bleaching(SimulationSettings(frames=3, bleach=0.2)).round(2).tolist()
    [1.0, 0.84, 0.8]
    """
    progress = np.arange(settings.frames) / max(settings.frames - 1, 1)
    return 1 - settings.bleach * (1 - np.exp(-2.5 * progress)) / (1 - np.exp(-2.5))


def population_signals(settings: SimulationSettings, n_frames: int) -> FloatArray:
    """Return slow signals that cells and neuropil share.

    Parameters
    ----------
    settings : SimulationSettings
        Frame rate and seed.
    n_frames : int
        Frames, T.

    Returns
    -------
    float64 (3, T)
        Unit variance in the long run.
    """
    seconds = np.geomspace(0.5, 8.0, N_SHARED)
    rows = [
        smooth_signal(stream(settings, "population", i), n_frames, s * settings.frame_rate_hz)
        for i, s in enumerate(seconds)
    ]
    return np.stack(rows)


def simulate_activity(settings: SimulationSettings, n_components: int) -> Activity:
    """Draw spikes in bursts, partly common to the population, and turn them into calcium and fluorescence.

    Calcium is in full course when the movie starts: spikes before the first frame leave their decay in it.

    Parameters
    ----------
    settings : SimulationSettings
        Rates, time constants, bleaching and seed.
    n_components : int
        Cells and dendrites, K.

    Returns
    -------
    Activity
        Spike counts, calcium and brightness, (K, T).
    """
    run_up = int(np.ceil(5 * settings.decay_time_s * settings.frame_rate_hz))
    length = settings.frames + run_up
    shared = population_signals(settings, length)
    bleach = bleaching(settings)
    shape = (n_components, settings.frames)
    spikes, calcium, light = (np.empty(shape, np.float32) for _ in range(3))
    g1, g2, scale = ar_coefficients(settings)
    for k in range(n_components):
        rng = stream(settings, "spikes", k)
        brightness = rng.lognormal(0, BRIGHTNESS_SPREAD)
        counts = _draw_spikes(rng, settings, shared)
        course = lfilter([scale], [1, -g1, -g2], counts)[run_up:]
        spikes[k], calcium[k] = counts[run_up:], course
        light[k] = brightness * (1 + settings.dff_per_spike * course) * bleach
    return Activity(spikes, calcium, light)


def _draw_spikes(rng: np.random.Generator, settings: SimulationSettings, shared: FloatArray) -> FloatArray:
    rate = settings.spike_rate_hz * rng.lognormal(0, RATE_SPREAD)
    private = smooth_signal(rng, shared.shape[1], 1.5 * settings.frame_rate_hz)
    loading = rng.normal(0, SHARED_SPREAD / np.sqrt(N_SHARED), N_SHARED)
    drive = PRIVATE_SPREAD * private + loading @ shared
    per_second = np.minimum(rate * np.exp(drive - drive.var() / 2), MAX_RATE_HZ)
    return rng.poisson(per_second / settings.frame_rate_hz).astype(np.float64)
