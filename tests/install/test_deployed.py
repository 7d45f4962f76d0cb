"""Other ways to have the workflow: deployed by snakedeploy, and from a folder of wheels without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def _source(folder: Path) -> Path:
    """Copy what git knows of the checkout, as a clone would hold it."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def test_snakedeploy_writes_a_workflow_that_plans_a_recording(tmp_path: Path) -> None:
    snakedeploy = shutil.which("snakedeploy")
    if snakedeploy is None:
        pytest.skip("pip install snakedeploy")
    source, here = _source(tmp_path / "source"), tmp_path / "here"
    command = [snakedeploy, "deploy-workflow", source, here, "--tag", "v0", "--name", "imaging"]
    subprocess.run(command, check=True, capture_output=True)
    snakefile = here / "workflow/Snakefile"
    text = snakefile.read_text()
    assert "module imaging:" in text
    assert (here / "profiles/slurm/config.yaml").exists()
    # A local source is declared by its path in the repository; from a hosting service it would be a URL with the tag.
    snakefile.write_text(text.replace('"Snakefile"', f'"{source}/Snakefile"'))
    shutil.copy(ROOT / ".test/data/tiny.tif", here)
    sheet = (ROOT / ".test/config/recordings.tsv").read_text().replace("data/tiny.tif", "tiny.tif")
    (here / "config/recordings.tsv").write_text(sheet)
    done = subprocess.run([BIN / "snakemake", "-n", "--cores", "1"], cwd=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert "results/tiny/inspect/movie_info.json" in done.stdout + done.stderr


def test_a_wheelhouse_installs_without_an_index(tmp_path: Path) -> None:
    house, environment = tmp_path / "house", tmp_path / "environment"
    make = ["make", "wheelhouse", "STAMP=", f"BIN={BIN}", f"HOUSE={house}", "EXTRAS=slurm"]
    subprocess.run(make, cwd=ROOT, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHONPATH"))}
    install = [environment / "bin/pip", "install", "-q", "--no-index", "--find-links", house]
    subprocess.run(
        [*install, "-c", house / "constraints.txt", "caiman_pipeline[slurm]"],
        env={**kept, "PIP_CONFIG_FILE": os.devnull},
        check=True,
    )
    asked = "import snakemake_executor_plugin_slurm, caiman_pipeline; print(caiman_pipeline.__file__)"
    done = subprocess.run(
        [environment / "bin/python", "-c", asked], env=kept, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(environment))
