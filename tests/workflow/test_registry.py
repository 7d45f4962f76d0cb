"""The registry of stages says what Snakemake's rules do."""

from __future__ import annotations

import re

import numpy as np
import pytest

from caiman_pipeline.stages import REGISTRY, needs, place

from .conftest import ROOT, Workflow


@pytest.fixture(scope="module")
def jobs(tmp_path_factory) -> Workflow:
    """A folder with one recording to plan."""
    workflow = Workflow(tmp_path_factory.mktemp("one"))
    np.save(workflow.folder / "m.npy", np.zeros((60, 20, 30), np.uint16))
    workflow.write_sheet("a m.npy")
    return workflow


def test_stages_need_each_other_as_the_rules_do(jobs):
    """Every edge between two jobs of one recording, as Snakemake finds them."""
    text = jobs.snakemake("--dag")
    rules = dict(re.findall(r'(\d+)\[label = "(\w+)', text))
    edges = {(rules[a], rules[b]) for a, b in re.findall(r"(\d+) -> (\d+)", text) if rules[b] != "all"}
    expected = {(other, stage.name) for stage in REGISTRY for other in needs(stage)}
    assert edges == expected
    assert set(rules.values()) == {stage.name for stage in REGISTRY} | {"all"}


def test_rules_write_and_take_what_the_registry_says(jobs):
    """Paths, logs and threads of every job; two cores more than any stage asks for."""
    most = 2 + max(stage.threads for stage in REGISTRY)
    text = jobs.snakemake("--dry-run", "--cores", str(most), "--printshellcmds")
    for stage in REGISTRY:
        job = re.search(rf"^rule {stage.name}:\n((?:    .*\n)+)", text, re.M)[1]
        outputs = re.search(r"output: (.*)", job)[1].split(", ")
        found = {re.sub(r" \(.*\)", "", path) for path in outputs}
        assert found == {f"results/a/{place(o, recording='a', item='1-of-1')}" for o in stage.outputs}
        assert f"log: results/a/{stage.log.format(item='1-of-1')}" in job
        threads = re.search(r"threads: (\d+)", job)
        assert int(threads[1] if threads else 1) == stage.threads


def test_stages_are_cut_by_what_the_snakefile_names():
    text = (ROOT / "Snakefile").read_text()
    named = re.findall(r"^    (\w+)=1,$", text.split("scattergather:")[1].split("include:")[0], re.M)
    assert set(named) == {stage.scatter for stage in REGISTRY if stage.scatter}
