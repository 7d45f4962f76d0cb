"""Masks and earlier results as inputs: what starts from them runs again when they change."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tifffile

from caiman_pipeline.stages import STAGES, needed_by

AFTER_PATCHES = [stage for stage in STAGES if stage == "patch_cnmf" or stage in needed_by("patch_cnmf")]


def _sheet(workflow, name, **columns):
    text = (workflow.folder / "good.tsv").read_text().splitlines()
    head, row = (
        line + "\t" + "\t".join(values) for line, values in zip(text, zip(*columns.items(), strict=True), strict=False)
    )
    (workflow.folder / name).write_text(f"{head}\n{row}\n")


@pytest.fixture
def own(batch):
    """The finished recording, with a sheet of its own for a test; its results stay as they are."""
    workflow, _ = batch
    yield workflow
    for name in ("own.tsv", "masks.tif"):
        (workflow.folder / name).unlink(missing_ok=True)


def _inputs(output, rule):
    return re.search(rf"rule {rule}:\n\s+input: (.*)", output)[1]


def test_masks_are_an_input_of_the_search(own):
    tifffile.imwrite(own.folder / "masks.tif", np.zeros((72, 96), np.uint8))
    _sheet(own, "own.tsv", **{"patch_cnmf.init": "seeded", "patch_cnmf.seeded.file": "masks.tif"})
    assert own.planned(sheet="own.tsv") == dict.fromkeys(AFTER_PATCHES, 1)
    assert "masks.tif" in _inputs(own.snakemake("--dry-run", sheet="own.tsv"), "patch_cnmf")


def test_missing_masks_fail_their_recording_when_it_runs_not_the_plan(own):
    _sheet(own, "own.tsv", **{"patch_cnmf.init": "seeded", "patch_cnmf.seeded.file": "none.tif"})
    assert own.planned(sheet="own.tsv") == dict.fromkeys(AFTER_PATCHES, 1)


def test_masks_without_a_file_are_an_error_before_anything_runs(own):
    _sheet(own, "own.tsv", **{"patch_cnmf.init": "seeded"})
    assert "`patch_cnmf.seeded.file` must name the file of masks" in own.snakemake(sheet="own.tsv", ok=False)


def test_a_refit_starts_from_the_file_named_and_needs_no_search(own):
    start = "results/other/refine/components.h5"
    _sheet(own, "own.tsv", **{"refine.start": start})
    assert own.planned(sheet="own.tsv") == dict.fromkeys(AFTER_PATCHES[2:], 1)
    inputs = _inputs(own.snakemake("--dry-run", sheet="own.tsv"), "refine")
    assert start in inputs
    assert "results/good/merge" not in inputs


def test_settings_of_ways_not_chosen_concern_nobody(own):
    assert own.planned("--config", "patch_cnmf={pca_ica: {iterations: 7}}", sheet="good.tsv") == {}
