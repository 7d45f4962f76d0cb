from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from caiman_pipeline.batch.benchmarks import read_benchmark, stage_uses
from caiman_pipeline.batch.job_records import EARLIER, JobRecord, read_record, read_records, record_of
from caiman_pipeline.batch.states import KILLED, collect_states, count_states, recording_state
from caiman_pipeline.cli.main import run_verb
from caiman_pipeline.results.files import save_result
from caiman_pipeline.results.processes import process_space
from caiman_pipeline.stages import STAGES, last_stages, path_of

START = 1_700_000_000
ORDER = list(STAGES)


def write_job(folder: Path, job: str, *, state: str = "done", at: int | None = None, reason: str = "") -> Path:
    """Leave what a job leaves: its record, and a log beside it; returns the log."""
    stage, _, item = job.partition(".")
    log = folder / "logs" / f"{job}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(f"2026-01-01 10:00:00 INFO {stage}: for people\n")
    record = JobRecord(
        stage,
        folder.name,
        item,
        state=state,
        version="1.2.3",
        process=2**22 + 5,
        process_start="7",
        process_space=process_space(),
        host="here",
        started="2026-01-01T10:00:00.000+00:00",
        updated="2026-01-01T10:00:09.100+00:00",
        seconds=9.1,
        memory_mb=120.0,
        peak_memory_mb=345.0,
        reason=reason,
    )
    record_of(log).write_text(record.as_json())
    when = START + (ORDER.index(stage) if at is None else at)
    os.utime(record_of(log), (when, when))
    return log


def write_failure(folder: Path, job: str, reason: str, *, at: int | None = None) -> Path:
    return write_job(folder, job, state="failed", reason=reason, at=at)


def run_through(folder: Path, *, until: str = "report", accepted: int = 5) -> None:
    for stage in ORDER[: ORDER.index(until) + 1]:
        jobs = [f"{stage}.{i}-of-2" for i in (1, 2)] if stage == "patch_cnmf" else [stage]
        for job in jobs:
            write_job(folder, job)
            benchmark = folder / "benchmarks" / f"{job}.tsv"
            benchmark.parent.mkdir(exist_ok=True)
            benchmark.write_text("s\th:m:s\tmax_rss\n2.5\t0:00:02\t100\n")
    (folder / "inspect").mkdir(exist_ok=True)
    (folder / "inspect/movie_info.json").write_text(json.dumps({"files": [{"n_frames": 70}, {"n_frames": 30}]}))
    if until == "report":
        for path in (path_of(folder, name) for stage in last_stages() for name in stage.outputs):
            path.parent.mkdir(exist_ok=True)
            path.write_text("made")
        reason = "" if accepted else "no component was found"
        (folder / "report/overview.json").write_text(json.dumps({"accepted": accepted, "found": 9, "reason": reason}))


def test_finished_recording_is_ok_with_its_numbers(tmp_path):
    run_through(tmp_path / "a")
    state = recording_state(tmp_path / "a", "a")
    assert (state.state, state.stage, state.reason) == ("ok", "", "")
    assert (state.frames, state.cells_accepted, state.cells_found) == (100, 5, 9)
    assert state.seconds == pytest.approx(2.5 * 14)


def test_recording_without_cells_is_ok_empty_with_the_reason(tmp_path):
    run_through(tmp_path / "a", accepted=0)
    state = recording_state(tmp_path / "a", "a")
    assert (state.state, state.reason, state.cells_accepted) == ("ok_empty", "no component was found", 0)


def test_failure_is_the_earliest_recorded_one(tmp_path):
    run_through(tmp_path / "a", until="summary_images")
    write_failure(tmp_path / "a", "patch_cnmf.2-of-2", "tile 3 broke")
    path = write_failure(tmp_path / "a", "motion_correct.1-of-2", "frame 7 broke", at=99)
    state = recording_state(tmp_path / "a", "a")
    assert (state.state, state.stage, state.reason) == ("failed", "motion_correct", "frame 7 broke")
    assert state.log == str(path)
    assert state.frames == 100


def test_failure_wins_over_results_of_an_earlier_run(tmp_path):
    run_through(tmp_path / "a")
    write_failure(tmp_path / "a", "refine", "disk full", at=500)
    assert recording_state(tmp_path / "a", "a").reason == "disk full"


def test_job_that_died_without_a_word_is_a_failure(tmp_path):
    run_through(tmp_path / "a", until="summary_images")
    path = write_job(tmp_path / "a", "patch_cnmf.1-of-2", state="running")
    state = recording_state(tmp_path / "a", "a")
    assert (state.state, state.stage, state.log) == ("failed", "patch_cnmf", str(path))
    assert state.reason.startswith(f"{KILLED}, at 345 MB: ")
    assert state.reason.endswith("not known")


