"""Twelve recordings through a real SLURM cluster, and everything that goes wrong with one."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from caiman_pipeline.stages import REGISTRY
from tests.workflow.conftest import numbers

from .conftest import BIN, ROOT, ROW, SHEET, Batch

SIMULATION = ("--frames", "300", "--dims", "64x48", "--n-cells", "5", "--cell-diameter-px", "9", "--rigid-px", "2")
# Longer than one part of the movie store, so that blocks have something to share, and large enough for a search of some
# seconds: SLURM looks at the memory of a job once a second.
LONG = ("--frames", "2200", "--dims", "192x160", "--n-cells", "40", *SIMULATION[6:])
SCATTER = ("--set-scatter", "blocks=2", "tiles=2")
CUT = [stage.name for stage in REGISTRY if stage.scatter]
# One core each, so that two jobs fit on the node at once.
NARROW = ("--set-threads", *(f"{stage.name}=1" for stage in REGISTRY if stage.threads > 1))
# Less than what Snakemake's process in the job (about 140 MB) and a search of such a movie take together.
STARVED_MB = 280
GOOD = [f"r{i:02d}" for i in range(1, 11)]


@pytest.fixture(scope="session")
def movies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Ten good recordings, one cut short, one that is not there."""
    folder = tmp_path_factory.mktemp("movies")
    found = {}
    for seed, name in enumerate(GOOD, 1):
        found[name] = folder / f"{name}.tif"
        size = LONG if name in GOOD[:2] else SIMULATION
        command = [BIN / "caiman-pipeline", "simulate", found[name], *size, "--seed", str(seed)]
        subprocess.run([*command, "--truth", folder / f"{name}.h5"], check=True, capture_output=True)
    (folder / "cut.tif").write_bytes(found["r01"].read_bytes()[:-5000])
    return {**found, "cut": folder / "cut.tif", "gone": folder / "gone.tif"}


@pytest.fixture
def locally(movies: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Path]]:
    """Start an analysis of the good recordings without a cluster and without cutting; call it to wait for the results.

    It goes on beside the test, which mostly waits for the scheduler.
    """
    folder = tmp_path_factory.mktemp("locally")
    rows = "".join(ROW.format(name=name, movie=movies[name]) for name in GOOD)
    (folder / "recordings.tsv").write_text(SHEET + rows)
    command = [BIN / "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "2"]
    command += ["--config", "paths={recordings: recordings.tsv}"]
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    with (folder / "run.log").open("w") as output:
        run = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)

    def results() -> Path:
        assert run.wait(2400) == 0, (folder / "run.log").read_text()[-3000:]
        return folder / "results"

    yield results
    run.terminate()
    run.wait(60)


def _states(batch: Batch) -> dict[str, dict[str, str]]:
    with (batch.folder / "results/summary.tsv").open() as file:
        return {row["recording"]: row for row in csv.DictReader(file, delimiter="\t")}


def _differences(expected: Path, found: Path) -> list[str]:
    """Return which numbers of a recording differ; how it was cut may."""
    a, b = numbers(expected), numbers(found)
    assert len(a) > 30
    cut = ("patch_cnmf/", "motion/blocks/")
    return [name for name in a.keys() | b.keys() if a.get(name) != b.get(name) and not name.startswith(cut)]


def test_twelve_recordings_survive_a_bad_day(batch: Batch, cluster, movies, locally):
    """Two broken recordings, a cancelled job, one killed for memory, a lost node, a killed run: ten right results."""
    batch.write_sheet(movies)
    # The first attempt at this stage of a long recording is given less memory than it takes.
    starved = ("--set-resources", f"patch_cnmf:mem_mb={STARVED_MB}*attempt**3 if wildcards.recording=='r01' else 1000")
    run = batch.start(*SCATTER, *NARROW, *starved)
    job = batch.wait_for_job("motion_template")
    subprocess.run(["scancel", job], check=True)
    batch.wait_for_job("motion_correct|collect")
    cluster.stop_daemon("slurmd")
    time.sleep(3)
    cluster.start_daemon("slurmd")
    cluster.wait_for("idle", "mixed", "allocated", seconds=60)
    batch.wait_for_job("patch_cnmf|finish")
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    orphans = {job for job, _ in batch.jobs()}
    assert orphans, "the killed run must leave jobs behind for this test to mean something"
    unlock = [BIN / "snakemake", "--snakefile", ROOT / "Snakefile", "--unlock"]
    unlock += ["--config", "paths={recordings: recordings.tsv}"]
    subprocess.run(unlock, cwd=batch.folder, env=batch.environment, check=True, capture_output=True)
    assert batch.run(*SCATTER, *NARROW, *starved) == 1
    assert "of an earlier run" in batch.output
    assert not batch.jobs()
    states = _states(batch)
    assert {name: row["state"] for name, row in states.items() if row["state"] == "failed"} == {
        "cut": "failed",
        "gone": "failed",
    }
    assert "cut short" in states["cut"]["reason"]
    assert "not found" in states["gone"]["reason"]
    assert "Trying to restart" in batch.output
    assert "Error in rule patch_cnmf" in batch.output
    assert not list((batch.folder / "results").rglob("*.part"))
    expected = locally()
    for name in GOOD:
        assert not _differences(expected / name, batch.folder / "results" / name), name


def test_the_profile_is_found_by_its_name_in_the_checkout(cluster):
    """``snakemake --profile slurm``, just so."""
    sheet = "paths={recordings: config/examples/recordings.tsv}"
    command = [BIN / "snakemake", "--profile", "slurm", "--dry-run", "--config", sheet]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Using profiles slurm" in done.stderr


def test_a_job_that_is_killed_for_memory_says_what_it_had(batch: Batch, movies):
    batch.write_sheet({"r01": movies["r01"]})
    limit = ("--set-resources", f"patch_cnmf:mem_mb={STARVED_MB}")
    assert batch.run("--retries", "0", "--set-scatter", "blocks=1", "tiles=1", *limit) == 1
    row = _states(batch)["r01"]
    assert (row["state"], row["stage"]) == ("failed", "patch_cnmf")
    assert "out of memory" in row["reason"]
    assert f"{STARVED_MB} MB" in row["reason"]


def test_a_cancelled_job_leaves_no_half_output(batch: Batch, movies):
    """SIGTERM, as at the time limit: temporary outputs are removed, the reason is kept."""
    batch.write_sheet({"r01": movies["r01"]})
    run = batch.start("--retries", "0", *SCATTER)
    job = batch.wait_for_job("motion_correct")
    deadline = time.monotonic() + 300
    logs = batch.folder / "results/r01/logs"
    while not list(logs.glob("motion_correct.*.log")) and time.monotonic() < deadline:
        time.sleep(0.02)
    subprocess.run(["scancel", job], check=True)
    assert run.wait(900) == 1
    assert not list((batch.folder / "results").rglob("*.part"))
    assert _states(batch)["r01"]["state"] == "failed"


def test_threads_follow_the_allocation(batch: Batch, movies):
    batch.write_sheet({"r04": movies["r04"]})
    assert batch.run("--set-threads", "motion_template=1", "--until", "motion_template") == 0
    assert "1 threads" in (batch.folder / "results/r04/logs/motion_template.log").read_text()


def test_short_stages_share_a_job(batch: Batch, movies):
    batch.write_sheet({"r05": movies["r05"]})
    assert batch.run("--set-scatter", "blocks=1", "tiles=1") == 0
    assert len(batch.jobs("COMPLETED")) == 6
