"""What Snakemake says before it starts a job: the DAG, and one line for what is wrong."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tifffile

from .conftest import FACTS, STAGES, Workflow


def _one_line(output: str) -> str:
    """Return the line of the failure, having seen that there is just one, and no traceback."""
    lines = [line for line in output.splitlines() if line.startswith("caiman_pipeline: error:")]
    assert len(lines) == 1, output
    assert "Traceback" not in output
    assert "File " not in output
    return lines[0]


@pytest.fixture
def ready(workflow: Workflow) -> Workflow:
    """A folder with two recordings that could be run."""
    tifffile.imwrite(workflow.folder / "m.tif", np.zeros((60, 20, 31), np.uint16))
    workflow.write_sheet("a m.tif", "b m.tif")
    return workflow


def test_every_stage_is_planned_for_every_recording(ready):
    assert ready.planned() == dict.fromkeys(STAGES, 2)


def test_a_profile_or_user_sets_how_stages_are_cut(ready):
    planned = ready.planned("--set-scatter", "blocks=4", "tiles=3")
    assert planned == dict.fromkeys(STAGES, 2) | {"motion_correct": 8, "patch_cnmf": 6}


@pytest.mark.parametrize(("cores", "blocks", "threads"), [(8, 1, 4), (8, 3, 2), (8, 16, 1), (2, 1, 2)])
def test_jobs_that_fill_the_machine_by_themselves_take_fewer_threads_each(ready, cores, blocks, threads):
    output = ready.snakemake("--dry-run", "--cores", f"{cores}", "--set-scatter", f"blocks={blocks}")
    jobs = [text.split("\nrule ")[0] for text in output.split("rule motion_correct:")[1:]]
    found = [re.search(r"threads: (\d+)", job) for job in jobs]
    assert [int(m[1]) if m else 1 for m in found] == [threads] * 2 * blocks


def test_one_recording_can_be_asked_for(ready):
    assert ready.planned("results/a/refine/components.h5")["refine"] == 1


def test_a_second_channel_waits_for_the_shifts_of_the_first(ready):
    rows = [
        f"{name}\tm.tif\t30\t0.45\t9 px\tm1\t2024-05-17T09:30:00+02:00\t{first}"
        for name, first in (("green", "red"), ("red", ""))
    ]
    (ready.folder / "recordings.tsv").write_text("\n".join([f"{FACTS}\tmotion.shifts_from", *rows]) + "\n")
    stages = ("inspect", "motion_template", "motion_correct", "memmap_join")
    assert ready.planned("results/red/motion/motion.h5") == dict.fromkeys(stages, 1)
    both = dict.fromkeys(("inspect", "motion_template"), 2) | dict.fromkeys(("motion_correct", "memmap_join"), 1)
    assert ready.planned("results/green/motion/template.h5") == both


@pytest.mark.parametrize(
    ("sheet", "message"),
    [
        (FACTS + "\n", "no recordings"),
        (FACTS.replace("files", "file") + "\na\tm.tif", "needs the columns"),
        (FACTS + "\na b\tm.tif\t30\t1\t9 px\na\tm.tif\t0\t1\t9 px", "line 2: recording id 'a b' must be"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_sheet_is_one_line(workflow, sheet, message):
    if sheet is not None:
        (workflow.folder / "recordings.tsv").write_text(sheet)
    assert message in _one_line(workflow.snakemake(ok=False))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("inspect:\n  min_frame: 5\n", "c.yaml: unknown key `inspect.min_frame`, did you mean `inspect.min_frames`?"),
        ("motion: {max_shift: 5}\n", "`motion.max_shift`: a length needs a number and a unit"),
        ("motion: {max_shift: 5 um}\n", "set `pixel_size_um`"),
        ("inspect: {min_frames: 5}\ninspect: {min_frames: 6}\n", "key `inspect` appears twice"),
    ],
)
def test_a_wrong_config_is_one_line(ready, config, message):
    (ready.folder / "c.yaml").write_text(config)
    assert message in _one_line(ready.snakemake("--configfile", "c.yaml", ok=False))


def test_results_that_cannot_be_written_are_one_line(ready):
    output = ready.snakemake("--config", "paths={results: m.tif/results}", ok=None)
    assert "is a file, not a folder" in _one_line(output)


def test_hundreds_of_recordings_are_planned(workflow):
    workflow.write_sheet(*(f"m{i} data/m{i}.tif" for i in range(200)))
    assert workflow.planned() == dict.fromkeys(STAGES, 200)
