"""How `check`, a dry run, `status` and `summary` grow with the number of recordings: CPU time, memory of the DAG."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SHEET = "recording\tfiles\tframe_rate_hz\tdecay_time_s\tcell_diameter\tsession_start\n"
ROW = "m{i}\tdata/m{i}.tif\t30\t0.45\t9 px\t2024-05-17T09:30:00+02:00\n"


def main() -> None:
    """Print one row for each number of recordings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, help="numbers of recordings (default: 125 250 500 1000)")
    counts = parser.parse_args().counts or [125, 250, 500, 1000]
    verbs = ("check", "dry run", "status", "summary")
    print(
        f"{'recordings':>10}" + "".join(f"{f'{verb}, CPU s':>16}" for verb in verbs) + f"{'DAG, MB':>10}{'wall, s':>9}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        for count in counts:
            folder = make_batch(Path(scratch) / str(count), count)
            names = [f"m{i}" for i in range(count)]
            dry = [BIN / "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "2", "--dry-run"]
            runs = [
                run(folder, [BIN / "caiman-pipeline", "check", "--sheet", "recordings.tsv"]),
                run(folder, [*dry, "--config", "paths={recordings: recordings.tsv}"]),
                run(folder, [BIN / "caiman-pipeline", "status", "--sheet", "recordings.tsv"]),
                run(folder, [BIN / "caiman-pipeline", "summary", "--results", "results", "--recordings", *names]),
            ]
            seconds = "".join(f"{cpu:>16.1f}" for cpu, _, _ in runs)
            print(f"{count:>10}{seconds}{runs[1][1]:>10.0f}{runs[1][2]:>9.1f}", flush=True)


def make_batch(folder: Path, count: int) -> Path:
    """Make a folder with a sheet of ``count`` recordings, links to one small movie."""
    (folder / "data").mkdir(parents=True)
    movie = folder / "m.tif"
    tifffile.imwrite(movie, np.random.default_rng(0).integers(0, 500, (60, 64, 48)).astype(np.uint16))
    for i in range(count):
        (folder / f"data/m{i}.tif").hardlink_to(movie)
    (folder / "recordings.tsv").write_text(SHEET + "".join(ROW.format(i=i) for i in range(count)))
    return folder


def run(folder: Path, command: list[str | Path]) -> tuple[float, float, float]:
    """Run a command and return its CPU seconds, peak memory (MB) and wall seconds."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command[:4]))} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6, time.perf_counter() - started


if __name__ == "__main__":
    main()
