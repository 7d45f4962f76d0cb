"""The command as a process: what it says to whoever started it, and what is done before it ends."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

COMMAND = "import atexit, sys; from caiman_pipeline.cli.main import command; "


def _run(arguments: list[str], before: str = "") -> subprocess.CompletedProcess[str]:
    code = f"{COMMAND}{before}sys.argv[1:] = {arguments!r}; command(); print('after')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "status", "out", "error"),
    [
        (["--version"], 0, "caiman-pipeline 0.", ""),
        (["doctor"], 0, "temporary folder", ""),
        (["no-such-verb"], 2, "", "invalid choice"),
        (["check", "--config", "missing.yaml"], 2, "", "error: missing.yaml"),
    ],
)
def test_status_and_output_arrive(arguments, status, out, error):
    done = _run(arguments)
    assert done.returncode == status
    assert out in done.stdout
    assert error in done.stderr
    assert "Traceback" not in done.stderr
    assert "after" not in done.stdout


def test_what_is_registered_for_the_end_is_done():
    done = _run(["--version"], before="atexit.register(print, 'the end'); ")
    assert done.stdout.splitlines()[-1] == "the end"


def test_a_failure_that_is_not_foreseen_is_told_in_full():
    before = "import caiman_pipeline.cli.main as m; m.run_verb = lambda *_: 1 / 0; "
    done = _run(["check"], before=before)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_a_reader_that_went_away_is_no_success():
    code = f"{COMMAND}sys.argv[1:] = ['doctor']; command()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        error = process.stderr.read()
    assert (process.returncode, error) == (1, b"")


def test_a_status_given_as_text_is_printed():
    before = "import caiman_pipeline.cli.main as m; m.run_verb = lambda *_: sys.exit('not like this'); "
    done = _run(["check"], before=before)
    assert (done.returncode, done.stderr.strip()) == (1, "not like this")


def test_a_full_disk_behind_the_output_is_said_in_one_line():
    code = f"{COMMAND}import caiman_pipeline.cli.main as m; m.run_verb = print; sys.argv[1:] = ['check']; command()"
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, env=environment
        )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "caiman-pipeline: error: the output cannot be written (No space left on device)."
    ]


def test_an_output_that_is_closed_is_no_failure():
    before = (
        "sys.stdout.close(); sys.stdout = None; import caiman_pipeline.cli.main as m; m.run_verb = lambda *_: None; "
    )
    done = _run(["check"], before=before)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupt_is_said_in_one_line():
    before = (
        "import caiman_pipeline.cli.main as m, signal; m.run_verb = lambda *_: signal.raise_signal(signal.SIGINT); "
    )
    done = _run(["check"], before=before)
    assert (done.returncode, done.stderr) == (130, "caiman-pipeline: interrupted\n")
