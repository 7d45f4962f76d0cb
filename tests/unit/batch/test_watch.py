from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from caiman_pipeline.batch import watch
from caiman_pipeline.batch.job_records import JobRecord, Progress, now, read_record
from caiman_pipeline.batch.orphans import cancel_orphans, find_orphans
from caiman_pipeline.batch.progress import batch_status, in_words
from caiman_pipeline.batch.states import recording_state
from caiman_pipeline.cli.main import run_verb
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


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_job_killed_for_memory_says_what_it_had_and_what_to_give(job, tmp_path):
    job.kill()
    job.wait()
    record = tmp_path / "rec/logs/merge.job.json"
    assert read_record(record).state == "running"
    reached = read_record(record).peak_memory_mb
    assert reached > 300
    rewrite(record, granted_mb=380)
    state = recording_state(tmp_path / "rec", "rec")
    assert (state.state, state.stage) == ("failed", "merge")
    assert f"granted 380 MB and had reached {reached:.0f} MB" in state.reason
    assert "merge:mem_mb=760" in state.reason


def test_the_log_is_for_people(job, tmp_path):
    time.sleep(1)
    assert len((tmp_path / "rec/logs/merge.log").read_text().splitlines()) == 1


def test_another_process_of_the_same_number_is_not_the_job(job, tmp_path):
    record = tmp_path / "rec/logs/merge.job.json"
    assert read_record(record).is_running()
    rewrite(record, process_start="1", updated=now())
    assert not read_record(record).is_running()


def test_a_process_that_waits_to_be_collected_is_gone(job, tmp_path):
    job.kill()
    os.waitid(os.P_PID, job.pid, os.WEXITED | os.WNOWAIT)  # ended, and left as it is
    assert not read_record(tmp_path / "rec/logs/merge.job.json").is_running()


def test_a_job_of_another_machine_is_judged_by_when_it_was_last_heard_of(tmp_path):
    path = tmp_path / "rec/logs/merge.job.json"
    path.parent.mkdir(parents=True)
    record = JobRecord("merge", process=os.getpid(), process_space="elsewhere", host="node7", updated=now())
    path.write_text(record.as_json())
    (running,) = batch_status(tmp_path, ["rec"]).running
    assert (running.host, running.job) == ("node7", "merge")
    long_ago = datetime.fromtimestamp(time.time() - 200, UTC).isoformat()
    rewrite(path, updated=long_ago)  # the file itself is new: copied, or fetched
    assert not read_record(path).is_running()
    state = recording_state(tmp_path / "rec", "rec")
    assert (state.state, state.stage) == ("failed", "merge")


def test_a_running_job_says_how_far_it_has_come(tmp_path, monkeypatch, capsys):
    path = tmp_path / "results/rec/logs/patch_cnmf.2-of-3.job.json"
    path.parent.mkdir(parents=True)
    progress = Progress("tiles", 3, 8)
    record = JobRecord(
        "patch_cnmf", "rec", "2-of-3", process_space="else", host="n7", memory_mb=812, progress=progress, updated=now()
    )
    path.write_text(record.as_json())
    monkeypatch.chdir(tmp_path)
    facts = "frame_rate_hz\tdecay_time_s\tcell_diameter"
    (tmp_path / "recordings.tsv").write_text(f"recording\tfiles\t{facts}\nrec\tm.tif\t30\t0.4\t12 px\n")
    run_verb("status", ["--sheet", "recordings.tsv"])
    assert "running  rec  patch_cnmf.2-of-3 on n7, 812 MB, tiles: 3 of 8" in capsys.readouterr().out


KEEPS = """
import argparse, sys
from pathlib import Path
from caiman_pipeline.batch import watch
watch.EVERY_S, watch.LOOK_EVERY_S = 0.0, 0.0001
args = argparse.Namespace(threads=1, log=Path(sys.argv[1]), memory_mb=900, settings=None)
keeper = watch.keeper_of(args.log, watch.first_record("merge", args, 1))
keeper.begin()
with watch.watched(keeper):
    print("ready", flush=True)
    for k in range(10**9):
        watch.note_progress("long " * 2000, k, 10**9)
"""


def test_a_job_killed_at_any_moment_leaves_a_whole_record(tmp_path):
    log = tmp_path / "logs/merge.log"
    for wait_s in (0.0, 0.013, 0.04, 0.07):
        keeps = subprocess.Popen([sys.executable, "-c", KEEPS, str(log)], stdout=subprocess.PIPE, text=True)
        assert keeps.stdout.readline() == "ready\n"
        time.sleep(wait_s)
        keeps.kill()
        keeps.wait()
        found = read_record(log.with_name("merge.job.json"))
        assert (found.state, found.process, found.is_running()) == ("running", keeps.pid, False)
    assert len(list(log.parent.iterdir())) <= 2, "what killed attempts left half written is removed by the next"


class Clock:
    """Time and memory of a job, as a test sets them."""

    def __init__(self, monkeypatch):
        self.now, self.memory, self.written = 0.0, 100.0, []
        monkeypatch.setattr(watch, "memory_mb", lambda: (self.memory, self.memory))
        monkeypatch.setattr(watch.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(watch, "renew_text", lambda path, text: self.written.append(json.loads(text)))

    def run(self, keeper, seconds, grow=lambda s: 100.0):
        for _ in range(round(2 * seconds)):
            self.now += 0.5
            self.memory = grow(self.now)
            keeper.look()


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_a_job_that_does_not_grow_writes_every_eight_seconds(clock, tmp_path):
    keeper = watch.keeper_of(tmp_path / "merge.log", JobRecord("merge", granted_mb=900))
    keeper.begin()
    clock.run(keeper, 100)
    assert len(clock.written) == 12


def test_a_job_that_grows_writes_often_at_first_and_at_the_marks_of_what_it_was_granted(clock, tmp_path):
    keeper = watch.keeper_of(tmp_path / "merge.log", JobRecord("merge", granted_mb=10_000))
    keeper.begin()
    clock.run(keeper, 100, grow=lambda s: 100 + 10 * s if s < 61 else 700 + 250 * (s - 61))
    times = [w["seconds"] for w in clock.written]
    assert times[0] <= 4
    assert len(times) <= 24
    known = [w["peak_memory_mb"] for w in clock.written]
    for mark in (5000, 7000, 8500):
        assert any(mark <= memory <= mark + 125 for memory in known), "known at once, before the job is killed"


def test_a_record_that_cannot_be_renewed_does_not_end_the_job(clock, tmp_path, monkeypatch, caplog):
    def refuse(path, text):
        raise OSError(28, "No space left on device")

    keeper = watch.keeper_of(tmp_path / "merge.log", JobRecord("merge"))
    keeper.begin()
    monkeypatch.setattr(watch, "renew_text", refuse)
    clock.run(keeper, 30)
    assert [r.levelname for r in caplog.records] == ["ERROR"], "once, and not with the results"


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
