"""What follows a run: the summary grows with it, and what the scheduler says of a job is kept and told."""

from __future__ import annotations

import csv
import json
import logging
import os
import time
from pathlib import Path

import pytest

from caiman_pipeline.batch import live
from caiman_pipeline.batch.job_records import NOT_STARTED, read_record, record_of, scheduler_record
from caiman_pipeline.batch.live import FirstJob, RunWatch, in_words, recordings_together
from caiman_pipeline.batch.states import KILLED as ENDED_WITHOUT_A_WORD
from caiman_pipeline.batch.states import recording_state
from tests.unit.batch.test_states import run_through, write_failure, write_job

REFUSED = """SLURM sbatch failed. The error message was 'sbatch: error: Batch job submission failed: Requested node \
configuration is not available'.
    sbatch call:
        sbatch --parsable --job-name 4676 --wrap="python -m snakemake --mode 'remote'"
"""
KILLED = (
    "SLURM-job '7' failed, SLURM status is: 'OUT_OF_MEMORY'. Detailed failure reason unavailable "
    "(status command is not 'sacct')."
)
WHY = "the scheduler refused the job: Batch job submission failed: Requested node configuration is not available"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (REFUSED, WHY),
        (
            "SLURM sbatch failed. The error message was '/bin/sh: 1: sbatch: not found'.\n    sbatch call:\n  sbatch x",
            "the scheduler refused the job: /bin/sh: 1: sbatch: not found",
        ),
        (
            "SLURM sbatch failed. The error message was 'sbatch: error: invalid partition specified: x\nsbatch: error: "
            "Batch job submission failed: Invalid partition name specified'.\n    sbatch call:\n   y",
            "the scheduler refused the job: invalid partition specified: x; Batch job submission failed: "
            "Invalid partition name specified",
        ),
        (
            "Job submission failed with exception: The given account lab is invalid.For further error details see it.",
            "the job could not be submitted: The given account lab is invalid.",
        ),
        (KILLED, "SLURM says OUT_OF_MEMORY"),
        (
            "SLURM-job '7' failed, SLURM status is: 'TIMEOUT'. Reason: Step 0: TimeLimit.",
            "SLURM says TIMEOUT (Step 0: TimeLimit)",
        ),
        ("SLURM-job '7' failed, SLURM status is: 'FAILED'. Reason: Unknown.", "SLURM says FAILED"),
        ("Job 3 failed\n  with exit code 4", "Job 3 failed with exit code 4"),
    ],
)
def test_what_executors_say_becomes_one_line(message, words):
    assert in_words(message) == words


def event(kind, **fields):
    return logging.makeLogRecord({"event": kind, **fields})


@pytest.fixture
def watch(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "EVERY_S", 0.05)
    watch = RunWatch(tmp_path, ["a", "b"])
    yield watch
    watch.close()


def rows(folder: Path):
    with open(folder / "summary.tsv", newline="") as file:
        return {row["recording"]: row for row in csv.DictReader(file, delimiter="\t")}


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_summary_is_there_from_the_start_and_grows(tmp_path, watch):
    wait_for((tmp_path / "summary.tsv").exists)
    assert {name: row["state"] for name, row in rows(tmp_path).items()} == {"a": "waiting", "b": "waiting"}
    watch.emit(event("job_info", jobid=4, wildcards={"recording": "b"}))
    run_through(tmp_path / "b")
    time.sleep(0.2)
    assert rows(tmp_path)["b"]["state"] == "waiting"  # nothing is read before a job has ended
    watch.emit(event("job_finished", job_id=4))
    wait_for(lambda: rows(tmp_path)["b"]["state"] == "ok")
    assert rows(tmp_path)["a"]["state"] == "waiting"


def test_a_job_that_the_scheduler_refuses_did_not_run(tmp_path, watch):
    watch.emit(event("job_error", rule_msg=REFUSED, log=[f"{tmp_path}/a/logs/inspect.log"]))
    (tmp_path / f"{tmp_path}/a/logs/inspect.log").write_text("")  # Snakemake makes a log where a job leaves none
    wait_for(lambda: (tmp_path / "summary.tsv").exists() and rows(tmp_path)["a"]["state"] == "failed")
    assert rows(tmp_path)["a"]["reason"] == WHY
    assert rows(tmp_path)["a"]["stage"] == "inspect"


def test_a_group_that_is_refused_fails_at_its_first_stage(tmp_path, watch):
    run_through(tmp_path / "a", until="patch_cnmf")
    jobs = [{"log": [f"{tmp_path}/a/logs/{stage}.log"]} for stage in ("report", "merge", "refine")]
    watch.emit(event("group_error", job_error_info=jobs, aux_logs=[], said=REFUSED))
    for stage in ("report", "merge", "refine"):
        watch.emit(event("job_error", rule_msg=None, log=[f"{tmp_path}/a/logs/{stage}.log"]))
    state = recording_state(tmp_path / "a", "a")
    assert (state.state, state.stage, state.reason) == ("failed", "merge", WHY)


