"""Measure memory, time and disk of every stage for recordings of several sizes, and hold `plan` against it.

``bench_plan.py measure`` runs the workflow (minutes) and writes plan_measurements.tsv beside this file; ``read FOLDER``
(or more folders) writes it from results of recordings that were analysed before, one for each size. Without either the
stored measurements are compared with what `plan` predicts; ``fit`` prints the coefficients that fit them best.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from caiman_pipeline.io.records import load_movie_info
from caiman_pipeline.joblogs import read_log
from caiman_pipeline.planning import CHUNK_MB, COSTS, MovieSize, disk_mb

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
TABLE = Path(__file__).with_name("plan_measurements.tsv")
SHEET = "recording\tfiles\tframe_rate_hz\tdecay_time_s\tcell_diameter\tsession_start\n"
ROW = "bench\tmovie.tif\t30\t0.45\t11 px\t2024-01-01T12:00:00+00:00\n"
# Frames, rows, columns, cells.
SIZES = ((1000, 128, 160, 25), (2000, 256, 256, 75), (8000, 256, 256, 75), (2000, 512, 512, 300))
FOLDERS = {
    "motion_correct": "motion/blocks", "summary_images": "summary_images", "patch_cnmf": "patch_cnmf", "merge": "merge",
    "refine": "refine", "traces": "traces", "export_nwb": "export_nwb", "report": "report",
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One stage of one recording."""

    frames: int
    rows: int
    columns: int
    stage: str
    threads: int
    memory_mb: float
    cpu_s: float
    disk_mb: float

    @property
    def size(self) -> MovieSize:
        """The recording."""
        return MovieSize(self.frames, (self.rows, self.columns), 2)


def measure(size: tuple[int, int, int, int], folder: Path) -> list[Measured]:
    """Simulate and analyse one recording, and return what its stages took."""
    frames, rows, columns, cells = size
    simulate = [BIN / "caiman-pipeline", "simulate", folder / "movie.tif", "--frames", str(frames)]
    simulate += ["--dims", f"{rows}x{columns}", "--n-cells", str(cells)]
    subprocess.run(simulate, check=True, capture_output=True)
    (folder / "recordings.tsv").write_text(SHEET + ROW)
    command = [BIN / "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "2", "--jobs", "2"]
    command += ["--config", "paths={recordings: recordings.tsv}"]
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return read_measurements(folder / "results/bench")


def read_measurements(results: Path) -> list[Measured]:
    """Read what the stages of a finished recording took."""
    info, found = load_movie_info(results / "inspect/movie_info.json"), []
    for path in (results / "logs").glob("*.log"):
        job = read_log(path)
        with (results / "benchmarks" / f"{job.job}.tsv").open() as file:
            (row,) = csv.DictReader(file, delimiter="\t")
        disk = _megabytes(results / FOLDERS[job.stage]) if job.stage in FOLDERS else 0.0
        threads = int(path.read_text().split(" threads")[0].rsplit(" ", 1)[1])
        seconds = float(row["cpu_time"]) if row["cpu_time"] not in ("NA", "-") else job.seconds
        found.append(Measured(info.n_frames, *info.dims, job.stage, threads, job.memory_mb, seconds, disk))
    return found


def _megabytes(folder: Path) -> float:
    return round(sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6, 2)


def save(measured: list[Measured]) -> None:
    """Store measurements."""
    with TABLE.open("w") as file:
        names = [f.name for f in fields(Measured)]
        file.writelines("\t".join(map(str, row)) + "\n" for row in [names, *map(astuple, measured)])


def load() -> list[Measured]:
    """Read the stored measurements."""
    with TABLE.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    kinds = {"stage": str, "frames": int, "rows": int, "columns": int, "threads": int}
    return [Measured(**{k: kinds.get(k, float)(v) for k, v in row.items()}) for row in rows]


def compare(measured: list[Measured]) -> None:
    """Print predicted and measured memory of each stage, and disk of each recording."""
    print(f"{'frames x rows x columns':<26}{'stage':<17}{'MB':>7}{'predicted':>11}{'':>7}{'CPU s':>8}{'predicted':>11}")
    for m in measured:
        predicted, seconds = COSTS[m.stage].memory_mb(m.size, m.threads), COSTS[m.stage].core_seconds(m.size)
        print(
            f"{f'{m.frames} x {m.rows} x {m.columns}':<26}{m.stage:<17}{m.memory_mb:>7.0f}{predicted:>11.0f}"
            f"{predicted / m.memory_mb - 1:>+7.0%}{m.cpu_s:>8.1f}{seconds + COSTS[m.stage].start_s:>11.1f}"
        )
    for size in dict.fromkeys(m.size for m in measured):
        peak = max(m.memory_mb for m in measured if m.size == size)
        threads = {m.stage: m.threads for m in measured if m.size == size}
        expected = max(cost.memory_mb(size, threads[stage]) for stage, cost in COSTS.items())
        error = expected / peak - 1
        print(f"peak of {size.n_frames} x {size.dims}: {peak:.0f} MB, predicted {expected:.0f} ({error:+.0%})")
        taken = sum(m.disk_mb for m in measured if m.size == size)
        predicted = sum(disk_mb(size).values())
        error = predicted / taken - 1
        print(f"disk of {size.n_frames} x {size.dims}: {taken:.0f} MB, predicted {predicted:.0f} ({error:+.0%})")


def fit(measured: list[Measured]) -> None:
    """Print memory coefficients (base, parts, images, traces) that fit each stage with the least relative error."""
    from scipy.optimize import nnls

    for stage in COSTS:
        rows = [m for m in measured if m.stage == stage]
        chunks = COSTS[stage].raw_chunks * CHUNK_MB
        held = np.array([[1.0, m.size.part_mb, m.size.frame_mb, m.size.traces_mb] for m in rows])
        peak = np.array([m.memory_mb for m in rows])
        rest = np.array([m.memory_mb - chunks * min(m.threads, m.size.n_chunks) for m in rows])
        found, _ = nnls(held / peak[:, None], rest / peak)
        error = (held @ found - rest) / peak
        print(f"{stage:<17} base, parts, images, traces = {np.round(found, 2)}, off by {np.round(error * 100)} %")


def main() -> None:
    """Measure if asked to, and compare."""
    if sys.argv[1:2] == ["read"]:
        save([row for folder in sys.argv[2:] for row in read_measurements(Path(folder))])
    if "measure" in sys.argv[1:]:
        measured = []
        with tempfile.TemporaryDirectory() as scratch:
            measure(SIZES[0], Path(scratch))  # kernels are compiled now, which is no job's usual cost
        for size in SIZES:
            with tempfile.TemporaryDirectory() as scratch:
                measured += measure(size, Path(scratch))
            save(measured)
    if "fit" in sys.argv[1:]:
        fit(load())
        return
    compare(load())


if __name__ == "__main__":
    main()
