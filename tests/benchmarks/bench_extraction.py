"""Source extraction against other tools: cells and traces found, time and memory as ratios, and how the cost grows.

Without arguments a recording is simulated. ``bench_extraction.py FOLDER ...`` takes folders that hold ``movie.tif`` and
its truth, ``truth.h5`` (of ``caiman-pipeline simulate``) or ``truth.npz`` (arrays ``dims``, ``fr``, ``shifts``, ``C``,
``S`` and the footprints ``A_data``, ``A_indices``, ``A_indptr``, ``A_shape``). ``--growth`` fits how cost grows.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from math import log
from pathlib import Path

import numpy as np
from bench_workflow import Run, run_workflow, simulate
from scipy.sparse import csc_matrix

from caiman_pipeline.results.files import load_result
from caiman_pipeline.simulation.scoring import Rule, Score, read_found, score_result

EXTRACTION = ("patch_cnmf", "merge", "refine")
FACTS = "30 0.45 11 px"


@dataclass(frozen=True)
class Peers:
    """Other tools on one movie, on two cores of such a machine: CaImAn 1.12.1 and suite2p 1.1.0, everything included.

    Attributes
    ----------
    extraction_s, total_s, peak_gb : CaImAn's patches and refit, whole run, private memory of all its processes
    suite2p_s : whole run
    f1 : of what CaImAn and suite2p accepted
    """

    extraction_s: float
    total_s: float
    peak_gb: float
    suite2p_s: float
    f1: tuple[float, float]


# By the name of the folder: recordings of the sizes that the other tools were measured on.
PEERS = {
    "clean": Peers(115, 190, 2.3, 41, (0.68, 0.90)),
    "hard": Peers(112, 165, 2.3, 37, (0.46, 0.63)),
    "dense": Peers(180, 257, 2.9, 52, (0.68, 0.84)),
    "typical": Peers(553, 900, 7.8, 222, (0.78, 0.95)),
}
SIZES = {"small": ("2000", "256x256", "75")}
GROWTH = {
    "base": ("2000", "256x256", "75"),
    "frames": ("8000", "256x256", "75"),
    "pixels and cells": ("2000", "512x512", "300"),
    "cells": ("2000", "256x256", "300"),
}


def main() -> None:
    """Measure each recording and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="folders with movie.tif and truth (default: simulate)")
    parser.add_argument("--growth", action="store_true", help="measure how cost grows with frames, pixels and cells")
    parser.add_argument("--cores", default="2", help="cores to use (default: 2)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        for folder in args.folders or [simulated(base, *item) for item in SIZES.items() if not args.growth]:
            run = run_workflow(base / "runs" / folder.name, folder / "movie.tif", FACTS, args.cores)
            report(folder, run)
        if args.growth:
            print_growth(base, args.cores)


def simulated(base: Path, name: str, size: tuple[str, str, str]) -> Path:
    """Simulate a recording of (frames, dims, cells) in a folder of that name."""
    frames, dims, cells = size
    folder = base / name
    simulate(folder / "movie.tif", "--frames", frames, "--dims", dims, "--n-cells", cells)
    return folder


def report(folder: Path, run: Run) -> None:
    """Print what was found of the truth, and time and memory beside the other tools'."""
    score = score_result(read_found(run.nwb).only_accepted(), read_truth(folder), Rule(0.3, 0.15, 0.4, 2 / 30))
    seconds = sum(run.stages[stage].job_s for stage in EXTRACTION)
    print(f"== {folder.name}")
    print_score(score)
    print(f"extraction {seconds:.1f} s, whole workflow {run.wall_s:.1f} s ({run.cpu_s:.1f} s of CPU time)")
    print(f"largest job {max(run.peaks.values()):.0f} MB ({max(run.peaks, key=lambda s: run.peaks[s])})")
    if peers := PEERS.get(folder.name):
        print(
            f"CaImAn / this: extraction {peers.extraction_s / seconds:.1f}, whole {peers.total_s / run.wall_s:.1f}, "
            f"memory {peers.peak_gb * 1e3 / max(run.peaks.values()):.1f}; suite2p / this: whole "
            f"{peers.suite2p_s / run.wall_s:.2f}; F1 of CaImAn {peers.f1[0]:.2f}, of suite2p {peers.f1[1]:.2f}"
        )
    print()


def print_score(score: Score) -> None:
    """Print cells and traces."""
    print(
        f"accepted {score.found}, true {score.true}, matched {score.matched}: precision {score.precision:.3f}, "
        f"recall {score.recall:.3f}, F1 {score.f1:.3f}, overlap {score.iou:.3f}"
    )
    for name, (median, low) in score.correlations.items():
        print(f"  {name:<12} correlation with the truth: median {median:.3f}, 10th percentile {low:.3f}")


def read_truth(folder: Path) -> dict[str, object]:
    """Return a recording's truth, from either kind of file."""
    if (folder / "truth.h5").exists():
        return load_result(folder / "truth.h5", "truth").arrays
    with np.load(folder / "truth.npz", allow_pickle=False) as file:
        parts = (file["A_data"], file["A_indices"], file["A_indptr"])
        return {
            "dims": tuple(file["dims"]),
            "frame_rate_hz": float(file["fr"]),
            "rigid": file["shifts"],
            "footprints": csc_matrix(parts, shape=tuple(file["A_shape"])),
            "calcium": file["C"],
            "spikes": file["S"].astype(np.float32),
        }


def print_growth(base: Path, cores: str) -> None:
    """Print the exponent with which the work of the extraction grows when one thing grows."""
    cost = {}
    # The first run compiles what is not in the kernels' cache yet, and does not count.
    for k, name in enumerate(["base", *GROWTH]):
        folder = simulated(base, name.replace(" ", "_"), GROWTH[name])
        run = run_workflow(base / "runs" / f"{k}", folder / "movie.tif", FACTS, cores)
        cost[name] = sum(run.stages[stage].work_s for stage in EXTRACTION)
    print(f"extraction of {' x '.join(GROWTH['base'])} cells: {cost['base']:.1f} s")
    for name in list(GROWTH)[1:]:
        print(f"four times the {name}: {cost[name]:.1f} s, exponent {log(cost[name] / cost['base']) / log(4):.2f}")


if __name__ == "__main__":
    main()
