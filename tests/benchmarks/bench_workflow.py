"""Time and memory of every stage of the whole workflow, measured against what ``plan`` predicts, with the score.

By default two simulated recordings are made and analysed; ``--movie FILE --facts "30 0.45 11 px"`` takes another one.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from caiman_pipeline.planning import MovieSize, plan_recording, size_of_files

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SIMULATED = {
    "small": ("--frames", "2000", "--dims", "256x256", "--n-cells", "75"),
    "long": ("--frames", "8000", "--dims", "256x256", "--n-cells", "75"),
    "wide": ("--frames", "2000", "--dims", "512x512", "--n-cells", "300"),
    "typical": ("--frames", "3000", "--dims", "512x512", "--n-cells", "300"),
}
# Other tools on simulated movies of these sizes, on two cores of the same kind of machine (piecewise motion correction
# to traces; CaImAn 1.12.1 with patches, suite2p 1.1.0): seconds and GB of private memory at the peak.
PEERS = {
    "small": "CaImAn 190 s, 2.3 GB; suite2p 41 s, 1.3 GB",
    "typical": "CaImAn 900 s, 7.8 GB; suite2p 222 s, 2.2 GB",
}
SHEET = "recording\tfiles\tframe_rate_hz\tdecay_time_s\tcell_diameter\tsession_start\n"


def main() -> None:
    """Measure each recording and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"simulated recordings, of {', '.join(SIMULATED)} (default: small)")
    parser.add_argument("--movie", type=Path, help="a movie to analyse instead")
    parser.add_argument("--facts", default="30 0.45 11 px", help="its frame rate, decay time and cell diameter")
    parser.add_argument("--cores", default="2", help="cores to use (default: 2)")
    parser.add_argument("--keep", type=Path, help="work in this folder and keep it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base = args.keep or Path(scratch)
        if args.movie:
            measure(base / "given", args.movie.absolute(), args.facts, args.cores)
            return
        peaks = {}
        for name in args.names or ["small"]:
            movie = base / name / "movie.tif"
            movie.parent.mkdir(parents=True, exist_ok=True)
            if not movie.exists():
                subprocess.run(
                    [BIN / "caiman-pipeline", "simulate", movie, *SIMULATED[name]], check=True, capture_output=True
                )
            print(f"== {name}; others: {PEERS.get(name, 'not measured')}")
            peaks[name] = measure(base / name, movie, "30 0.45 11 px", args.cores)
        if {"small", "long"} <= peaks.keys():
            growth = {stage: peaks["long"][stage] / mb - 1 for stage, mb in peaks["small"].items()}
            shown = ", ".join(f"{stage} {share:+.0%}" for stage, share in growth.items())
            print(f"peak memory of a movie four times as long: {shown}")


def measure(folder: Path, movie: Path, facts: str, cores: str) -> dict[str, float]:
    """Run the workflow in ``folder``, print what it took, and return each stage's peak memory, MB."""
    folder.mkdir(parents=True, exist_ok=True)
    rate, decay, diameter = facts.split(" ", 2)
    row = f"bench\t{movie}\t{rate}\t{decay}\t{diameter}\t2024-01-01T12:00:00+00:00\n"
    (folder / "recordings.tsv").write_text(SHEET + row)
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    command = [BIN / "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", cores, "--forceall"]
    command += ["--config", "paths={recordings: recordings.tsv}"]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    wall = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    size = size_of_files([str(movie)], None, None)
    peaks = print_table(folder / "results/bench", size, int(cores))
    shape = " x ".join(map(str, size.dims))
    print(f"{size.n_frames} frames of {shape}: {wall:.1f} s in all with {cores} cores, Snakemake's start included\n")
    truth = movie.with_name("truth.h5")
    if truth.exists():
        nwb = folder / "results/bench/export_nwb/bench.nwb"
        subprocess.run([BIN / "caiman-pipeline", "score", truth, nwb], check=True)
        print()
    return peaks


def print_table(results: Path, size: MovieSize, cores: int) -> dict[str, float]:
    """Print predicted and measured memory and time of every stage, from the logs that the stages wrote."""
    peaks = {}
    print(f"{'stage':<16}{'MB':>8}{'predicted':>11}{'start, s':>10}{'work, s':>9}{'job, s':>8}{'predicted':>11}")
    for plan in plan_recording(size, cores=cores, scatter={}):
        (log,) = [p for p in (results / "logs").glob("*.log") if p.name.split(".")[0] == plan.stage]
        found = re.search(r"done in ([\d.]+) s, peak memory (\d+) MB", log.read_text())
        assert found, f"{log} does not end as it should"
        (measured,) = [p for p in (results / "benchmarks").glob("*.tsv") if p.name.split(".")[0] == plan.stage]
        job = float(measured.read_text().splitlines()[1].split("\t")[0])
        work, peaks[plan.stage] = float(found[1]), float(found[2])
        print(
            f"{plan.stage:<16}{found[2]:>8}{plan.memory_mb:>11.0f}{job - work:>10.2f}{work:>9.2f}{job:>8.2f}"
            f"{plan.seconds:>11.2f}"
        )
    return peaks


if __name__ == "__main__":
    main()
