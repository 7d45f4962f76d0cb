"""Where the workflow's files are, and Snakemake's command line for them."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from caiman_pipeline.model.errors import PipelineError

PACKAGE = Path(__file__).parents[1]
# Where a wheel keeps what lies at the top of a checkout; named in pyproject.toml too.
INSTALLED = PACKAGE / "workflow_files"


# Names a file in which a run that failed leaves word which fields' cells can still be tracked.
SECOND_PASS = "CAIMAN_PIPELINE_SECOND_PASS"
# With these Snakemake computes nothing, so there is nothing to follow.
NO_WORK = {
    "-n",
    "--dry-run",
    "--dryrun",
    "--unlock",
    "--lint",
    "--dag",
    "--rulegraph",
    "--filegraph",
    "--summary",
    "--touch",
}


def workflow_folder() -> Path:
    """Return the folder of Snakefile, rules, profiles and config: the checkout's, or the installed package's.

    Raises
    ------
    PipelineError
        If neither has a Snakefile.
    """
    for folder in (PACKAGE.parent, INSTALLED):
        if (folder / "Snakefile").is_file() and (folder / "workflow" / "rules").is_dir():
            return folder
    raise PipelineError(f"{INSTALLED}: the workflow's Snakefile is missing. Install caiman_pipeline again.")


def run_command(config: Path | None = None, sheet: Path | None = None) -> str:
    """Return the command that runs the workflow where the user is, with the config and sheet that were named."""
    command = ["snakemake" if Path("Snakefile").exists() else "caiman-pipeline run"]
    command += [f"--configfile {shlex.quote(str(config))}"] if config else []
    command += ["--config " + shlex.quote(f"paths={{recordings: '{sheet}'}}")] if sheet else []
    return " ".join(command)


def snakemake_command(arguments: Iterable[str]) -> list[str]:
    """Return the command that runs the workflow in the present folder with Snakemake's own ``arguments``.

    Profiles that come with the workflow may be given by name, like ``--profile slurm``; a folder of that name here
    comes first.
    """
    folder, given = workflow_folder(), list(arguments)
    for i, word in enumerate(given):
        flag, equals, name = word.partition("=")
        if flag not in ("--profile", "--workflow-profile"):
            continue
        if equals:
            given[i] = f"{flag}={_profile(folder, name)}"
        elif i + 1 < len(given):
            given[i + 1] = _profile(folder, given[i + 1])
    return [sys.executable, "-m", "snakemake", "--snakefile", str(folder / "Snakefile"), *given]


def _profile(folder: Path, name: str) -> str:
    shipped = folder / "profiles" / name
    return str(shipped) if not Path(name).exists() and shipped.is_dir() else name


def environment_for_jobs() -> dict[str, str]:
    """Return the environment in which the rules' ``caiman-pipeline`` is this installation's, activated or not."""
    programs = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": os.pathsep.join([programs, os.environ.get("PATH", os.defpath)])}


def second_pass(arguments: Iterable[str]) -> list[str]:
    """Return the arguments that track cells over the recordings that are done, after a run with ``arguments``."""
    given = list(arguments)
    add = "sessions={recordings: done}"
    if "--config" in given:
        at = given.index("--config") + 1
        return [*given[:at], add, *given[at:], "--until", "sessions"]
    return [*given, "--until", "sessions", "--config", add]


def run_and_follow(arguments: list[str]) -> int:
    """Run the workflow, and after a failure track cells over the recordings that are done; returns the first status.

    Signals reach Snakemake: those of a terminal by themselves, others are handed on.
    """
    with tempfile.TemporaryDirectory() as folder:
        word = Path(folder) / "fields"
        environment = environment_for_jobs() | {SECOND_PASS: str(word)}
        status = _run(snakemake_command(arguments), environment)
        if status > 0 and word.exists():
            print(f"Tracking cells over the recordings that are done: {word.read_text()}", file=sys.stderr)
            _run(snakemake_command(second_pass(arguments)), environment)
    return status


def _run(command: list[str], environment: dict[str, str]) -> int:
    with subprocess.Popen(command, env=environment) as child:
        before = {
            s: signal.signal(s, lambda number, _: child.send_signal(number)) for s in (signal.SIGTERM, signal.SIGHUP)
        }
        before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return child.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
