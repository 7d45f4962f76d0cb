"""What the documentation says is so: commands that run, links that lead somewhere, keys and verbs that exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from caiman_pipeline.cli.main import VERBS
from caiman_pipeline.config.root import STAGES, Config
from caiman_pipeline.config.validate import known_keys

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("config/*.md")])
RUNNABLE = re.compile(r"<!-- run -->\n```sh\n(.*?)```", re.S)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", [p for p in PAGES if RUNNABLE.search(p.read_text())], ids=_name)
def test_commands_of_a_page_run_one_after_another(page, tmp_path):
    environment = {**os.environ, "PIPELINE": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = "set -euo pipefail\n" + "\n".join(RUNNABLE.findall(page.read_text()))
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{_name(page)}: {target} is not there"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_keys_that_a_page_names_exist(page):
    known = set(known_keys(Config))
    for name in re.findall(r"`([a-z_]+\.[a-z_]+)`", page.read_text()):
        if name.split(".")[0] in (*STAGES, "recording", "paths") and not name.endswith((".h5", ".json", ".smk", ".py")):
            assert name in known, f"{_name(page)} names `{name}`"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_verbs_that_a_page_names_exist(page):
    for verb in re.findall(r"^caiman-pipeline ([a-z-]+)|`caiman-pipeline ([a-z-]+)", page.read_text(), re.M):
        assert (verb[0] or verb[1]) in VERBS, f"{_name(page)} names `caiman-pipeline {verb}`"


def test_every_page_can_be_reached_from_the_index():
    listed = set(re.findall(r"\]\((\w[\w-]*\.md)\)", (ROOT / "docs/index.md").read_text()))
    assert {p.name for p in (ROOT / "docs").glob("*.md")} == listed | {"index.md"}


def test_every_stage_is_in_the_table_of_the_workflow():
    text = (ROOT / "docs/workflow.md").read_text()
    rules = {
        r for p in (ROOT / "workflow/rules").glob("*.smk") for r in re.findall(r"^rule (\w+):", p.read_text(), re.M)
    }
    assert rules == set(re.findall(r"^\| `(\w+)`", text, re.M))


def test_targets_that_the_docs_name_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        for target in re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", page.read_text(), re.M):
            assert (target[0] or target[1]) in targets, f"{_name(page)} names `make {target}`"
