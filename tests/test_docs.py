"""What the documentation says is so: commands that run, links that lead somewhere, keys and verbs that exist."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import caiman_pipeline
from caiman_pipeline.cli.main import VERBS
from caiman_pipeline.config.root import Config
from caiman_pipeline.config.validate import known_keys
from caiman_pipeline.stages import SECTIONS

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("config/*.md")])
RUNNABLE = re.compile(r"<!-- run -->\n```sh\n(.*?)```", re.S)
CODE = re.compile(r"<!-- run -->\n```python\n(.*?)```", re.S)
FIRST = ROOT / "docs/getting-started.md"


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _run_commands(page, folder):
    environment = {**os.environ, "PIPELINE": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = "set -euo pipefail\n" + "\n".join(RUNNABLE.findall(page.read_text()))
    return subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def first_recording(tmp_path_factory):
    """What the commands of getting-started.md do, and the folder in which they did it."""
    folder = tmp_path_factory.mktemp("project")
    return _run_commands(FIRST, folder), folder


def test_commands_of_getting_started_run_one_after_another(first_recording):
    done, folder = first_recording
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    assert (folder / "results/mouse_a/report/mouse_a.html").exists()


@pytest.mark.parametrize("page", [p for p in PAGES if RUNNABLE.search(p.read_text()) and p != FIRST], ids=_name)
def test_commands_of_a_page_run_one_after_another(page, tmp_path):
    done = _run_commands(page, tmp_path)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]


TUTORIALS = [p for p in PAGES if CODE.search(p.read_text())]


@pytest.mark.parametrize("page", TUTORIALS, ids=_name)
def test_python_code_of_a_page_runs_block_after_block(page, first_recording, monkeypatch):
    monkeypatch.chdir(first_recording[1])
    names = {}
    for block in CODE.findall(page.read_text()):
        exec(compile(block, _name(page), "exec"), names)


def test_there_are_pages_to_run():
    assert len(TUTORIALS) >= 3


@pytest.mark.parametrize("module", sorted(set(caiman_pipeline._PLACES.values())))
def test_examples_of_the_public_functions_give_what_they_say(module, first_recording, monkeypatch):
    monkeypatch.chdir(first_recording[1])
    found = doctest.testmod(importlib.import_module(f"caiman_pipeline.{module}"))
    assert found.failed == 0


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
        if name.split(".")[0] in (*SECTIONS, "recording", "paths") and not name.endswith(
            (".h5", ".json", ".smk", ".py")
        ):
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


def test_every_page_is_in_one_section_of_the_site():
    # The site itself is built by `make docs`, which fails where a link leads nowhere.
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert site["strict"]
    pages = [page for entry in site["nav"] for page in _pages_below(entry)]
    assert sorted(pages) == sorted(p.name for p in (ROOT / "docs").glob("*.md"))
    assert [next(iter(entry)) for entry in site["nav"]] == ["Home", "Tutorials", "How-to", "Reference", "Explanation"]


def _pages_below(entry):
    if isinstance(entry, str):
        yield entry
        return
    for below in entry.values() if isinstance(entry, dict) else [entry]:
        for one in below if isinstance(below, list) else [below]:
            yield from _pages_below(one)


def test_the_api_page_shows_every_public_name():
    shown = set(re.findall(r"^::: caiman_pipeline\.([\w.]+)$", (ROOT / "docs/api.md").read_text(), re.M))
    assert shown == {f"{module}.{name}" for name, module in caiman_pipeline._PLACES.items()}


def test_the_picture_of_the_rules_shows_the_rules():
    shown = set(re.findall(r">(\w+)</text>", (ROOT / "docs/images/rulegraph.svg").read_text()))
    rules = (ROOT / "workflow/rules").glob("*.smk")
    assert shown == {r for p in rules for r in re.findall(r"^rule (\w+):", p.read_text(), re.M)}


def test_papers_that_the_code_names_are_among_the_references():
    pages = "".join((ROOT / f"docs/{name}.md").read_text() for name in ("references", "indicators"))
    for path in (ROOT / "caiman_pipeline").rglob("*.py"):
        for doi in re.findall(r"10\.\d{4,5}/[\w.():/-]*\w", path.read_text()):
            assert doi in pages, f"{_name(path)} names {doi}"


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == caiman_pipeline.__version__
    assert citation["license"] == "BSD-3-Clause"


NOT_OF_THE_FIELD = r"receiver's curve|held[ -]apart|\b(held|hold|holds|holding) (\w+ ){0,6}against|detector's ceiling"


def test_pages_use_the_words_of_the_field():
    """ROC curve, held out, saturated, verify or check against: see the glossary."""
    found = {_name(p): m[0] for p in PAGES if (m := re.search(NOT_OF_THE_FIELD, " ".join(p.read_text().split())))}
    assert not found


def test_words_of_the_glossary_are_in_it_once():
    words = re.findall(r"^\*\*(.+?)\*\*$", (ROOT / "docs/glossary.md").read_text(), re.M)
    each = [word.strip().lower() for entry in words for word in entry.split(",")]
    assert len(each) == len(set(each))
    asked = {
        "patch",
        "tile",
        "window",
        "component",
        "cell",
        "roi",
        "footprint",
        "f",
        "f0",
        "df/f",
        "block",
        "frame",
        "plane",
    }
    assert asked <= set(each)


def test_nothing_asks_for_a_package_that_is_on_no_index():
    """Extras are installed from the checkout or a wheel: the package's bare name is no address."""
    asks = re.compile(r"pip install(?![^\n`]*--no-index)[^\n`]*?[ '\"]caiman[_-]pipeline(?!\S*\.whl| @ )")
    texts = [*PAGES, *ROOT.glob("profiles/*/config.yaml"), *(ROOT / "caiman_pipeline").rglob("*.py")]
    assert not [_name(p) for p in texts if asks.search(p.read_text())]
