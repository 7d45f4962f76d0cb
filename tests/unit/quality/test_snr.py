"""Trace SNR: what a transient of known height gives, and traces that have none."""

import numpy as np
import pytest

from caiman_pipeline.numerics.noise import noise_below
from caiman_pipeline.quality.snr import trace_snr


def noisy(n_frames: int = 4000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n_frames)


@pytest.mark.parametrize("height", [4.0, 8.0, 40.0])
def test_a_flat_transient_of_known_height_has_that_snr(height: float) -> None:
    trace = noisy()
    trace[1000:1010] = height
    assert trace_snr(trace[None], transient_frames=10)[0] == pytest.approx(height, rel=0.1)


def test_noise_alone_has_a_low_snr() -> None:
    assert trace_snr(noisy()[None], transient_frames=12)[0] < 1.8


def test_scale_and_offset_change_nothing() -> None:
    trace = noisy()
    trace[50:70] += 6
    both = trace_snr(np.stack([trace, 1e-4 * trace - 7]), transient_frames=10)
    assert both[0] == pytest.approx(both[1], rel=1e-4)


def test_noise_and_level_hold_when_the_cell_is_active_half_of_the_time() -> None:
    trace = noisy()
    trace[::2] += np.abs(noisy(seed=1))[::2] * 5
    level, noise = noise_below(trace[None])
    assert noise[0] == pytest.approx(1.0, rel=0.25)
    assert abs(level[0]) < 0.7


def test_traces_without_meaning_give_nan() -> None:
    broken = np.stack([np.full(100, 3.0), np.where(np.arange(100) == 5, np.nan, noisy(100))])
    assert np.isnan(trace_snr(broken, transient_frames=5)).all()


def test_half_the_frame_rate_gives_the_same_decision() -> None:
    rng = np.random.default_rng(3)
    rate, decay = 30.0, 0.5
    kernel = np.exp(-np.arange(90) / (rate * decay))
    spikes = (rng.random((6, 6000)) < 0.002).astype(float) * np.array([0, 0, 0, 6, 8, 12])[:, None]
    traces = np.stack([np.convolve(s, kernel)[:6000] for s in spikes]) + rng.normal(size=(6, 6000))
    halved = traces.reshape(6, -1, 2).mean(2)
    whole = trace_snr(traces, transient_frames=round(rate * decay))
    half = trace_snr(halved, transient_frames=round(rate / 2 * decay))
    assert list(whole > 2.5) == list(half > 2.5) == [False] * 3 + [True] * 3


def test_no_traces_give_no_values() -> None:
    assert trace_snr(np.zeros((0, 50)), transient_frames=5).shape == (0,)
