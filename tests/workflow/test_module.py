"""The workflow as a module of another one: a host with a config of its own, twice, with rules changed, elsewhere."""

from __future__ import annotations

import csv
import re
import subprocess
from pathlib import Path

import pytest

from .conftest import BIN, ROOT, Workflow, simulate

SIZE = ("--frames", "400", "--dims", "64x80", "--n-cells", "6", "--cell-diameter-px", "9")
# Two instances with the same recording: one below a prefix, one in a results folder that its config names.
HOST = f"""\
configfile: "config/config.yaml"


module left:
    snakefile:
        "{ROOT}/Snakefile"
    config:
        config["left"]
    prefix:
        "below/here"


use rule * from left as left_*


use rule refine from left as left_refine with:
    threads: 2
    priority: 5


module right:
    snakefile:
        "{ROOT}/Snakefile"
    config:
        config["right"]


use rule * from right as right_*


rule count:
    input:
        "below/here/results/m/export_nwb/m_components.csv",
        "results of right/m/export_nwb/m_components.csv",
    output:
        "counted.txt",
    shell:
        "wc -l {{input:q}} > {{output}}"


rule all:
    default_target: True
    input:
        rules.left_all.input,
        rules.right_all.input,
        "counted.txt",
"""
HOST_CONFIG = """\
laboratory: {of: mice, animals: 3}
left:
  paths: {recordings: recordings.tsv}
right:
  paths: {recordings: recordings.tsv, results: results of right}
  select: {min_snr: 3.0}
"""


class Host(Workflow):
    """A folder with a workflow that has ours as a module."""

    def write(self, text: str, config: str) -> None:
        (self.folder / "Snakefile").write_text(text)
        (self.folder / "config").mkdir(exist_ok=True)
        (self.folder / "config/config.yaml").write_text(config)

    def run(self, *arguments: str, ok: bool = True) -> str:
        command = [BIN / "snakemake", "--cores", "2", *arguments]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert (done.returncode == 0) == ok, done.stdout[-3000:] + done.stderr[-5000:]
        return done.stdout + done.stderr


def _states(results: Path) -> dict[str, str]:
    with (results / "summary.tsv").open() as file:
        return {row["recording"]: row["state"] for row in csv.DictReader(file, delimiter="\t")}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A host that ran once, with a raw movie below its own folder."""
    host = Host(tmp_path_factory.mktemp("host"))
    simulate(host.folder / "raw/m.tif", *SIZE)
    host.write_sheet("m raw/m.tif")
    host.write(HOST, HOST_CONFIG)
    host.run("--dry-run")
    assert not list(host.folder.rglob("summary.tsv")), "a dry run is no run"
    host.run()
    return host


def test_each_instance_writes_where_its_host_says(host):
    for results in ("below/here/results", "results of right"):
        folder = host.folder / results / "m"
        assert (folder / "export_nwb/m.nwb").stat().st_size > 10_000
        assert (folder / "logs/refine.log").exists()
        assert (folder / "benchmarks/refine.tsv").exists()
    assert {p.name for p in host.folder.iterdir()} == {
        *("Snakefile", "config", "recordings.tsv", "raw", ".snakemake"),
        *("below", "results of right", "counted.txt"),
    }


def test_each_instance_has_a_summary_though_handlers_of_modules_are_not_called(host):
    assert _states(host.folder / "below/here/results") == {"m": "ok"}
    assert _states(host.folder / "results of right") == {"m": "ok"}


def test_a_rule_of_the_host_reads_results(host):
    assert len((host.folder / "counted.txt").read_text().splitlines()) == 3


def test_memory_is_predicted_from_the_recording_below_the_prefix(host):
    """Before `inspect` has run it can only be guessed, for a large field."""
    planned = host.run("--dry-run", "--forcerun", "left_refine", "right_refine")
    asked = {m[1]: m[2] for m in re.finditer(r"rule (\w+_refine):.*?mem_mb=(\d+)", planned, re.S)}
    assert asked["left_refine"] == asked["right_refine"]


def test_a_second_run_has_nothing_to_do(host):
    assert "Nothing to be done" in host.run()


def test_a_failure_is_told_in_the_summary_of_its_instance(host):
    (host.folder / "two.tsv").write_text(
        (host.folder / "recordings.tsv").read_text().replace("raw/m.tif", "raw/no.tif")
    )
    host.write(HOST, HOST_CONFIG.replace("recordings.tsv, results", "two.tsv, results"))
    host.run("--keep-going", ok=False)
    assert _states(host.folder / "results of right") == {"m": "failed"}
    assert _states(host.folder / "below/here/results") == {"m": "ok"}


def test_a_host_that_hands_over_keys_of_its_own_is_told_which(workflow):
    host = Host(workflow.folder)
    host.write(HOST, HOST_CONFIG.replace("  select: {min_snr: 3.0}", "  colour: {of: mice}"))
    host.write_sheet("m raw/m.tif")
    assert "unknown key `colour`" in host.run("--dry-run", ok=False)


def test_a_module_without_config_reads_the_folders_unless_the_host_does(workflow):
    host = Host(workflow.folder)
    text = f'module ours:\n    snakefile: "{ROOT}/Snakefile"\n\n\nuse rule * from ours\n'
    simulate(host.folder / "raw/m.tif", *SIZE)
    host.write_sheet("m raw/m.tif")
    host.write(text, "paths: {recordings: recordings.tsv, results: found}\n")
    assert "found/m/inspect/movie_info.json" in host.run("--dry-run")
    host.write(f'configfile: "config/config.yaml"\n{text}', "laboratory: {of: mice}\n")
    (host.folder / "recordings.tsv").rename(host.folder / "config/recordings.tsv")
    assert "results/m/inspect/movie_info.json" in host.run("--dry-run")
