"""What it costs to cut a recording into more jobs, and what a second core gains: one recording as 1, 4 and 16 jobs.

CPU seconds are those of all processes, Snakemake's own included; they hardly depend on what else the machine does.
``--movie FILE`` takes a movie instead of the simulated one; ``--cores`` and ``--jobs`` choose what to run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SIMULATED = ("--frames", "3000", "--dims", "512x512", "--n-cells", "300")
SHEET = "recording\tfiles\tframe_rate_hz\tdecay_time_s\tcell_diameter\tsession_start\n"
ROW = "bench\t{movie}\t30\t0.45\t11 px\t2024-01-01T12:00:00+00:00\n"
CUT = ("motion_correct", "patch_cnmf")


@dataclass(frozen=True)
class Run:
    """What one run took: seconds, CPU seconds of everything, and CPU seconds of the stages that were cut."""

    wall_s: float
    cpu_s: float
    cut_s: float


def main() -> None:
    """Print one row for each number of cores and jobs, with the overhead against one job on as many cores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--movie", type=Path, help="a movie to analyse (default: 3000 simulated frames of 512 x 512)")
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2], help="cores of the runs (default: 1 2)")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 4, 16], help="jobs per stage (default: 1 4 16)")
    args = parser.parse_args()
    print(
        f"{'cores':>5}{'jobs':>6}{'wall, s':>10}{'CPU, s':>9}{'overhead':>10}{'cut stages, CPU s':>19}{'overhead':>10}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        movie = args.movie.absolute() if args.movie else simulate(Path(scratch) / "movie.tif")
        for cores in args.cores:
            alone = None
            for jobs in args.jobs:
                run = analyse(Path(scratch) / f"{cores}-{jobs}", movie, cores=cores, jobs=jobs)
                alone = alone or run
                print(
                    f"{cores:>5}{jobs:>6}{run.wall_s:>10.1f}{run.cpu_s:>9.1f}{run.cpu_s / alone.cpu_s - 1:>+10.0%}"
                    f"{run.cut_s:>19.1f}{run.cut_s / alone.cut_s - 1:>+10.0%}",
                    flush=True,
                )


def simulate(path: Path) -> Path:
    """Simulate a recording."""
    subprocess.run([BIN / "caiman-pipeline", "simulate", path, *SIMULATED], check=True, capture_output=True)
    return path


def analyse(folder: Path, movie: Path, *, cores: int, jobs: int) -> Run:
    """Run the whole workflow in a fresh folder, each scattered stage as so many jobs; the folder is removed."""
    with tempfile.TemporaryDirectory(prefix=folder.name, dir=folder.parent) as place:
        Path(place, "recordings.tsv").write_text(SHEET + ROW.format(movie=movie))
        command = [BIN / "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", str(cores)]
        command += [
            "--set-scatter",
            f"blocks={jobs}",
            f"tiles={jobs}",
            "--config",
            "paths={recordings: recordings.tsv}",
        ]
        environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
        started = time.perf_counter()
        with Path(place, "run.log").open("w") as output:
            process = subprocess.Popen(command, cwd=place, env=environment, stdout=output, stderr=output)
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(Path(place, "run.log").read_text()[-3000:])
        wall = time.perf_counter() - started
        cut = sum(_cpu_s(p) for stage in CUT for p in Path(place, "results/bench/benchmarks").glob(f"{stage}.*.tsv"))
        return Run(wall, used.ru_utime + used.ru_stime, cut)


def _cpu_s(benchmark: Path) -> float:
    """Return CPU seconds of a job as Snakemake measured them; wall seconds where it was too short for a sample."""
    names, values = (line.split("\t") for line in benchmark.read_text().splitlines()[:2])
    row = dict(zip(names, values, strict=True))
    return float(row["cpu_time"] if row["cpu_time"] not in ("NA", "-") else row["s"])


if __name__ == "__main__":
    main()
