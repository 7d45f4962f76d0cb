"""A cluster of one node for the whole session, a workflow folder for each test."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cluster import Cluster, why_not

ROOT = Path(os.environ.get("PIPELINE", Path(__file__).parents[2]))
BIN = Path(sys.executable).parent
SHEET = "recording\tfiles\tframe_rate_hz\tdecay_time_s\tcell_diameter\tsession_start\n"
ROW = "{name}\t{movie}\t30\t0.45\t9 px\t2024-05-17T09:30:00+02:00\n"
FAST = ("--slurm-init-seconds-before-status-checks", "4", "--latency-wait", "5")


class Batch:
    """A folder in which recordings are analysed through the SLURM profile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []
        self.environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}

    def write_sheet(self, movies: dict[str, Path]) -> None:
        """List recordings by name."""
        rows = "".join(ROW.format(name=name, movie=movie) for name, movie in movies.items())
        (self.folder / "recordings.tsv").write_text(SHEET + rows)

    def start(self, *arguments: str, profile: str = str(ROOT / "profiles/slurm")) -> subprocess.Popen[str]:
        """Start Snakemake in its own process group; its output goes to run.log."""
        command = [str(BIN / "snakemake"), "--snakefile", str(ROOT / "Snakefile"), "--profile", profile, *FAST]
        command += [*arguments, "--config", "paths={recordings: recordings.tsv}"]
        with (self.folder / "run.log").open("a") as output:
            run = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=output,
                text=True,
                start_new_session=True,
            )
        self.started.append(run)
        return run

    def stop(self) -> None:
        """Stop whatever a failed test has left at work."""
        for run in self.started:
            if run.poll() is None:
                run.send_signal(signal.SIGINT)
                run.wait(60)

    def run(self, *arguments: str, timeout: float = 2400) -> int:
        """Run Snakemake to its end and return its status."""
        return self.start(*arguments).wait(timeout)

    @property
    def output(self) -> str:
        """What all runs have printed."""
        return (self.folder / "run.log").read_text()

    def jobs(self, *states: str) -> list[tuple[str, str]]:
        """Return (id, comment) of this folder's SLURM jobs in some states (default: waiting and running)."""
        wanted = ",".join(states or ("PENDING", "RUNNING"))
        text = subprocess.run(
            ["squeue", "--noheader", "--states", wanted, "--format=%i|%Z|%k"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        rows = [line.split("|") for line in text.splitlines()]
        return [(job, comment) for job, place, comment in rows if place == str(self.folder)]

    def wait_for_job(self, pattern: str, state: str = "RUNNING", seconds: float = 900) -> str:
        """Return the id of the first job whose comment matches and that is in a state."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for job, comment in self.jobs(state):
                if re.search(pattern, comment):
                    return job
            time.sleep(0.2)
        raise TimeoutError(f"no {state} job like {pattern}: {self.jobs()}\n{self.output[-3000:]}")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory):
    """Start the cluster, stop it at the end."""
    if problem := why_not():
        pytest.skip(f"no SLURM cluster here: {problem}")
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture
def batch(tmp_path: Path, cluster: Cluster) -> Iterator[Batch]:
    """A fresh folder to run in."""
    batch = Batch(tmp_path)
    yield batch
    batch.stop()
