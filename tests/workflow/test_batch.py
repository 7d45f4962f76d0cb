"""Five recordings of which one is corrupt, one missing and one noise only: each ends as it should."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from .conftest import STAGES


@pytest.fixture(scope="module")
def states(batch):
    """The rows of ``summary.tsv`` by recording."""
    workflow, _ = batch
    with (workflow.folder / "results/summary.tsv").open() as file:
        return {row["recording"]: row for row in csv.DictReader(file, delimiter="\t")}


def test_every_recording_is_listed_with_its_state(states):
    found = {name: row["state"] for name, row in states.items()}
    assert found == {"good": "ok", "other": "ok", "noise": "ok_empty", "corrupt": "failed", "missing": "failed"}


def test_failures_say_stage_reason_and_log(batch, states):
    workflow, _ = batch
    assert "cut short" in states["corrupt"]["reason"]
    assert "not found" in states["missing"]["reason"]
    for name in ("corrupt", "missing"):
        assert states[name]["stage"] == "inspect"
        assert (workflow.folder / states[name]["log"]).read_text()


def test_the_reasons_are_printed_at_the_end_without_a_traceback(batch):
    _, output = batch
    assert "cut.tif" in output
    assert "none.tif" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("name", ["good", "other", "noise"])
def test_good_recordings_have_all_their_products(batch, name):
    folder = batch[0].folder / "results" / name
    assert (folder / f"export_nwb/{name}.nwb").stat().st_size > 0
    assert (folder / f"export_nwb/{name}_components.csv").exists()
    assert "<html" in (folder / f"report/{name}.html").read_text()[:500]


def test_cells_are_found_in_good_recordings_only(states):
    assert int(states["good"]["cells_accepted"]) >= 3
    assert int(states["other"]["cells_accepted"]) >= 3
    assert int(states["noise"]["cells_accepted"]) == 0


def test_every_job_leaves_a_log_and_a_measurement(batch):
    folder = batch[0].folder / "results/good"
    for stage in STAGES:
        (log,) = [p for p in (folder / "logs").iterdir() if p.name.split(".")[0] == stage and p.suffix == ".log"]
        assert "peak memory" in log.read_text()
        (measured,) = [p for p in (folder / "benchmarks").iterdir() if p.name.split(".")[0] == stage]
        assert measured.read_text().startswith("s\th:m:s\tmax_rss")


def test_nothing_is_written_beside_the_raw_files_or_left_half_done(batch, movies):
    folder = batch[0].folder
    assert {p.name for p in folder.iterdir()} == {"recordings.tsv", "good.tsv", "results", ".snakemake"}
    assert not list(folder.rglob("*.part"))
    assert {p.suffix for p in Path(movies).iterdir()} <= {".tif", ".h5"}


def test_what_failed_can_be_corrected_and_run_again(batch, movies):
    """Only the corrected recording runs; a symbolic link to a good file is one."""
    workflow, _ = batch
    planned = workflow.planned()
    assert planned["inspect"] == 2
    assert planned == dict.fromkeys(STAGES, 2)
