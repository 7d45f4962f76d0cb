"""The same results however the work was cut, and whatever interrupted it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .conftest import BIN, ROOT, STAGES, Workflow, numbers

# Kill each verb once, as soon as it has begun to write (a temporary output is there), and say that it failed.
KILLER = """\
#!/bin/bash
verb=$1
marker="$KILLED/$verb"
if [ -e "$marker" ] || [ "$verb" = summary ]; then exec {real} "$@"; fi
touch "$marker"
{real} "$@" &
child=$!
while kill -0 $child 2>/dev/null; do
    if [ -n "$(find results -name '*.part' -print -quit 2>/dev/null)" ]; then echo struck > "$marker"; break; fi
    sleep 0.002
done
kill -9 $child 2>/dev/null
wait $child 2>/dev/null
exit 137
"""


@pytest.fixture
def good(workflow: Workflow, movies: Path) -> Workflow:
    """A fresh folder with the recording that the batch has analysed in one piece."""
    workflow.write_sheet(f"good {movies}/good 1.tif")
    return workflow


def _compare(workflow: Workflow, batch: tuple[Workflow, str]) -> None:
    expected, found = (numbers(w.folder / "results/good") for w in (batch[0], workflow))
    differing = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
    in_other_files = ("patch_cnmf/", "motion/blocks/")
    differing = [name for name in differing if not name.startswith(in_other_files)]
    assert len(expected) > 30
    assert not differing
    pages = [(w.folder / "results/good/report/good.html").read_text() for w in (batch[0], workflow)]
    assert pages[0] == pages[1]


def test_blocks_and_tiles_change_no_number(good, batch):
    good.snakemake("--set-scatter", "blocks=8", "tiles=8")
    assert len(list((good.folder / "results/good/motion/blocks").iterdir())) == 8
    _compare(good, batch)


def test_one_core_and_a_kill_in_every_stage_change_no_number(good, batch):
    """One thread per job, and each job is killed once while it writes, then tried again."""
    shim = good.folder / "bin/caiman-pipeline"
    shim.parent.mkdir()
    shim.write_text(KILLER.replace("{real}", str(BIN / "caiman-pipeline")))
    shim.chmod(0o755)
    killed = good.folder / "killed"
    killed.mkdir()
    good.environment |= {"PATH": f"{shim.parent}:{good.environment['PATH']}", "KILLED": str(killed)}
    good.snakemake("--cores", "1", "--retries", "1")
    assert {p.name for p in killed.iterdir()} >= {s.replace("_", "-") for s in STAGES}
    struck = [p.name for p in killed.iterdir() if p.read_text()]
    assert len(struck) >= 8, f"only {struck} were killed while they wrote"
    assert not list((good.folder / "results").rglob("*.part"))
    _compare(good, batch)


def test_a_killed_run_is_finished_by_the_next(good, batch):
    """Kill Snakemake and all its jobs at once, unlock, run again."""
    command = [BIN / "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "2"]
    command += ["--config", "paths={recordings: recordings.tsv}"]
    run = subprocess.Popen(
        command,
        cwd=good.folder,
        env=good.environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    log = good.folder / "results/good/logs/patch_cnmf.1-of-1.log"
    deadline = time.monotonic() + 120
    while not log.exists() and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert log.exists()
    assert not (good.folder / "results/good/report/good.html").exists()
    good.snakemake("--unlock")
    good.snakemake()
    _compare(good, batch)
