"""What Snakemake's catalogue of workflows asks for: a recording to try, a config for it, a report with captions."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

import pytest
import yaml

from .conftest import ROOT, Workflow


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A copy of `.test`, after a run with its own config."""
    workflow = Workflow(tmp_path_factory.mktemp("tried"))
    kept = shutil.ignore_patterns("results", ".snakemake")
    shutil.copytree(ROOT / ".test", workflow.folder, dirs_exist_ok=True, ignore=kept)
    workflow.snakemake(sheet="config/recordings.tsv")
    return workflow


def test_the_recording_to_try_is_analysed(tried):
    header, row = (line.split("\t") for line in (tried.folder / "results/summary.tsv").read_text().splitlines())
    found = dict(zip(header, row, strict=True))
    assert (found["recording"], found["state"]) == ("tiny", "ok")
    assert int(found["cells_accepted"]) >= 1


def test_snakemakes_report_shows_each_recording_with_captions(tried):
    tried.snakemake("--report", "report.zip", sheet="config/recordings.tsv")
    with zipfile.ZipFile(tried.folder / "report.zip") as report:
        names = report.namelist()
        text = "".join(report.read(n).decode() for n in names if n.endswith((".html", ".js")) and "/data/" not in n)
        shown = {Path(n).name for n in names}
    assert {"tiny.html", "tiny_components.csv", "thumbnail.jpg"} <= shown
    for caption in (ROOT / "workflow/report").glob("*.rst"):
        start = re.split(r"[{`(.,]", caption.read_text().replace("\n", " "))[0].strip()
        assert start in text, caption.name


def test_the_catalogues_file_says_how_the_software_comes_here():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["report"] is True
    assert set(usage["software-stack-deployment"].values()) == {False}, "no rule names an environment or image"
    assert "installed beside Snakemake" in usage["mandatory-flags"]["desc"]
    assert (ROOT / "config/README.md").exists()
    assert (ROOT / ".test/data/tiny.tif").stat().st_size < 200_000
