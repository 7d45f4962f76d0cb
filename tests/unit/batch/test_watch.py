from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from caiman_pipeline.batch.job_logs import read_log
from caiman_pipeline.batch.orphans import cancel_orphans, find_orphans
from caiman_pipeline.batch.progress import batch_status, in_words
from caiman_pipeline.batch.states import recording_state
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import MovieInfo, SourceFile
from caiman_pipeline.results.records import save_movie_info

JOB = """
import argparse, sys, time
from pathlib import Path
from caiman_pipeline.cli.stage import stage_job
from caiman_pipeline.results.atomic import whole_file
folder = Path(sys.argv[1])
args = argparse.Namespace(threads=1, log=folder / "logs/merge.log", memory_mb=900, settings=None)
with stage_job("merge", args), whole_file(folder / "merge" / "x.h5") as temporary:
    temporary.write_bytes(b"half")
    block = bytearray(300_000_000)
    block[::4096] = b"x" * len(block[::4096])
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def job(tmp_path):
    """A job in the middle of writing."""
    (tmp_path / "rec").mkdir()
    process = subprocess.Popen([sys.executable, "-c", JOB, str(tmp_path / "rec")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    time.sleep(1.2)
    yield process
    process.kill()
    process.wait()


def test_a_running_job_is_seen_with_its_memory(job, tmp_path):
    status = batch_status(tmp_path, ["rec", "later"])
    assert status.standings == {"done": 0, "running": 1, "failed": 0, "waiting": 1}
    (found,) = status.running
    assert (found.recording, found.job) == ("rec", "merge")
    assert found.memory_mb > 300
    assert (status.eta_s, status.remaining_s) == (None, None)
    assert recording_state(tmp_path / "rec", "rec").reason == "is running"


def test_a_recording_that_was_not_inspected_is_taken_to_be_like_the_others(job, tmp_path):
    source = SourceFile("m.tif", 5000, 1, 1)
    info = MovieInfo("rec", (source,), None, None, (256, 300), "u2", 30.0, 0.0, 9.0, 0.0, (), ((0, 0), (0, 0)), ())
    save_movie_info(tmp_path / "rec/inspect/movie_info.json", info)
    one = batch_status(tmp_path, ["rec"])
    three = batch_status(tmp_path, ["rec", "later", "last"])
    assert one.eta_s == one.remaining_s > 10
    assert three.remaining_s == pytest.approx(3 * one.remaining_s)


def test_a_request_to_stop_leaves_a_reason_and_nothing_half_done(job, tmp_path):
    job.send_signal(signal.SIGTERM)
    assert job.wait(10) == 143
    assert list((tmp_path / "rec/merge").iterdir()) == []
    state = recording_state(tmp_path / "rec", "rec")
    assert (state.state, state.stage) == ("failed", "merge")
    assert "SIGTERM" in state.reason


def test_a_job_killed_for_memory_says_what_it_had_and_what_to_give(job, tmp_path):
    log = tmp_path / "rec/logs/merge.log"
    job.kill()
    job.wait()
    log.write_text(log.read_text().replace("900 MB granted", "380 MB granted"))
    reason = recording_state(tmp_path / "rec", "rec").reason
    assert "out of memory" in reason
    assert "granted 380 MB" in reason
    assert "merge:mem_mb=760" in reason


def test_a_log_of_another_machine_is_judged_by_its_time_stamp(tmp_path):
    log = tmp_path / "merge.log"
    log.write_text("2026-01-01 00:00:00 INFO job: process 1 on elsewhere, 400 MB granted, SLURM job 17\n")
    assert read_log(log).is_running()
    assert (read_log(log).slurm_job, read_log(log).granted_mb) == ("17", 400)
    os.utime(log, (1, 1))
    assert not read_log(log).is_running()


RUN = "0a1b2c3d-0000-4000-8000-123456789abc"
SQUEUE = """#!/bin/sh
[ -e {folder}/cancelled ] && exit 0
echo '11|{run}|{folder}|rule_merge_wildcards_a'
echo '12|{run}|/elsewhere|rule_merge_wildcards_a'
echo '13|my own job|{folder}|'
echo '14|{run}|{folder}|group_finish'
"""


def _command(folder, name, text):
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def test_jobs_of_an_earlier_run_in_the_same_folder_are_cancelled_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    _command(tmp_path, "squeue", SQUEUE.format(folder=tmp_path, run=RUN))
    _command(tmp_path, "scancel", f'#!/bin/sh\necho "$@" > {tmp_path}/cancelled\n')
    assert cancel_orphans(tmp_path) == ["11", "14"]
    assert (tmp_path / "cancelled").read_text() == "11 14\n"
    assert find_orphans(tmp_path) == []


def test_a_cluster_that_does_not_answer_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    _command(tmp_path, "squeue", "#!/bin/sh\necho 'slurm_load_jobs error' >&2; exit 1\n")
    with pytest.raises(PipelineError, match="slurm_load_jobs"):
        find_orphans(tmp_path)


def test_durations_in_words():
    assert [in_words(s) for s in (62, 700, 7500)] == ["1 min 02 s", "11 min", "2 h 05 min"]
