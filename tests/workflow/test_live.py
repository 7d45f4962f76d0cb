"""A run that goes on keeps its summary up to date, and says what a scheduler says of its jobs."""

from __future__ import annotations

import csv
import os
import subprocess
import time

import pytest

from .conftest import BIN, ROOT, Workflow, simulate

TINY = ("--frames", "100", "--dims", "40x48", "--n-cells", "3", "--cell-diameter-px", "8")
REFUSES = """#!/bin/sh
echo "sbatch: error: Batch job submission failed: Requested node configuration is not available" >&2
exit 1
"""
ANSWERS = {
    "squeue": "",
    "sacct": "",
    "scancel": "",
    "scontrol": "echo slurm 23.11.4",
    "sinfo": "echo short*",
    "sacctmgr": "echo lab",
    "sshare": "echo lab",
}


@pytest.fixture
def workflow(tmp_path):
    workflow = Workflow(tmp_path)
    movie = simulate(tmp_path / "raw/a.tif", *TINY)
    workflow.write_sheet(f"a {movie}", "b raw/none.tif")
    return workflow


def states(workflow):
    with (workflow.folder / "results/summary.tsv").open() as file:
        return {row["recording"]: row for row in csv.DictReader(file, delimiter="\t")}


def test_the_summary_is_written_while_the_run_goes(workflow):
    command = [
        BIN / "snakemake",
        "--snakefile",
        ROOT / "Snakefile",
        "--cores",
        "1",
        "--keep-going",
        "--until",
        "motion_template",
        "--config",
        "paths={recordings: recordings.tsv}",
    ]
    run = subprocess.Popen(command, cwd=workflow.folder, env=workflow.environment, stderr=subprocess.DEVNULL)
    try:
        while run.poll() is None and not (workflow.folder / "results/summary.tsv").exists():
            time.sleep(0.05)
        assert run.poll() is None, "the run ended before there was a summary"
        assert [row["state"] for row in states(workflow).values()] == ["waiting", "waiting"]
    finally:
        run.wait(600)
    assert {name: (row["state"], row["stage"]) for name, row in states(workflow).items()} == {
        "a": ("waiting", "motion_correct"),
        "b": ("failed", "inspect"),
    }


def test_a_refused_submission_is_told_as_such(workflow):
    pytest.importorskip("snakemake_executor_plugin_slurm")
    fake = workflow.folder / "fake"
    fake.mkdir()
    for name, text in {"sbatch": REFUSES, **{n: f"#!/bin/sh\n{does}\n" for n, does in ANSWERS.items()}}.items():
        (fake / name).write_text(text)
        (fake / name).chmod(0o755)
    workflow.environment["PATH"] = f"{fake}{os.pathsep}{workflow.environment['PATH']}"
    workflow.snakemake(
        "--profile",
        str(ROOT / "profiles/slurm"),
        "--retries",
        "0",
        "--until",
        "inspect",
        "--default-resources",
        "slurm_partition=short",
        "slurm_account=lab",
        "mem_mb=1000",
        "runtime=30",
        ok=False,
    )
    row = states(workflow)["a"]
    assert (row["state"], row["stage"]) == ("failed", "inspect")
    assert row["reason"] == (
        "the scheduler refused the job: Batch job submission failed: Requested node configuration is not available"
    )
