"""Where the workflow's files are, and what Snakemake is called with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from caiman_pipeline.batch import running
from caiman_pipeline.batch.running import environment_for_jobs, snakemake_command, workflow_folder
from caiman_pipeline.cli import main
from caiman_pipeline.model.errors import PipelineError

ROOT = Path(__file__).parents[3]


def test_a_checkout_runs_its_own_files():
    assert workflow_folder() == ROOT


def test_an_installed_package_runs_the_files_that_it_carries(tmp_path, monkeypatch):
    carried = tmp_path / "site/caiman_pipeline/workflow_files"
    (carried / "workflow/rules").mkdir(parents=True)
    (carried / "Snakefile").touch()
    monkeypatch.setattr(running, "PACKAGE", carried.parent)
    monkeypatch.setattr(running, "INSTALLED", carried)
    assert workflow_folder() == carried


def test_a_package_without_a_workflow_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "PACKAGE", tmp_path / "a")
    monkeypatch.setattr(running, "INSTALLED", tmp_path / "a/workflow_files")
    with pytest.raises(PipelineError, match="Snakefile is missing"):
        workflow_folder()


def test_snakemake_gets_its_arguments_and_this_pythons_interpreter():
    assert snakemake_command(["-n", "--cores", "3"]) == [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "-n",
        "--cores",
        "3",
    ]


@pytest.mark.parametrize("flag", ["--profile", "--workflow-profile"])
def test_profiles_that_come_with_the_workflow_go_by_name(flag, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = str(ROOT / "profiles/slurm")
    assert snakemake_command([flag, "slurm"])[-1] == shipped
    assert snakemake_command([f"{flag}=slurm"])[-1] == f"{flag}={shipped}"
    assert snakemake_command([flag, "/else/where"])[-1] == "/else/where"
    assert snakemake_command([flag])[-1] == flag
    (tmp_path / "slurm").mkdir()
    assert snakemake_command([flag, "slurm"])[-1] == "slurm"


def test_rules_find_the_command_of_this_installation(monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin")
    assert environment_for_jobs()["PATH"] == f"{Path(sys.executable).parent}{os.pathsep}/usr/bin"


@pytest.mark.parametrize("arguments", [["-n"], ["--cores", "2", "-n"], ["--unlock"]])
def test_the_verb_becomes_snakemake_where_nothing_is_computed(arguments, monkeypatch):
    called = []

    def become(program, command, environment):
        called.append((program, command))
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", become)
    with pytest.raises(SystemExit):
        main.run_verb("run", arguments)
    assert called == [(sys.executable, snakemake_command(arguments))]


@pytest.mark.parametrize("arguments", [[], ["all", "--config", "a=1"]])
@pytest.mark.parametrize(
    ("status", "fields", "passes"), [(0, "", 1), (1, "", 1), (1, "m01", 2), (0, "m01", 1), (-15, "m01", 1)]
)
def test_cells_are_tracked_over_what_is_done_after_a_failure(arguments, status, fields, passes, monkeypatch):
    called = []

    def run(command, environment):
        called.append(command)
        if fields:
            Path(environment[running.SECOND_PASS]).write_text(fields)
        return status

    monkeypatch.setattr(running, "_run", run)
    with pytest.raises(SystemExit) as ended:
        main.run_verb("run", arguments)
    assert ended.value.code == (143 if status == -15 else status)
    assert called == [snakemake_command(arguments), snakemake_command(running.second_pass(arguments))][:passes]


def test_help_is_the_verbs_own():
    done = subprocess.run(
        [sys.executable, "-m", "caiman_pipeline.cli.main", "run", "--help"], capture_output=True, text=True, check=True
    )
    assert "Snakemake's own" in done.stdout
