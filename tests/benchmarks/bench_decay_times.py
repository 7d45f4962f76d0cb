"""Measure how long transients last in cells whose spikes were recorded at the same time.

    PATCH_CLAMP_DATA=FOLDER python tests/benchmarks/bench_decay_times.py

The decay times "as recorded" in ``caiman_pipeline/config/indicators.py`` come from here. Of each recording, the trace
(less its running 10% quantile over 40 s) is fitted by its true spikes convolved with the difference of two exponentials
of times from a grid; recordings of which that explains less than 30% of the variance are left out. Printed are the
median and quartiles over recordings. The sets are those of ``bench_patch_clamp.py``.
"""

from __future__ import annotations

import sys

import numpy as np
from bench_patch_clamp import DATA, read_set
from scipy.ndimage import percentile_filter
from scipy.signal import lfilter

DECAYS_S, RISES_S = np.geomspace(0.05, 6, 60), (0.01, 0.03, 0.06, 0.12, 0.2)
BASELINE_S, LEAST_EXPLAINED = 40.0, 0.3
# Sets of one indicator and one kind of preparation.
GROUPS = {
    "OGB-1, mouse V1": ("DS01", "DS02"),
    "GCaMP5k, mouse V1": ("DS17",),
    "GCaMP6f, mouse V1": ("DS09",),
    "GCaMP6s, mouse V1": ("DS13", "DS14"),
    "jRGECO1a, mouse V1": ("DS20",),
    "R-CaMP1.07, mouse CA3": ("DS18",),
    "GCaMP6f, zebrafish telencephalon": ("DS05", "DS07"),
    "GCaMP6f, mouse V1, PV interneurons": ("DS24",),
}


def explained(trace, spikes, rate, decay_s, rise_s):
    """Return the share of a trace's variance that spikes explain with one pair of times."""
    slow, fast = (lfilter([1.0], [1.0, -np.exp(-1 / (rate * t))], spikes) for t in (decay_s, rise_s))
    model = slow - fast
    model -= model.mean()
    return (model @ trace) ** 2 / max((model @ model) * (trace @ trace), 1e-30)


def decay_of(trace, rate, spikes):
    """Return the decay time, s, that fits best, and the share of variance that it explains."""
    step = max(1, int(rate // 5))
    baseline = percentile_filter(trace[::step], 10, size=max(3, int(BASELINE_S * rate / step)))
    trace = trace - np.repeat(baseline, step)[: len(trace)]
    trace = trace - trace.mean()
    fits = [(explained(trace, spikes, rate, d, r), d) for d in DECAYS_S for r in RISES_S if r < 0.7 * d]
    return max(fits)[::-1]


def main():
    for name, sets in GROUPS.items():
        files = [f for s in sets for f in sorted(DATA.glob(f"{s}-*.npz"))]
        fits = [decay_of(np.nan_to_num(y.astype(float)), rate, s) for f in files for y, rate, s in read_set(f)]
        used = [decay for decay, share in fits if share > LEAST_EXPLAINED]
        if used:
            low, middle, high = np.percentile(used, [25, 50, 75])
            print(f"{name:36s} {middle:.2f} s ({low:.2f} to {high:.2f}), {len(used)} of {len(fits)} recordings")
    if not list(DATA.glob("DS*.npz")):
        sys.exit(f"{DATA}: no sets there, nothing to measure")


if __name__ == "__main__":
    main()