def test_what_the_scheduler_says_of_a_job_that_broke_off_is_added(tmp_path, watch):
    run_through(tmp_path / "a", until="motion_template")
    log = write_job(tmp_path / "a", "motion_correct.1-of-2", state="running")
    watch.emit(event("job_error", rule_msg=KILLED, log=[f"{tmp_path}/a/logs/motion_correct.1-of-2.log", "slurm/7.log"]))
    state = recording_state(tmp_path / "a", "a", ended=True)
    assert (state.stage, state.log) == ("motion_correct", str(log))
    assert state.reason.startswith(ENDED_WITHOUT_A_WORD)
    assert state.reason.endswith("(SLURM says OUT_OF_MEMORY)")


def test_a_job_that_never_wrote_is_told_from_one_that_broke_off(tmp_path, watch):
    of_inspect = [f"{tmp_path}/a/logs/inspect.{end}" for end in ("log", "job.json")] + ["slurm/7.log"]
    log = tmp_path / f"{tmp_path}/a/logs/inspect.log"
    log.parent.mkdir(parents=True)
    for path in (log, record_of(log)):
        path.write_text("")  # Snakemake makes them where a job leaves none
    state = recording_state(tmp_path / "a", "a", ended=True)
    assert state.reason.startswith(NOT_STARTED)
    watch.emit(
        event(
            "job_error",
            rule_msg=KILLED,
            log=of_inspect,
        )
    )
    state = recording_state(tmp_path / "a", "a")
    assert (state.reason, state.log) == (f"{NOT_STARTED} (SLURM says OUT_OF_MEMORY)", "slurm/7.log")


def test_a_refusal_counts_more_than_what_an_earlier_attempt_said(tmp_path, watch):
    of_inspect = [f"{tmp_path}/a/logs/inspect.{end}" for end in ("log", "job.json")] + ["slurm/7.log"]
    write_failure(tmp_path / "a", "inspect", "it was stopped")
    watch.emit(
        event(
            "job_error",
            rule_msg=KILLED,
            log=of_inspect,
        )
    )
    assert recording_state(tmp_path / "a", "a").reason == "it was stopped (SLURM says OUT_OF_MEMORY)"
    watch.emit(event("job_error", rule_msg=REFUSED, log=[f"{tmp_path}/a/logs/inspect.log"]))
    assert recording_state(tmp_path / "a", "a").reason == WHY


def test_what_was_said_of_an_earlier_attempt_is_forgotten(tmp_path, watch):
    log = write_job(tmp_path / "a", "inspect")
    watch.emit(event("job_error", rule_msg=REFUSED, log=[f"{tmp_path}/a/logs/inspect.log"]))
    assert recording_state(tmp_path / "a", "a").state == "failed"
    os.utime(record_of(log), ns=(scheduler_record(log).stat().st_mtime_ns + 1,) * 2)
    assert recording_state(tmp_path / "a", "a").state == "waiting"


def test_a_stage_takes_the_scheduler_s_word_away_when_it_starts(tmp_path):
    from argparse import Namespace

    from caiman_pipeline.cli.stage import stage_job

    live.note_scheduler(tmp_path / "inspect.log", REFUSED, "")
    assert json.loads(scheduler_record(tmp_path / "inspect.log").read_text())["says"] == WHY
    with stage_job("inspect", Namespace(threads=1, log=tmp_path / "inspect.log")):
        assert not scheduler_record(tmp_path / "inspect.log").exists()
        assert read_record(record_of(tmp_path / "inspect.log")).state == "running"
    for handler in list(logging.getLogger("caiman_pipeline").handlers):
        if isinstance(handler, logging.FileHandler):
            logging.getLogger("caiman_pipeline").removeHandler(handler)


def test_other_files_recordings_and_folders_of_results_are_left_alone(tmp_path, watch):
    logs = [f"{tmp_path}/stranger/logs/inspect.log", f"{tmp_path}/a/notes/inspect.log", "other/a/logs/inspect.log"]
    watch.emit(event("job_error", rule_msg=REFUSED, log=logs))
    watch.emit(event("job_finished", job_id=99))
    watch.emit(event("shellcmd"))
    watch.emit(logging.makeLogRecord({}))
    assert not list(tmp_path.glob("*/logs"))


def job_starts():
    return event("job_started", jobs=[1])


def test_what_waits_for_the_first_job_is_called_once_and_not_by_a_dry_run():
    called = []
    first = FirstJob(lambda: called.append("now"))
    for told in (event("run_info"), event("job_info", jobid=1), logging.makeLogRecord({})):
        first.emit(told)
    assert called == []
    first.emit(job_starts())
    first.emit(job_starts())
    assert called == ["now"]


def test_instances_of_a_module_share_the_list_of_a_results_folder(tmp_path):
    known, first = recordings_together(tmp_path / "one", ["a", "b"])
    assert first
    assert recordings_together(tmp_path / "other", ["z"]) == (["z"], True)
    assert recordings_together(tmp_path / "one", ["b", "c"]) == (["a", "b", "c"], False)
    assert known == ["a", "b", "c"]
