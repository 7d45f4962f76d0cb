from __future__ import annotations

from datetime import datetime

import pytest

from caiman_pipeline.batch.fetching import fetch_traces, object_size
from caiman_pipeline.batch.job_records import JobRecord
from caiman_pipeline.batch.states import recording_state
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.stages import STAGES, last_stages, place

UPDATED = "2026-01-01T10:00:{:02d}.000+00:00"


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "bucket/results/a"
    for number, stage in enumerate(STAGES):
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        (folder / f"logs/{stage}.log").write_text("2026-01-01 10:00:00 INFO for people\n")
        record = JobRecord(stage, state="done", updated=UPDATED.format(number))
        (folder / f"logs/{stage}.job.json").write_text(record.as_json())
    ends = [place(name, recording="a") for stage in last_stages() for name in stage.outputs]
    for name in (*ends, place("motion")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text('{"accepted": 3, "found": 4}')
    return folder.parent


def test_a_finished_recording_on_a_store_is_told_from_what_was_fetched(store, tmp_path):
    home = tmp_path / "home"
    assert fetch_traces(f"file://{store}", home, ["a", "never"]) == 2 * len(STAGES) + 3
    state = recording_state(home / "a", "a", ended=True)
    assert (state.state, state.cells_accepted) == ("ok", 3)
    assert not (home / "a/export_nwb").exists()
    assert not (home / "a/motion").exists()
    assert recording_state(home / "never", "never").state == "waiting"


def test_records_keep_the_order_in_which_they_were_written(store, tmp_path):
    fetch_traces(f"file://{store}", tmp_path / "home", ["a"])
    times = [(tmp_path / f"home/a/logs/{stage}.job.json").stat().st_mtime for stage in STAGES]
    assert times == sorted(times)
    assert times[0] == datetime.fromisoformat(UPDATED.format(0)).timestamp()


def test_the_reason_of_a_failure_comes_with_its_record(store, tmp_path):
    (store / "b/logs").mkdir(parents=True)
    record = JobRecord("inspect", state="failed", reason="m.tif: file not found.", updated=UPDATED.format(3))
    (store / "b/logs/inspect.log").write_text("for people\n")
    (store / "b/logs/inspect.job.json").write_text(record.as_json())
    fetch_traces(f"file://{store}", tmp_path / "home", ["b"])
    state = recording_state(tmp_path / "home/b", "b", ended=True)
    assert (state.state, state.stage, state.reason) == ("failed", "inspect", "m.tif: file not found.")


def test_an_object_is_found_with_its_size_or_said_to_be_missing(store):
    assert object_size(f"file://{store}/a/export_nwb/a.nwb") == 27
    with pytest.raises(PipelineError, match=r"gone\.tif: cannot be found"):
        object_size(f"file://{store}/gone.tif")
