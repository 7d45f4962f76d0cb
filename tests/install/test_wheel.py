"""The wheel in a clean environment and an empty folder: init, check, run, verify, without a checkout in sight."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist as a package index would do."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, ROOT], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean environment with the wheel in it; the folder of its programs."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [folder / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*install, "-c", ROOT / "constraints.txt", wheel], check=True)
    return folder / "bin"


def _call(installed: Path, folder: Path, *arguments: str, ok: bool = True) -> str:
    """Call the installed command by its path: nothing is activated, and no checkout is on Python's path."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    path = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if Path(p) != Path(sys.executable).parent)
    done = subprocess.run(
        [installed / "caiman-pipeline", *arguments],
        cwd=folder,
        env={**kept, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert (done.returncode == 0) == ok, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def test_the_wheel_carries_the_workflow(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    inside = "caiman_pipeline/workflow_files"
    tracked = subprocess.run(
        ["git", "ls-files", "Snakefile", "workflow", "profiles", "config"], cwd=ROOT, capture_output=True, text=True
    )
    for file in tracked.stdout.split():
        assert f"{inside}/{file}" in names
    assert "caiman_pipeline/py.typed" in names
    assert not [n for n in names if n.startswith("tests/")]


def test_a_recording_from_movie_to_results_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    size = ("--frames", "400", "--dims", "64x80", "--n-cells", "6", "--cell-diameter-px", "9")
    _call(installed, tmp_path, "simulate", "data/mouse.tif", *size)
    _call(
        installed,
        tmp_path,
        "init",
        "data",
        "--frame-rate-hz",
        "30",
        "--decay-time-s",
        "0.45",
        "--cell-diameter",
        "9 px",
    )
    _call(installed, tmp_path, "check")
    assert "total" in _call(installed, tmp_path, "run", "--dry-run")
    _call(installed, tmp_path, "run", "--cores", "2")
    (row,) = [r.split("\t") for r in (tmp_path / "results/summary.tsv").read_text().splitlines()[1:]]
    assert row[:2] == ["mouse", "ok"]
    assert (tmp_path / "results/mouse/export_nwb/mouse.nwb").exists()
    _call(installed, tmp_path, "verify")
    assert "Nothing to be done" in _call(installed, tmp_path, "run", "--cores", "2")


def test_snakemakes_status_is_the_commands(installed: Path, tmp_path: Path) -> None:
    assert "Write one with `caiman-pipeline init FOLDER`" in _call(installed, tmp_path, "run", "--dry-run", ok=False)
