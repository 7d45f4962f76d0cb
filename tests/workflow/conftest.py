"""Run the workflow as a user does, on tiny simulated recordings; runs are shared between tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from caiman_pipeline.stages import STAGES as REGISTERED

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
FACTS = "recording\tfiles\tframe_rate_hz\tdecay_time_s\tcell_diameter\tsubject_id\tsession_start"
ROW = "{name}\t{files}\t30\t0.45\t9 px\tm1\t2024-05-17T09:30:00+02:00"
# Two and a bit parts of the movie store, so that blocks have something to share.
SIMULATION = ("--frames", "2200", "--dims", "72x96", "--n-cells", "9", "--cell-diameter-px", "9", "--rigid-px", "3")
FAINT = (
    "--n-cells",
    "0",
    "--neuropil",
    "0.2",
    "--vessels",
    "0",
    "--nonrigid-px",
    "0",
)  # Rules of a recording's run, in order.
STAGES = tuple(REGISTERED)


class Workflow:
    """A folder to run the workflow in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}

    def write_sheet(self, *rows: str, name: str = "recordings.tsv") -> None:
        """Write a sheet; a row is its text, or ``id files``."""
        lines = [r if "\t" in r else ROW.format(name=r.split(" ", 1)[0], files=r.split(" ", 1)[1]) for r in rows]
        (self.folder / name).write_text("\n".join([FACTS, *lines]) + "\n")

    def snakemake(self, *arguments: str, sheet: str = "recordings.tsv", ok: bool | None = True) -> str:
        """Run Snakemake and return all that it printed; ``ok`` says how it must end (None: either way)."""
        command = [str(BIN / "snakemake"), "--snakefile", str(ROOT / "Snakefile"), "--cores", "2", *arguments]
        if "--config" not in arguments:
            command += ["--config"]
        command += [f"paths={{recordings: {sheet}}}"]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=900
        )
        output = done.stdout + done.stderr
        if ok is not None:
            assert (done.returncode == 0) == ok, output[-6000:]
        return output

    def planned(self, *arguments: str, sheet: str = "recordings.tsv") -> dict[str, int]:
        """Return the jobs that a run would start, by rule."""
        output = self.snakemake("--dry-run", *arguments, sheet=sheet)
        if "Nothing to be done" in output:
            return {}
        table = output.split("Job stats:")[-1].split("\n\n")[0]
        jobs = {m[1]: int(m[2]) for m in re.finditer(r"^(\w+) +(\d+)$", table, re.M)}
        return {rule: n for rule, n in jobs.items() if rule not in ("all", "total")}


def simulate(path: Path, *arguments: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([BIN / "caiman-pipeline", "simulate", path, *arguments], check=True, capture_output=True)
    return path


def numbers(results: Path) -> dict[str, object]:
    """Return everything that a recording's results say: every dataset of every file, tables, the movie itself."""
    found: dict[str, object] = {}
    for path in sorted(results.rglob("*")):
        name = str(path.relative_to(results))
        if path.suffix in (".h5", ".nwb"):
            with h5py.File(path) as file:
                file.visititems(lambda key, item, name=name: _collect(found, f"{name}:{key}", item))
        elif path.suffix == ".csv":
            found[name] = path.read_text()
        elif path.name.startswith("part-"):
            found[f"movie:{path.name}"] = np.load(path).tobytes()
    return found


def _collect(found: dict[str, object], name: str, item: object) -> None:
    if isinstance(item, h5py.Dataset) and not name.endswith("file_create_date") and item.dtype.kind != "O":
        found[name] = (str(item.dtype), item.shape, item[()].tobytes())


@pytest.fixture(scope="session")
def movies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two good movies, one of noise only, one that is cut short."""
    folder = tmp_path_factory.mktemp("movies")
    good = simulate(folder / "good 1.tif", *SIMULATION, "--seed", "1")
    simulate(folder / "other.tif", *SIMULATION, "--seed", "2", "--truth", str(folder / "other.h5"))
    simulate(folder / "noise.tif", *SIMULATION, *FAINT, "--seed", "3", "--truth", str(folder / "noise.h5"))
    (folder / "cut.tif").write_bytes(good.read_bytes()[:-5000])
    return folder


@pytest.fixture(scope="session")
def batch(movies: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workflow, str]:
    """Five recordings, run once: two good, one of noise, one corrupt, one missing; and what Snakemake printed."""
    workflow = Workflow(tmp_path_factory.mktemp("batch"))
    rows = [f"good {movies}/good 1.tif", f"other {movies}/other.tif", f"noise {movies}/noise.tif"]
    workflow.write_sheet(*rows, f"corrupt {movies}/cut.tif", f"missing {movies}/none.tif")
    workflow.write_sheet(rows[0], name="good.tsv")
    return workflow, workflow.snakemake(ok=False)


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    """A fresh folder to run in."""
    return Workflow(tmp_path)
