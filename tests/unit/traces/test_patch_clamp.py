"""Default settings on recordings with known spikes, as the benchmark scores them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from caiman_pipeline.config.traces import TraceSettings

ROOT = Path(__file__).parents[3]


def _benchmark():
    spec = importlib.util.spec_from_file_location("bench", ROOT / "tests/benchmarks/bench_patch_clamp.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "least"),
    [("DS02-OGB1-2-m-V1", 0.83), ("DS17-GCaMP5k-m-V1", 0.89), ("DS14-GCaMP6s-m-V1", 0.92), ("DS20-jGECO1a-m-V1", 0.88)],
)
def test_default_settings_recover_spike_rates(name, least):
    bench = _benchmark()
    if not (bench.DATA / f"{name}.npz").exists():
        pytest.skip(f"{bench.DATA} is not there")
    recordings = bench.read_set(bench.DATA / f"{name}.npz")
    assert bench.score({name: recordings}, bench.ours(TraceSettings()))[0] > least


def test_correlation_of_the_benchmark_smooths_both_and_knows_silence():
    bench = _benchmark()
    spikes = np.zeros(300)
    spikes[[50, 120, 121, 250]] = 1
    assert bench.correlation(3 * spikes, spikes, 30.0) == pytest.approx(1.0)
    assert bench.correlation(np.roll(spikes, 2), spikes, 30.0) > 0.9
    assert bench.correlation(np.zeros(300), spikes, 30.0) == 0.0
    assert bench.decay_time_s("DS99-GCaMP6s-x") == 0.86
    assert bench.decay_time_s("DS18-R-CaMP-m-CA3") == 0.48
    assert bench.decay_time_s("DS02-OGB1-2-m-V1") == 0.93
