"""Score deconvolution against simultaneous patch-clamp recordings.

    python tests/benchmarks/bench_patch_clamp.py [--data FOLDER] [--ablation] [--peer] [NAME=VALUE ...]

Per set: the median over recordings of the correlation between deconvolved activity and true spike rate, both smoothed
with a Gaussian of 0.2 s. Traces above 60 Hz are averaged down to about 30 Hz. Nothing but the default settings and the
decay time of each indicator (``caiman_pipeline/config/indicators.py``) goes in. The sets are .npz files with rNNN_t
(s), rNNN_y (dF/F) and rNNN_sp (spike times, s) for each recording. NAME=VALUE changes settings of `traces`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from caiman_pipeline.config.indicators import find_indicators
from caiman_pipeline.config.traces import TraceSettings
from caiman_pipeline.traces.activity import infer_activity
from caiman_pipeline.traces.timing import timing_from

DATA = Path(os.environ.get("PATCH_CLAMP_DATA", Path(__file__).parents[3] / "shared/data/traces"))
SMOOTH_S = 0.2
# What the sets' names call an indicator, and what the package's table calls it.
NAMES = {"OGB1": "OGB-1", "jGECO1a": "jRGECO1a", "R-CaMP": "R-CaMP1.07"}
ABLATION = [
    (
        "linear, given time constants, not detrended",
        {"linear_range": 0, "time_constants": "given", "detrend_window_s": 0},
    ),
    ("+ detrended", {"linear_range": 0, "time_constants": "given"}),
    ("+ decay combined with the trace's own", {"linear_range": 0}),
    ("+ linearised (the default)", {}),
    ("default without combined decay", {"time_constants": "given"}),
    ("default without detrending", {"detrend_window_s": 0}),
    ("default with AR(1)", {"order": 1}),
]


def decay_time_s(name):
    """Return the decay time of a set's indicator, which its file name tells, from the package's table."""
    known = [NAMES.get(part, part) for part in (*NAMES, *name.split("-")) if part in name]
    return next(rows[0].decay_time_s for rows in map(find_indicators, known) if rows)


def read_set(path):
    """Return (trace, frame rate, spikes per frame) of each recording of a set."""
    data, recordings = np.load(path, allow_pickle=False), []
    for key in sorted(k[:-2] for k in data if k.endswith("_y")):
        t, y, spikes = (data[f"{key}_{part}"].astype(float) for part in ("t", "y", "sp"))
        step = float(np.median(np.diff(t)))
        if 1 / step > 60:
            n = round(1 / step / 30)
            t, y = (x[: len(x) // n * n].reshape(-1, n).mean(1) for x in (t, y))
            step *= n
        edges = np.append(t - step / 2, t[-1] + step / 2)
        recordings.append((y.astype(np.float32), 1 / step, np.histogram(spikes, edges)[0]))
    return [r for r in recordings if len(r[0]) > 100 and r[2].sum() > 0]


def correlation(activity, spikes, rate):
    """Correlate activity and spikes, both smoothed."""
    a, b = (gaussian_filter1d(np.nan_to_num(x).astype(float), SMOOTH_S * rate) for x in (activity, spikes))
    return 0.0 if a.std() == 0 or b.std() == 0 else float(np.corrcoef(a, b)[0, 1])


def ours(settings):
    """Return a function from trace, rate and set name to activity."""

    def infer(trace, rate, name):
        timing = timing_from(rate, decay_time_s(name))
        return infer_activity(trace[None], settings, timing, threads=1, progress=lambda a, b: None).deconvolved[0]

    return infer


def peer(trace, rate, name):
    """Deconvolve with oasis-deconv, everything estimated from the trace, AR(1) L1."""
    from oasis.functions import deconvolve

    return deconvolve(trace.astype(float), g=(None,), penalty=1)[1]


def score(sets, infer):
    """Return the median correlation of each set."""
    return [np.median([correlation(infer(y, rate, name), s, rate) for y, rate, s in sets[name]]) for name in sets]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("changes", nargs="*", metavar="NAME=VALUE")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--ablation", action="store_true", help="also leave out or add one step at a time")
    parser.add_argument("--peer", action="store_true", help="also run oasis-deconv")
    args = parser.parse_args()
    files = [
        f for f in sorted(args.data.glob("*.npz")) if any(k.endswith("_sp") for k in np.load(f, allow_pickle=False))
    ]
    if not files:
        sys.exit(f"{args.data}: no sets there, nothing to score")
    sets = {f.stem: read_set(f) for f in files}
    changes = {k: json.loads(v) if v[:1] in "-0123456789tfn[" else v for k, v in (c.split("=") for c in args.changes)}
    rows = [("default" if not changes else " ".join(args.changes), ours(TraceSettings(**changes)))]
    if args.ablation:
        rows = [(label, ours(TraceSettings(**{**changes, **c}))) for label, c in ABLATION]
    if args.peer:
        rows.insert(0, ("oasis-deconv AR(1) L1", peer))
    columns = [score(sets, infer) for _, infer in rows]
    for i, name in enumerate(sets):
        print(f"{name:42s} {len(sets[name]):3d}  " + "  ".join(f"{c[i]:.3f}" for c in columns))
    print(f"{'mean':42s}      " + "  ".join(f"{np.mean(c):.3f}" for c in columns))
    for i, (label, _) in enumerate(rows, start=1):
        print(f"column {i}: {label}")


if __name__ == "__main__":
    main()
