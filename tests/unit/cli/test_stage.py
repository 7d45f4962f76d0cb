"""What every stage's verb shares: threads, log, failure record, peak memory, progress."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import subprocess
import sys

import pytest

from caiman_pipeline.batch.job_records import Progress, read_record, record_of
from caiman_pipeline.batch.watch import memory_mb
from caiman_pipeline.cli.stage import add_stage_arguments, parse_share, progress, stage_job
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.numerics.threads import available_cores


def _args(tmp_path, *given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_stage_arguments(parser)
    return parser.parse_args(["--settings", "{}", "--log", str(tmp_path / "logs/x.log"), *given])


@pytest.fixture(autouse=True)
def _leave_the_process_as_it_was(monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    monkeypatch.setenv("NUMBA_NUM_THREADS", os.environ.get("NUMBA_NUM_THREADS", "1"))
    yield
    logging.getLogger("caiman_pipeline").handlers.clear()


def test_the_log_says_settings_seconds_and_memory(tmp_path):
    with stage_job("inspect", _args(tmp_path)):
        pass
    text = (tmp_path / "logs/x.log").read_text()
    assert "settings {}" in text
    assert "inspect: done in" in text
    assert "peak memory" in text


def test_the_record_says_who_runs_what_and_how_far_it_has_come(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    args = _args(tmp_path / "mouse 3", "--memory-mb", "900", "--threads", "1")
    args.settings = '{"recording": {"frame_rate_hz": 30}}'
    args.log = args.log.with_name("patch_cnmf.2-of-4.log")
    with stage_job("patch_cnmf", args):
        started = read_record(record_of(args.log))
        progress("tiles")(3, 8)
        logging.getLogger("caiman_pipeline").warning("tile 3 is dark")
        logging.getLogger("caiman_pipeline").warning("tile 3 is dark")
    found = read_record(record_of(args.log))
    assert (started.state, started.is_running(), started.ended, started.progress) == ("running", True, "", None)
    assert (found.recording, found.stage, found.item) == ("mouse 3", "patch_cnmf", "2-of-4")
    assert found.job == "patch_cnmf.2-of-4"
    assert (found.process, found.host, found.scheduler_job) == (os.getpid(), socket.gethostname(), "4711")
    assert (found.threads, found.granted_mb) == (1, 900)
    assert (found.progress, found.warnings) == (Progress("tiles", 3, 8), ("tile 3 is dark",))
    assert found.settings == {"recording": {"frame_rate_hz": 30}}
    assert found.peak_memory_mb >= found.memory_mb > 10
    assert not found.is_running()
    assert [p.name for p in args.log.parent.iterdir() if p != args.log] == ["patch_cnmf.2-of-4.job.json"]


def test_no_more_threads_than_were_granted(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    with stage_job("inspect", _args(tmp_path, "--threads", "64")) as threads:
        assert threads == 1
    with stage_job("inspect", _args(tmp_path)) as threads:
        assert threads == 1


THREADS_OF_A_VERB = """
import importlib, os, sys
from caiman_pipeline.cli import inspect, main
for name, _ in main.VERBS.values():
    importlib.import_module("caiman_pipeline.cli." + name)
assert "numpy" not in sys.modules, "a verb is slow to start, and BLAS has already read its environment"

def run(args):
    import numpy, scipy.linalg
    big = numpy.ones((800, 800))
    big @ big, scipy.linalg.cholesky(big + 800 * numpy.eye(800))
    print(len(os.listdir("/proc/self/task")))

inspect.add_arguments, inspect.run = lambda parser: None, run
main.main(["inspect"])
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads as Linux tells them")
def test_blas_has_one_thread_whatever_was_set_before():
    """Sums that it would split by its threads would differ in their last bits."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", THREADS_OF_A_VERB], env=environment, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("1", "")


def test_threads_are_those_of_the_rule_if_granted(tmp_path):
    with stage_job("inspect", _args(tmp_path, "--threads", "1")) as threads:
        assert threads == min(1, available_cores())


def test_a_foreseen_failure_is_recorded_beside_the_log_and_gone_after_a_success(tmp_path):
    args = _args(tmp_path)
    with pytest.raises(PipelineError), stage_job("inspect", args):
        raise PipelineError("m.tif: is cut short.")
    record = read_record(record_of(args.log))
    assert (record.stage, record.state, record.reason) == ("inspect", "failed", "m.tif: is cut short.")
    assert record.ended >= record.updated > record.started
    assert "Traceback" not in args.log.read_text()
    with stage_job("inspect", args):
        pass
    record = read_record(record_of(args.log))
    assert (record.state, record.reason) == ("done", "")


def test_an_unforeseen_failure_is_recorded_with_its_traceback_in_the_log(tmp_path):
    args = _args(tmp_path)
    with pytest.raises(ZeroDivisionError), stage_job("inspect", args):
        raise ZeroDivisionError("oh")
    assert "unforeseen ZeroDivisionError: oh" in read_record(record_of(args.log)).reason
    assert "Traceback" in args.log.read_text()


def test_a_log_that_cannot_be_written_is_a_clear_failure(tmp_path):
    (tmp_path / "logs").touch()
    with pytest.raises(PipelineError, match="cannot be written"), stage_job("inspect", _args(tmp_path)):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="reads the high-water mark of Linux")
def test_peak_memory_is_the_process_s_own_not_that_of_its_parent():
    code = "import sys; from caiman_pipeline.batch.watch import memory_mb; print(memory_mb()[1])"
    ballast = bytearray(300 * 2**20)
    ballast[::4096] = b"x" * len(ballast[::4096])
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert memory_mb()[1] > 300
    assert float(child.stdout) < 100
    del ballast


def test_a_share_is_read_as_snakemake_writes_it():
    assert parse_share("1-of-4") == (0, 4)
    assert parse_share("4-of-4") == (3, 4)
    for wrong in ("0-of-4", "5-of-4", "4", "a-of-b"):
        with pytest.raises(PipelineError):
            parse_share(wrong)


def test_jobs_do_not_wait_for_libraries_that_they_do_not_use():
    """scipy.stats and scipy.signal take half a second to import: a third of what a small recording's job takes."""
    code = "import sys, caiman_pipeline.extraction.refine, caiman_pipeline.extraction.tiles.run\n"
    code += "import caiman_pipeline.extraction.denoise\n"
    code += "print(sorted({'scipy.signal', 'scipy.stats', 'scipy.interpolate'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
