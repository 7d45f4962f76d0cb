"""Faults made to happen to whole runs: a full disk, a clock that jumps, two runs at once, damaged intermediate files.

Root, where disks may be mounted: ``make test-faults``. What happened is told in docs/reliability.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.workflow.conftest import BIN, ROOT, SIMULATION, Workflow, numbers, simulate

SHEET = ("--config", "paths={recordings: recordings.tsv}")
DAY_S = 86_400


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("movie") / "m.tif", *SIMULATION, "--seed", "1")


@pytest.fixture(scope="module")
def calm(movie: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A run without any fault."""
    workflow = Workflow(tmp_path_factory.mktemp("calm"))
    workflow.write_sheet(f"rec {movie}")
    workflow.snakemake()
    return workflow


@pytest.fixture(scope="module")
def expected(calm: Workflow) -> dict[str, object]:
    """What a run without any fault makes."""
    return numbers(calm.folder / "results/rec")


@pytest.fixture
def workflow(tmp_path: Path, movie: Path) -> Workflow:
    """A fresh folder to run in, with the recording listed."""
    workflow = Workflow(tmp_path)
    workflow.write_sheet(f"rec {movie}")
    return workflow


@pytest.fixture
def finished(calm: Workflow, tmp_path: Path) -> Workflow:
    """A copy of the finished run, time stamps as they are."""
    shutil.copytree(calm.folder, tmp_path, dirs_exist_ok=True)
    return Workflow(tmp_path)


def _state(workflow: Workflow) -> tuple[str, str, str]:
    lines = (workflow.folder / "results/summary.tsv").read_text().splitlines()
    row = dict(zip(lines[0].split("\t"), lines[1].split("\t"), strict=True))
    return row["state"], row["stage"], row["reason"]


def _finish(workflow: Workflow, expected: dict[str, object], *arguments: str) -> None:
    workflow.snakemake(*arguments)
    assert numbers(workflow.folder / "results/rec") == expected
    assert not list((workflow.folder / "results").rglob("*.part"))
    assert _state(workflow)[0] == "ok"


def test_a_full_disk_is_said_and_a_larger_one_finishes_the_run(workflow, expected):
    """The corrected movie of 61 MB does not fit."""
    place = workflow.folder / "results"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        workflow.snakemake(ok=False)
        state, stage, reason = _state(workflow)
        assert (state, stage) == ("failed", "motion_correct")
        assert "no space left" in reason
        assert not list(place.rglob("*.part"))
        subprocess.run(["mount", "-o", "remount,size=500m", str(place)], check=True)
        _finish(workflow, expected)
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _shift_clock(workflow: Workflow, seconds: float) -> None:
    for path in (workflow.folder / "results").rglob("*"):
        when = path.stat().st_mtime + seconds
        os.utime(path, (when, when))


def test_a_clock_that_jumps_back_is_said_and_touching_sets_it_right(finished, expected):
    """Results are from tomorrow when the selection is made anew."""
    _shift_clock(finished, DAY_S)
    assert "clock skew" in finished.snakemake("--forcerun", "select", ok=False)
    subprocess.run(["find", "results", "-newermt", "now", "-exec", "touch", "{}", "+"], cwd=finished.folder, check=True)
    _finish(finished, expected, "--forcerun", "select")


def test_a_clock_that_jumps_forward_costs_time_and_changes_nothing(finished, expected):
    """Results are from yesterday, older than the raw file: they are made anew."""
    _shift_clock(finished, -DAY_S)
    assert finished.planned()["inspect"] == 1
    _finish(finished, expected)


def test_a_second_run_in_the_folder_is_refused_and_the_first_goes_on(workflow, expected):
    command = [BIN / "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "2", *SHEET]
    with (workflow.folder / "first.log").open("w") as output:
        first = subprocess.Popen(command, cwd=workflow.folder, env=workflow.environment, stdout=output, stderr=output)
        while not (workflow.folder / "results/rec/logs/motion_template.log").exists() and first.poll() is None:
            time.sleep(0.02)
        assert "cannot be locked" in workflow.snakemake(ok=False)
        assert first.wait(300) == 0
    assert numbers(workflow.folder / "results/rec") == expected


def test_a_stale_lock_is_opened_by_unlock(workflow, expected):
    workflow.snakemake("--until", "inspect")
    locks = workflow.folder / ".snakemake/locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.output.lock").write_text("results/rec/motion/template.h5\n")
    assert "cannot be locked" in workflow.snakemake(ok=False)
    workflow.snakemake("--unlock")
    _finish(workflow, expected)


@pytest.mark.parametrize("name", ["inspect/movie_info.json", "movie/movie.json", "merge/components.h5"])
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_intermediate_file_is_found_by_verify(finished, name, damage):
    """Damaged without a new time stamp, so that Snakemake does not see it."""
    path = finished.folder / "results/rec" / name
    times, content = path.stat(), path.read_bytes()
    middle = len(content) // 2
    changed = bytes(b ^ 0x5A for b in content[middle : middle + 64])
    path.write_bytes(content[:middle] + (b"" if damage == "cut" else changed + content[middle + 64 :]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    verified = subprocess.run(
        [BIN / "caiman-pipeline", "verify", "results"], cwd=finished.folder, capture_output=True, text=True
    )
    assert verified.returncode == 2
    assert path.name in verified.stdout


def test_a_damaged_intermediate_file_that_was_deleted_is_made_anew(finished, expected):
    (finished.folder / "results/rec/merge/components.h5").unlink()
    assert "patch_cnmf" not in finished.planned()
    _finish(finished, expected)
    assert finished.planned() == {}


def test_an_empty_cache_of_kernels_costs_time_and_changes_nothing(workflow, expected):
    """As in the first run after an installation: each stage compiles what it needs."""
    workflow.environment["NUMBA_CACHE_DIR"] = str(workflow.folder / "kernels")
    _finish(workflow, expected)
    assert list((workflow.folder / "kernels").rglob("*.nbc"))
