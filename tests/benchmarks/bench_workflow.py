"""Time and memory of every stage of the whole workflow, measured against what ``plan`` predicts, with the score.

By default two simulated recordings are made and analysed; ``--movie FILE --facts "30 0.45 11 px"`` takes another one.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from caiman_pipeline.batch.costs import MovieSize
from caiman_pipeline.batch.job_records import read_records
from caiman_pipeline.batch.planning import plan_recording, size_of_files
from caiman_pipeline.model.movie import Reading

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
            simulate(movie, *SIMULATED[name])
            print(f"== {name}; others: {PEERS.get(name, 'not measured')}")
            peaks[name] = measure(base / name, movie, "30 0.45 11 px", args.cores)
        if {"small", "long"} <= peaks.keys():
            growth = {stage: peaks["long"][stage] / mb - 1 for stage, mb in peaks["small"].items()}
            shown = ", ".join(f"{stage} {share:+.0%}" for stage, share in growth.items())
            print(f"peak memory of a movie four times as long: {shown}")


@dataclass(frozen=True)
class Stage:
    """What a stage's jobs took: seconds of work, seconds with the process's start, peak memory of the largest in MB."""

    work_s: float
    job_s: float
    peak_mb: float


@dataclass(frozen=True)
class Run:
    """One run of the workflow: wall time with Snakemake's start, CPU time of everything, and what each stage took."""

    nwb: Path
    wall_s: float
    cpu_s: float
    stages: dict[str, Stage]

    @property
    def peaks(self) -> dict[str, float]:
        """Peak memory of each stage's largest job, MB."""
        return {name: stage.peak_mb for name, stage in self.stages.items()}


def simulate(movie: Path, *arguments: str) -> None:
    """Simulate a recording, with its truth beside it, unless it is there."""
    movie.parent.mkdir(parents=True, exist_ok=True)
    if not movie.exists():
        subprocess.run([BIN / "caiman-pipeline", "simulate", movie, *arguments], check=True, capture_output=True)


def run_workflow(folder: Path, movie: Path, facts: str, cores: str) -> Run:
    """Run the workflow for one movie in ``folder``, from nothing; facts are frame rate, decay time, cell diameter."""
    folder.mkdir(parents=True, exist_ok=True)
    rate, decay, diameter = facts.split(" ", 2)
    row = f"bench\t{movie.absolute()}\t{rate}\t{decay}\t{diameter}\t2024-01-01T12:00:00+00:00\n"
    (folder / "recordings.tsv").write_text(SHEET + row)
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    command = [BIN / "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", cores, "--forceall"]
    command += ["--config", "paths={recordings: recordings.tsv}"]
    before, started = _cpu_of_children(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    wall, cpu = time.perf_counter() - started, _cpu_of_children() - before
    if done.returncode:
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    results = folder / "results/bench"
    return Run(results / "export_nwb/bench.nwb", wall, cpu, _read_stages(results))


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _read_stages(results: Path) -> dict[str, Stage]:
    stages: dict[str, Stage] = {}
    for record in read_records(results / "logs"):
        job = results / "benchmarks" / f"{record.job}.tsv"
        seconds = float(job.read_text().splitlines()[1].split("\t")[0])
        name = record.stage
        other = stages.get(name, Stage(0.0, 0.0, 0.0))
        peak = max(other.peak_mb, record.peak_memory_mb)
        stages[name] = Stage(other.work_s + record.seconds, other.job_s + seconds, peak)
    return stages


def measure(folder: Path, movie: Path, facts: str, cores: str) -> dict[str, float]:
    """Run the workflow in ``folder``, print what it took, and return each stage's peak memory, MB."""
    run = run_workflow(folder, movie, facts, cores)
    size = size_of_files([str(movie)], Reading())
    print_table(run, size, int(cores))
    shape = " x ".join(map(str, size.dims))
    print(
        f"{size.n_frames} frames of {shape}: {run.wall_s:.1f} s in all with {cores} cores, Snakemake's start included "
        f"({run.cpu_s:.1f} s of CPU time)\n"
    )
    truth = movie.with_name("truth.h5")
    if truth.exists():
        subprocess.run([BIN / "caiman-pipeline", "score", truth, run.nwb], check=True)
        print()
    return run.peaks


def print_table(run: Run, size: MovieSize, cores: int) -> None:
    """Print predicted and measured memory and time of every stage, from the logs that the stages wrote."""
    print(f"{'stage':<16}{'MB':>8}{'predicted':>11}{'start, s':>10}{'work, s':>9}{'job, s':>8}{'predicted':>11}")
    for plan in plan_recording(size, cores=cores, scatter={}):
        took = run.stages[plan.stage]
        print(
            f"{plan.stage:<16}{took.peak_mb:>8.0f}{plan.memory_mb:>11.0f}{took.job_s - took.work_s:>10.2f}"
            f"{took.work_s:>9.2f}{took.job_s:>8.2f}{plan.seconds:>11.2f}"
        )


if __name__ == "__main__":
    main()