@pytest.mark.parametrize("recorded", [True, False])
def test_trace_of_an_earlier_run_with_other_scatter_does_not_count(tmp_path, recorded):
    if recorded:
        write_failure(tmp_path / "a", "patch_cnmf.3-of-4", "killed", at=-100)
    else:
        write_job(tmp_path / "a", "patch_cnmf.3-of-4", state="running", at=-100)
    run_through(tmp_path / "a")
    assert recording_state(tmp_path / "a", "a").state == "ok"


def test_evaluation_that_failed_is_not_overtaken_by_traces_beside_it(tmp_path):
    run_through(tmp_path / "a", until="refine")
    write_failure(tmp_path / "a", "evaluate", "no frames", at=50)
    write_job(tmp_path / "a", "traces", at=60)
    assert recording_state(tmp_path / "a", "a").stage == "evaluate"


def test_a_selection_that_failed_anew_stays_and_is_known_to_be_old(tmp_path):
    """Snakemake puts the last one back with a new time stamp; the next run must make it again."""
    from caiman_pipeline.batch.verify import verify_recording

    run_through(tmp_path / "a")
    write_failure(tmp_path / "a", "select", "there is no component 99", at=900)
    selection = tmp_path / "a/select/selection.h5"
    selection.parent.mkdir()
    save_result(selection, kind="selection", arrays={"ids": np.arange(3)}, settings={}, source={})
    run_verb("summary", ["--results", str(tmp_path), "--recordings", "a", "--ended"])
    assert selection.stat().st_mtime == 1
    found = [f.problem for f in verify_recording(tmp_path / "a", checksums=False).findings if f.path == selection]
    assert found == [
        "is old: select has failed since (there is no component 99). Mend that and run the workflow again."
    ]


def test_recording_that_was_not_run_to_the_end_waits(tmp_path):
    run_through(tmp_path / "a", until="merge")
    states = collect_states(tmp_path, ["a", "never"])
    assert [(s.state, s.stage) for s in states] == [("waiting", "refine"), ("waiting", "inspect")]
    assert states[1].frames is None


def test_a_stage_of_which_some_jobs_have_run_is_waited_for(tmp_path):
    run_through(tmp_path / "a", until="summary_images")
    write_job(tmp_path / "a", "patch_cnmf.1-of-2")
    state = recording_state(tmp_path / "a", "a")
    assert (state.state, state.stage) == ("waiting", "patch_cnmf")
    write_job(tmp_path / "a", "patch_cnmf.3-of-5", at=-100)
    write_job(tmp_path / "a", "patch_cnmf.2-of-2")
    assert recording_state(tmp_path / "a", "a").stage == "merge", "what an earlier run cut otherwise does not count"


def test_results_older_than_what_they_came_from_are_not_ok(tmp_path):
    run_through(tmp_path / "a")
    write_job(tmp_path / "a", "refine", at=400)
    state = recording_state(tmp_path / "a", "a")
    assert (state.state, state.stage) == ("waiting", "refine")


def test_results_that_were_removed_are_not_ok(tmp_path):
    run_through(tmp_path / "a")
    (tmp_path / "a/export_nwb/a.nwb").unlink()
    state = recording_state(tmp_path / "a", "a")
    assert (state.state, state.stage) == ("waiting", "export_nwb")


def test_five_recordings_one_corrupt_one_missing_one_empty(tmp_path, capsys):
    for name in ("r1", "r2"):
        run_through(tmp_path / name)
    run_through(tmp_path / "noise", accepted=0)
    write_failure(tmp_path / "corrupt", "inspect", "corrupt.tif: not a readable\tTIFF file.\nCopy it again.")
    write_failure(tmp_path / "missing", "inspect", "missing.tif: no such file.")
    names = ["r1", "corrupt", "missing", "noise", "r2"]
    run_verb("summary", ["--results", str(tmp_path), "--recordings", *names])
    with open(tmp_path / "summary.tsv", newline="") as file:
        rows = {row["recording"]: row for row in csv.DictReader(file, delimiter="\t")}
    assert list(rows) == names
    assert [rows[n]["state"] for n in names] == ["ok", "failed", "failed", "ok_empty", "ok"]
    assert rows["corrupt"]["reason"] == "corrupt.tif: not a readable TIFF file. Copy it again."
    assert rows["corrupt"]["stage"] == "inspect"
    assert rows["r1"]["cells_accepted"] == "5"
    assert rows["corrupt"]["cells_accepted"] == ""
    printed = capsys.readouterr().out
    assert "failed: missing, inspect: missing.tif: no such file." in printed
    assert "5 recordings: 2 ok, 1 ok_empty, 2 failed" in printed


def test_page_links_what_is_there_and_only_that(tmp_path):
    run_through(tmp_path / "good")
    write_failure(tmp_path / "bad", "inspect", "<b>broken</b>")
    run_verb("summary", ["--results", str(tmp_path), "--recordings", "good", "bad", "later"])
    page = (tmp_path / "batch.html").read_text()
    links = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert set(links) == {
        "good/report/good.html",
        "good/report/thumbnail.jpg",
        "good/export_nwb/good.nwb",
        "good/export_nwb/good_components.csv",
        "bad/logs/inspect.log",
    }
    assert "<b>broken</b>" not in page
    assert re.findall(r'<tr data-state="(\w+)"', page) == ["ok", "failed", "waiting"]


