"""Cells found in simulated volumes of several plane distances, densities and signal to noise ratios.

Five volumes are those that the rules for volumes were made with; five others were looked at only afterwards. Planes see
light from between and beyond them; the truth are the cells that show clearly, those that show barely count neither way.
``bench_volumes.py made`` or ``bench_volumes.py apart`` measures one of the two; ``--keep FOLDER`` keeps what was made.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench_extraction import read_truth
from bench_workflow import run_workflow, simulate

from caiman_pipeline.simulation.scoring import Rule, Score, read_found, score_result

CELL_UM, RATE_HZ, DECAY_S = 12.0, 6.0, 0.9


@dataclass(frozen=True)
class Volume:
    """A volume to simulate.

    Attributes
    ----------
    dims : planes x rows x columns
    planes_um, pixel_um : distance of planes and size of a pixel
    axial_um : full width at half maximum of the point spread across planes
    per_mm3 : somata
    photons : of a pixel and frame at a cell's typical brightness
    move_um : largest displacement across planes
    """

    dims: tuple[int, int, int]
    planes_um: float
    axial_um: float
    per_mm3: float
    photons: float
    seed: int
    pixel_um: float = 1.2
    neuropil: float = 0.45
    move_um: float = 1.0

    def settings(self) -> dict[str, object]:
        """Return the simulator's settings."""
        depth = max(self.dims[0] - 1, 1) * self.planes_um
        space = depth * self.dims[1] * self.dims[2] * self.pixel_um**2 * 1e-9
        return {
            "frames": 700,
            "dims": "x".join(map(str, self.dims)),
            "n-cells": round(self.per_mm3 * space),
            "cell-diameter-px": CELL_UM / self.pixel_um,
            "cell-planes": CELL_UM / self.planes_um,
            "axial-planes": self.axial_um / self.planes_um,
            "rigid-planes": self.move_um / self.planes_um,
            "rigid-px": 3.0,
            "nonrigid-px": 1.0,
            "frame-rate-hz": RATE_HZ,
            "decay-time-s": DECAY_S,
            "rise-time-s": 0.1,
            "spike-rate-hz": 0.12,
            "dff-per-spike": 0.6,
            "photons": self.photons,
            "neuropil": self.neuropil,
            "seed": self.seed,
        }

    def facts(self) -> str:
        """Return frame rate, decay time and cell diameter."""
        across = CELL_UM / self.pixel_um
        return f"{RATE_HZ:g} {DECAY_S:g} {CELL_UM / self.planes_um:g} x {across:g} x {across:g} px"


MADE = {
    "5 um": Volume((8, 64, 72), 5, 4, 40_000, 12, seed=1),
    "10 um, wide point spread": Volume((6, 72, 64), 10, 7, 40_000, 10, seed=2),
    "15 um, dim": Volume((5, 72, 80), 15, 5, 40_000, 5, seed=3, pixel_um=1.5),
    "20 um, neuropil": Volume((4, 80, 88), 20, 5, 50_000, 12, seed=4, neuropil=0.8),
    "30 um": Volume((4, 88, 80), 30, 4, 60_000, 10, seed=5),
}
APART = {
    "4 um, still": Volume((9, 56, 64), 4, 5, 40_000, 8, seed=21, move_um=0.0),
    "8 um, dim": Volume((7, 64, 60), 8, 4, 35_000, 5, seed=22),
    "12 um, dense": Volume((5, 72, 80), 12, 4, 70_000, 12, seed=23),
    "25 um, moving": Volume((4, 84, 80), 25, 6, 50_000, 10, seed=24, move_um=2.5, pixel_um=1.4),
    "40 um": Volume((3, 96, 88), 40, 4, 60_000, 14, seed=25),
}


def main() -> None:
    """Measure each volume and print its line, then the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", choices=["made", "apart", []], help="which volumes (default: both)")
    parser.add_argument("--keep", type=Path, help="work in this folder and keep it")
    parser.add_argument("--cores", default="2", help="cores to use (default: 2)")
    args = parser.parse_args()
    every = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in args.sets or ["made", "apart"]:
            volumes = {"made": MADE, "apart": APART}[name]
            print({"made": "volumes that the rules were made with", "apart": "volumes looked at only afterwards"}[name])
            scores = [measure(args.keep or Path(scratch), n, v, args.cores) for n, v in volumes.items()]
            print_mean(scores)
            every += scores
    if len(every) > len(MADE):
        print(f"all {len(every)} volumes")
        print_mean(every)


def measure(base: Path, name: str, volume: Volume, cores: str) -> Score:
    """Simulate a volume, analyse it, and print what was found."""
    folder = base / name.replace(" ", "_").replace(",", "")
    options = [str(part) for key, value in volume.settings().items() for part in (f"--{key}", value)]
    simulate(folder / "movie.tif", *options)
    run = run_workflow(folder, folder / "movie.tif", volume.facts(), cores)
    score = score_result(read_found(run.nwb).only_accepted(), read_truth(folder), Rule(0.3, 0.15, 0.4, 1 / RATE_HZ))
    print(
        f"  {name:<26} accepted {score.found + score.faint:>3}, barely visible {score.faint:>3}, true {score.true:>3}, "
        f"matched {score.matched:>3}: precision {score.precision:.3f}, recall {score.recall:.3f}, F1 {score.f1:.3f}",
        flush=True,
    )
    return score


def print_mean(scores: list[Score]) -> None:
    """Print the means over volumes."""
    means = np.mean([(s.precision, s.recall, s.f1) for s in scores], axis=0)
    print("  mean {:<89} precision {:.3f}, recall {:.3f}, F1 {:.3f}".format("", *means))


if __name__ == "__main__":
    main()
