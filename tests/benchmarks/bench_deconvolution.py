"""Compare the deconvolution with oasis-deconv: same problems, objective, agreement, and CPU time per frame.

    python tests/benchmarks/bench_deconvolution.py [--traces N] [--frames N] [--threads]

Both run on one thread. The objective, at equal residual, is the sum of activity (l1) or the number of events (l0): less
is better. With --threads only the time for one and more threads is printed, by default for many more traces.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import time
import warnings

import numpy as np

from caiman_pipeline.numerics.threads import available_cores
from caiman_pipeline.traces.foopsi import DeconvolutionMethod, deconvolve

AR = {1: (0.95,), 2: (1.7, -0.712)}
NOISE = 0.3
SCALING_RUNS = 8


def simulate(order, n_traces, n_frames, seed=1):
    """Return float32 (K, T) traces of known spikes, level 1 and noise 0.3."""
    rng = np.random.default_rng(seed)
    calcium = (rng.random((n_traces, n_frames)) < 0.01).astype(float)
    for t in range(2, n_frames):
        calcium[:, t] += sum(g * calcium[:, t - 1 - k] for k, g in enumerate(AR[order]))
    return (calcium + 1.0 + NOISE * rng.standard_normal(calcium.shape)).astype(np.float32)


def method(order, penalty):
    """Return the method closest to the peer's defaults."""
    return DeconvolutionMethod(
        order=order,
        penalty=penalty,
        penalty_bounds=(0.0, np.inf),
        busy_share=1.0,
        s_min=0.0,
        baseline="nonnegative",
        noise_band=(0.25, 0.5),
        noise_average="mean",
        lags=10,
        fudge_factor=1.0,
        nominal_ar=AR[order],
    )


def seconds(run):
    """Return the least CPU time of three runs and the last result."""
    best = np.inf
    for _ in range(3):
        started = time.process_time()
        result = run()
        best = min(best, time.process_time() - started)
    return best, result


def peer_solution(trace, order, penalty, ar=None, noise=None):
    """Return oasis-deconv's calcium, activity and baseline."""
    from oasis.functions import deconvolve as peer

    g = (None,) * order if ar is None else tuple(float(x) for x in ar)
    return peer(trace, g=g, sn=None if noise is None else float(noise), penalty={"l1": 1, "l0": 0}[penalty])[:3]


def agreement(order, few, own):
    """Return the correlation of activity with the peer's at one and the same penalty and baseline: a single optimum."""
    from oasis.functions import oasisAR1, onnls

    r = []
    for i, y in enumerate(few):
        above, lam = y - float(own.baseline[i]), float(own.sparsity[i])
        g = tuple(float(x) for x in own.ar[i])
        s = oasisAR1(above, g[0], lam=lam)[1] if order == 1 else onnls(above, g, lam=lam)[1]
        r.append(np.corrcoef(own.deconvolved[i, 1:], s[1:])[0, 1])
    return np.median(r)


def rms(trace, calcium, baseline):
    """Return the residual's root mean square."""
    return float(np.sqrt(((trace - calcium - baseline) ** 2).mean()))


def compare(order, penalty, known, traces):
    """Print one line: time per frame of both, then agreement and objective of the same problem.

    The peer's residual is not always the one asked for, so our solution for its residual is compared.
    """
    k = len(traces)
    given = {"noise": np.full(k, NOISE), "ar": np.tile(AR[order], (k, 1))} if known else {}
    deconvolve(traces[:2], method(order, penalty), **{n: v[:2] for n, v in given.items()})
    own_s, own = seconds(lambda: deconvolve(traces, method(order, penalty), **given))
    few = traces[: max(2, k // 5)].astype(float)
    peer_s, _ = seconds(lambda: [peer_solution(y, order, penalty, *((AR[order], NOISE) if known else ())) for y in few])
    peers = [peer_solution(y, order, penalty, own.ar[i], own.noise[i]) for i, y in enumerate(few)]
    noise = np.array([rms(y, c, b) for y, (c, _, b) in zip(few, peers, strict=True)])
    same = deconvolve(few.astype(np.float32), method(order, penalty), noise=noise, ar=own.ar[: len(few)])
    r = [np.corrcoef(same.deconvolved[i], s)[0, 1] for i, (_, s, _) in enumerate(peers)]
    if penalty == "l1":
        own_size = (same.deconvolved.sum(1) + same.denoised[:, 0]).mean()
        peer_size = np.mean([s.sum() + c[0] for c, s, _ in peers])
    else:
        own_size, peer_size = (same.deconvolved > 0).sum(1).mean(), np.mean([(s > 1e-6).sum() for _, s, _ in peers])
    own_us, peer_us = own_s / traces.size * 1e6, peer_s / few.size * 1e6
    at_optimum = f" ({agreement(order, few, own):.5f} at the same penalty)" if penalty == "l1" else ""
    print(
        f"AR({order}) {penalty} {'known' if known else 'estimated':9s} {own_us:6.3f} {peer_us:6.3f} us/frame, "
        f"ratio {own_us / peer_us:4.2f}; objective {own_size:.3f} against {peer_size:.3f}; "
        f"activity r {np.median(r):.4f}{at_optimum}"
    )


def scaling(order, traces):
    """Print the least wall time of several runs, for one thread and for all cores in turn."""
    deconvolve(traces[:4], method(order, "l1"))
    walls = dict.fromkeys((1, available_cores()), np.inf)
    for threads in tuple(walls) * SCALING_RUNS:
        started = time.perf_counter()
        deconvolve(traces, method(order, "l1"), threads=threads)
        walls[threads] = min(walls[threads], time.perf_counter() - started)
    for threads, wall in walls.items():
        gain = f", {walls[1] / wall:.2f} times as fast" if threads > 1 else ""
        print(f"AR({order}) l1 estimated, {threads} threads: {wall / traces.size * 1e6:.3f} us/frame{gain}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=int, help="traces (default: 60, and 1000 with --threads)")
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--threads", action="store_true")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    for order in (1, 2):
        traces = simulate(order, args.traces or (1000 if args.threads else 60), args.frames)
        if args.threads:
            scaling(order, traces)
            continue
        for penalty in ("l1", "l0"):
            for known in (True, False):
                compare(order, penalty, known, traces)


if __name__ == "__main__":
    main()
