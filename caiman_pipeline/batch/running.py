"""Where the workflow's files are, and Snakemake's command line for them."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from caiman_pipeline.model.errors import PipelineError

PACKAGE = Path(__file__).parents[1]
# Where a wheel keeps what lies at the top of a checkout; named in pyproject.toml too.
INSTALLED = PACKAGE / "workflow_files"


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