def test_states_are_counted_in_a_fixed_order(tmp_path):
    run_through(tmp_path / "a")
    assert count_states(collect_states(tmp_path, ["z", "a"])) == {"ok": 1, "waiting": 1}


def as_an_earlier_version_left_it(folder: Path) -> None:
    for record in folder.glob("logs/*.job.json"):
        record.unlink()


def test_results_of_a_version_that_kept_no_records_are_listed_and_said_to_be_of_one(tmp_path):
    for name in ("whole", "half"):
        run_through(tmp_path / name, until="report" if name == "whole" else "merge")
        as_an_earlier_version_left_it(tmp_path / name)
    whole, half = collect_states(tmp_path, ["whole", "half"], ended=True)
    assert (whole.state, whole.cells_accepted) == ("ok", 5)
    assert whole.reason == f"inspect: {EARLIER} (and 13 more jobs)"
    assert (half.state, half.stage) == ("waiting", "inspect")
    assert EARLIER in half.reason
    run_verb("summary", ["--results", str(tmp_path), "--recordings", "whole", "half"])


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 1}', '{"schema": 1, "stage": 3}', "\0\0", "null"])
def test_a_damaged_record_is_said_to_be_one(tmp_path, text):
    run_through(tmp_path / "a", until="refine")
    record = tmp_path / "a/logs/refine.job.json"
    record.write_text(text)
    state = recording_state(tmp_path / "a", "a", ended=True)
    assert (state.state, state.stage) == ("waiting", "refine")
    assert state.reason == f"refine: {record} is damaged. Delete it and run the workflow again"


def test_a_record_of_a_later_version_is_said_to_be_one(tmp_path):
    run_through(tmp_path / "a", until="refine")
    record = tmp_path / "a/logs/refine.job.json"
    record.write_text(json.dumps({"schema": 2, "version": "9.1", "other": "form"}))
    found = read_record(record)
    assert (found.state, found.stage, found.finished) == ("unreadable", "refine", False)
    assert "has the form 2, this version reads form 1" in found.reason
    assert "(9.1)" in found.reason


def test_costs_sum_seconds_and_keep_the_largest_memory(tmp_path):
    run_through(tmp_path)
    (tmp_path / "benchmarks/refine.tsv").write_text("s\th:m:s\tmax_rss\n0.4\t0:00:00\tNA\n")
    (tmp_path / "benchmarks/traces.tsv").write_text("s\th:m:s\tmax_rss\n4\t0:00:04\t900.5\n")
    costs = {c.stage: c for c in stage_uses(tmp_path / "benchmarks", read_records(tmp_path / "logs"))}
    assert list(costs) == ORDER
    assert (costs["patch_cnmf"].jobs, costs["patch_cnmf"].seconds) == (2, 5.0)
    assert costs["refine"].memory_mb == 345
    assert costs["traces"].memory_mb == 900.5


def test_benchmark_of_an_interrupted_job_counts_as_nothing(tmp_path):
    (tmp_path / "x.tsv").write_text("")
    assert read_benchmark(tmp_path / "x.tsv") == (0.0, 0.0)


def test_stages_are_in_the_order_of_the_workflow():
    rules = Path(__file__).parents[3] / "workflow/rules"
    names = {m for path in rules.glob("*.smk") for m in re.findall(r"^rule (\w+):", path.read_text(), re.M)}
    assert set(ORDER) <= names


def test_summary_starts_without_heavy_libraries(tmp_path):
    run_through(tmp_path / "a")
    code = (
        "import sys; from caiman_pipeline.cli.main import run_verb;"
        f"run_verb('summary', ['--results', {str(tmp_path)!r}, '--recordings', 'a']);"
        "print([m for m in ('numpy', 'h5py', 'pydantic', 'scipy', 'cv2', 'pynwb') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_failure_is_told_until_a_stage_that_needs_it_has_ended_well(tmp_path):
    """The report follows the NWB file's stage in the list, and needs nothing of it."""
    run_through(tmp_path / "a")
    write_failure(tmp_path / "a", "export_nwb", "disk full", at=50)
    write_job(tmp_path / "a", "report", at=60)
    assert (recording_state(tmp_path / "a", "a").state, recording_state(tmp_path / "a", "a").stage) == (
        "failed",
        "export_nwb",
    )
    write_job(tmp_path / "a", "export_nwb", at=70)
    assert recording_state(tmp_path / "a", "a").state == "ok"


def test_a_recording_whose_table_was_removed_is_not_done(tmp_path):
    run_through(tmp_path / "a")
    path_of(tmp_path / "a", "table").unlink()
    state = recording_state(tmp_path / "a", "a")
    assert (state.state, state.stage) == ("waiting", "export_nwb")
