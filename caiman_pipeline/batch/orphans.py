"""SLURM jobs that outlived the run that submitted them.

When Snakemake itself is killed, its jobs go on, and the next run would submit the same jobs again beside them.
Snakemake lets one run at a time work in a folder, so jobs of that folder which are still there when a run starts belong
to nobody: they are cancelled first. Nothing is lost but the time that they have run, since outputs are whole or absent.
"""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

from caiman_pipeline.model.errors import PipelineError

# Snakemake names all jobs of a run by the run's id, and says in the comment which rule or group a job is.
FIELDS = "%i|%j|%Z|%k"
RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
PATIENCE_S = 120


def find_orphans(folder: Path) -> list[str]:
    """Return the ids of this user's waiting and running SLURM jobs that Snakemake submitted from ``folder``.

    Raises
    ------
    PipelineError
        If SLURM does not answer.
    """
    command = ["squeue", "--me", "--noheader", "--states=PENDING,RUNNING,SUSPENDED,CONFIGURING,COMPLETING"]
    try:
        done = subprocess.run([*command, f"--format={FIELDS}"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PipelineError(f"squeue: SLURM cannot be asked ({error}). Is this a node that can submit jobs?") from error
    if done.returncode:
        raise PipelineError(f"squeue: SLURM does not answer ({' '.join(done.stderr.split())}). Try again later.")
    return [job for job, *rest in _fields(done.stdout) if _is_ours(rest, folder)]


def _fields(text: str) -> list[list[str]]:
    return [line.split("|", 3) for line in text.splitlines() if line.count("|") >= 3]


def _is_ours(fields: list[str], folder: Path) -> bool:
    name, place, comment = fields
    submitted = comment.startswith(("rule_", "group_")) and RUN_ID.search(name) is not None
    return submitted and Path(place).resolve() == folder.resolve()


def cancel_orphans(folder: Path) -> list[str]:
    """Cancel the jobs that an earlier run left behind in ``folder``, wait until they are gone, and return their ids.

    Raises
    ------
    PipelineError
        If SLURM does not answer, or they do not end.
    """
    found = orphans = find_orphans(folder)
    deadline = time.monotonic() + PATIENCE_S
    while orphans:
        subprocess.run(["scancel", *orphans], capture_output=True, timeout=60)
        if time.monotonic() > deadline:
            raise PipelineError(f"SLURM jobs of an earlier run do not end: {', '.join(orphans)}. Cancel them by hand.")
        time.sleep(1)
        orphans = find_orphans(folder)
    return found
