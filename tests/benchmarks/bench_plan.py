"""Measure memory, time and disk of every stage for recordings of several sizes, and hold `plan` against it.

``bench_plan.py measure`` runs the workflow (an hour: the recordings are short, long, wide and dense) and writes
plan_measurements.tsv beside this file; ``read FOLDER`` (or more folders) writes it from results of recordings that were
analysed before, one for each size. Without either the stored measurements are compared with what `plan` predicts;
``fit`` prints the coefficients that fit them best.
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

from caiman_pipeline.batch.costs import COSTS, MovieSize, cost_of, held_mb, layout_of
from caiman_pipeline.batch.job_records import read_record, read_records
from caiman_pipeline.batch.planning import disk_mb
from caiman_pipeline.config.root import Config
from caiman_pipeline.results.records import load_movie_info
from caiman_pipeline.stages import path_of, results_of

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
TABLE = Path(__file__).with_name("plan_measurements.tsv")
SHEET = "recording\tfiles\tframe_rate_hz\tdecay_time_s\tcell_diameter\tsession_start\n"
ROW = "bench\tmovie.tif\t30\t0.45\t{} px\t2024-01-01T12:00:00+00:00\n"
# Frames, rows, columns, cells and their diameter, px.
SIZES = (
    (2200, 64, 48, 8, 11),
    (2000, 256, 256, 75, 11),
    (10_000, 128, 160, 25, 11),
    (3000, 512, 512, 300, 11),
    (300_000, 24, 32, 8, 7),
    (20_000, 96, 128, 100, 8),
    (100_000, 256, 256, 520, 8),
)
# What each stage may hold, see ``StageCost``; raw chunks and pairs are as its code has them, not fitted.
TERMS = {
    "inspect": ("traces",),
    "motion_template": ("images",),
    "motion_correct": ("parts", "images", "traces", "fields"),
    "memmap_join": ("images", "traces"),
    "summary_images": ("parts", "images"),
    "patch_cnmf": ("images", "binned", "tiles", "boxes"),
    "merge": ("images", "binned"),
    "refine": ("parts", "images", "traces"),
    "evaluate": ("parts", "images", "traces"),
    "traces": ("images", "traces"),
    "select": (),
    "export_nwb": ("images", "binned", "traces"),
    "report": ("images", "traces"),
}


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
    rate_hz: float
    decay_s: float
    cell_px: float
    node_px: float

    @property
    def size(self) -> MovieSize:
        """The recording."""
        facts = {"frame_rate_hz": self.rate_hz, "decay_time_s": self.decay_s, "cell_diameter": f"{self.cell_px} px"}
        motion = {"patch_spacing": f"{self.node_px} px"}
        layout = layout_of(Config.model_validate({"recording": facts, "motion": motion}))
        return MovieSize(self.frames, (self.rows, self.columns), 2, layout)


def measure(size: tuple[int, int, int, int, int], folder: Path) -> list[Measured]:
    """Simulate and analyse one recording, and return what its stages took."""
    frames, rows, columns, cells, diameter = size
    simulate = [BIN / "caiman-pipeline", "simulate", folder / "movie.tif", "--frames", str(frames)]
    simulate += [
        "--dims",
        f"{rows}x{columns}",
        "--n-cells",
        str(cells),
        "--cell-diameter-px",
        str(diameter),
        "--spacing",
        "0.6",
    ]
    subprocess.run(simulate, check=True, capture_output=True)
    (folder / "recordings.tsv").write_text(SHEET + ROW.format(diameter))
    command = [BIN / "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "2", "--jobs", "2"]
    command += ["--config", "paths={recordings: recordings.tsv}"]
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return read_measurements(folder / "results/bench")


def read_measurements(results: Path) -> list[Measured]:
    """Read what the stages of a finished recording took."""
    info, found = load_movie_info(path_of(results, "movie_info")), []
    search, motion = (
        read_record(results / f"logs/{stage}.1-of-1.job.json").settings for stage in ("patch_cnmf", "motion_correct")
    )
    facts, lengths = search["recording"], (search["recording"]["cell_diameter"], motion["patch_spacing"])
    pixels = (float(length.removesuffix(" px")) for length in lengths)
    known = (facts["frame_rate_hz"], facts["decay_time_s"], *pixels)
    for job in read_records(results / "logs"):
        with (results / "benchmarks" / f"{job.job}.tsv").open() as file:
            (row,) = csv.DictReader(file, delimiter="\t")
        predicted = cost_of(job.stage).disk.mb(MovieSize(info.n_frames, info.dims, 2)) > 0.1
        disk = sum(map(_megabytes, results_of(results, job.job))) if predicted else 0.0
        seconds = float(row["cpu_time"]) if row["cpu_time"] not in ("NA", "-") else job.seconds
        found.append(
            Measured(info.n_frames, *info.dims, job.stage, job.threads, job.peak_memory_mb, seconds, disk, *known)
        )
    return found


def _megabytes(result: Path) -> float:
    """Return what a file, or a folder with all below it, takes."""
    return round(sum(p.stat().st_size for p in (result, *result.rglob("*")) if p.is_file()) / 1e6, 2)


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
        expected = max(COSTS[stage].memory_mb(size, used) for stage, used in threads.items())
        error = expected / peak - 1
        print(f"peak of {size.n_frames} x {size.dims}: {peak:.0f} MB, predicted {expected:.0f} ({error:+.0%})")
        taken = sum(m.disk_mb for m in measured if m.size == size)
        if "motion_correct" not in threads or not taken:
            continue
        predicted = sum(mb for stage, mb in disk_mb(size).items() if stage in threads)
        error = predicted / taken - 1
        print(f"disk of {size.n_frames} x {size.dims}: {taken:.0f} MB, predicted {predicted:.0f} ({error:+.0%})")


def fit(measured: list[Measured]) -> None:
    """Print memory coefficients that fit each stage with the least relative error."""
    from scipy.optimize import nnls

    for stage, cost in COSTS.items():
        rows = [m for m in measured if m.stage == stage]
        held = [held_mb(m.size, m.threads) for m in rows]
        given = [sum(getattr(cost, name) * h[name] for name in ("raw_chunks", "pairs")) for h in held]
        peak = np.array([m.memory_mb for m in rows])
        terms = np.array([[1.0, *(h[name] for name in TERMS[stage])] for h in held])
        found, _ = nnls(terms / peak[:, None], 1 - np.array(given) / peak)
        error = (terms @ found + given) / peak - 1
        names = ", ".join(("base", *TERMS[stage]))
        print(f"{stage:<16} {names} = {np.round(found, 2)}, off by {np.round(error * 100)} %")


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
