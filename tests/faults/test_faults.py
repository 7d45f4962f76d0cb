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
def expected(movie: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a run without any fault makes."""
    return _run_all(Workflow(tmp_path_factory.mktemp("calm")), movie)


@pytest.fixture
def workflow(tmp_path: Path, movie: Path) -> Workflow:
    """A fresh folder to run in, with the recording listed."""
    workflow = Workflow(tmp_path)
    workflow.write_sheet(f"rec {movie}")
    return workflow


def _run_all(workflow: Workflow, movie: Path) -> dict[str, object]:
    workflow.write_sheet(f"rec {movie}")
    workflow.snakemake()
    return numbers(workflow.folder / "results/rec")


def _state(workflow: Workflow) -> tuple[str, str, str]:
    lines = (workflow.folder / "results/summary.tsv").read_text().splitlines()
    row = dict(zip(lines[0].split("\t"), lines[1].split("\t"), strict=True))
    return row["state"], row["stage"], row["reason"]


def _finish(workflow: Workflow, expected: dict[str, object]) -> None:
    workflow.snakemake()
    assert numbers(workflow.folder / "results/rec") == expected
    assert not list((workflow.folder / "results").rglob("*.part"))
    assert _state(workflow)[0] == "ok"


@pytest.mark.parametrize("room_mb", [20, 70])
def test_a_full_disk_is_said_and_a_larger_one_finishes_the_run(workflow, expected, room_mb):
    """The corrected movie is 61 MB: at 20 it does not fit, at 70 something after it may not."""
    place = workflow.folder / "results"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={room_mb}m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        if room_mb < 61:
            workflow.snakemake(ok=False)
            state, stage, reason = _state(workflow)
            assert (state, stage) == ("failed", "motion_correct")
            assert "no space left" in reason
            assert not list(place.rglob("*.part"))
        else:
            filler = place / "filler"
            filler.write_bytes(bytes(8_000_000))
            workflow.snakemake(ok=False)
            assert list(place.rglob("*.part")) == []
            filler.unlink()
        subprocess.run(["mount", "-o", "remount,size=500m", str(place)], check=True)
        _finish(workflow, expected)
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_clock_that_jumps_back_between_runs_costs_time_and_changes_nothing(workflow, expected):
    """Results of the first half are from tomorrow."""
    workflow.snakemake("--until", "summary_images")
    tomorrow = time.time() + DAY_S
    for path in (workflow.folder / "results").rglob("*"):
        os.utime(path, (tomorrow, tomorrow))
    output = workflow.snakemake(ok=None)
    if "older modification time" in output:
        assert "clock" in output
        workflow.snakemake("--touch", ok=None)
    _finish(workflow, expected)


def test_a_clock_that_jumps_forward_changes_nothing(workflow, expected):
    """Results of the first half are from yesterday, older than the raw file: they are made anew."""
    workflow.snakemake("--until", "summary_images")
    yesterday = time.time() - DAY_S
    for path in (workflow.folder / "results").rglob("*"):
        os.utime(path, (yesterday, yesterday))
    _finish(workflow, expected)


def test_a_second_run_in_the_folder_is_refused_and_the_first_goes_on(workflow, expected):
    command = [BIN / "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "2", *SHEET]
    with (workflow.folder / "first.log").open("w") as output:
        first = subprocess.Popen(
            command, cwd=workflow.folder, env=workflow.environment, stdout=output, stderr=output
        )  # fmt: skip
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


DAMAGED = ("inspect/movie_info.json", "motion/template.h5", "movie/movie.json", "merge/components.h5")


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_intermediate_file_is_named_and_made_anew_when_deleted(workflow, expected, name, damage):
    """Damaged without a new time stamp, so that Snakemake does not see it; what needs it is then run."""
    workflow.snakemake()
    path = workflow.folder / "results/rec" / name
    times, content = path.stat(), path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        middle = len(content) // 2
        path.write_bytes(
            content[:middle] + bytes(b ^ 0x5A for b in content[middle : middle + 64]) + content[middle + 64 :]
        )
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    verified = subprocess.run(
        [BIN / "caiman-pipeline", "verify", "results"], cwd=workflow.folder, capture_output=True, text=True
    )
    assert verified.returncode == 2
    assert path.name in verified.stdout
    path.unlink()
    _finish(workflow, expected)
