"""On Windows everything ends at once, with one sentence."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from caiman_pipeline.cli import main
from caiman_pipeline.model.machine import why_not_here

PACKAGE = Path(main.__file__).parents[1]
# What Windows does not have; wanted where a module is imported, it would end with a traceback before the sentence.
LACKS = "import sys\nfor name in ('resource', 'fcntl', 'pwd', 'grp', 'termios'):\n    sys.modules[name] = None\n"


@pytest.mark.parametrize(("system", "runs"), [("linux", True), ("darwin", True), ("win32", False), ("cygwin", False)])
def test_where_it_runs(system, runs):
    assert (why_not_here(system) == "") == runs


@pytest.mark.parametrize("arguments", [[], ["--help"], ["inspect", "--help"], ["no verb"]])
def test_the_command_ends_with_one_sentence(arguments, monkeypatch, capsys):
    monkeypatch.setattr(main.sys, "platform", "win32")
    with pytest.raises(SystemExit) as end:
        main.main(arguments)
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "does not run on Windows itself" in said
    assert "WSL" in said
    assert len(said.splitlines()) == 1


def test_what_comes_before_the_sentence_needs_nothing_that_windows_lacks():
    code = LACKS + "import signal\ndel signal.SIGHUP\nimport caiman_pipeline.cli.main, caiman_pipeline.cli.stage\n"
    code += "import caiman_pipeline.batch.live, caiman_pipeline.batch.states\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""


def test_no_process_is_asked_for_by_a_signal():
    """On Windows that would end it."""
    assert not [p for p in PACKAGE.rglob("*.py") if re.search(r"\bos\.kill\(", p.read_text())]
