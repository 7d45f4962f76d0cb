"""Fields of the sheet name files and facts, and can do no more: no command, no option, no place outside the results."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from .conftest import FACTS, ROW, Workflow

PROOF = "pwned"
NAMES = (
    "a b.tif",
    "$(touch pwned).tif",
    "`touch pwned`.tif",
    "'; touch pwned; '.tif",
    '"; touch pwned; ".tif',
    "x; touch pwned #.tif",
    "a\nb.tif",
    "{recording}.tif",
    "{wildcards.recording}.tif",
    "-x.tif",
    "--help.tif",
    "a|touch pwned.tif",
    "ü ☃.tif",
    "%s %n.tif",
    "*.tif",
)


@pytest.fixture
def one_stage(workflow: Workflow, movies: Path) -> Workflow:
    """A folder with one small movie under a plain name."""
    shutil.copy(movies / "noise.tif", workflow.folder / "plain.tif")
    return workflow


def _listed(workflow: Workflow) -> set[str]:
    return {str(p.relative_to(workflow.folder)) for p in workflow.folder.rglob("*") if ".snakemake" not in p.parts}


def test_file_names_reach_the_program_as_they_are(one_stage):
    """Each hostile name is a movie of its own; each is inspected under that very name, and nothing else happens."""
    raw = one_stage.folder / "raw"
    raw.mkdir()
    rows = []
    for number, name in enumerate(NAMES):
        place = raw / str(number)
        place.mkdir()
        (place / name).hardlink_to(one_stage.folder / "plain.tif")
        # Line breaks and semicolons cannot be written in a row; a pattern finds them all the same.
        rows.append(f"r{number} raw/{number}/{name.replace(chr(10), '?').replace(';', '?')}")
    one_stage.write_sheet(*rows)
    one_stage.snakemake("--until", "inspect")
    for number, name in enumerate(NAMES):
        info = json.loads((one_stage.folder / f"results/r{number}/inspect/movie_info.json").read_text())
        assert Path(info["files"][0]["path"]).name == name
    assert not list(one_stage.folder.rglob(PROOF))
    assert {path.split("/")[0] for path in _listed(one_stage)} == {"recordings.tsv", "plain.tif", "raw", "results"}


def test_a_name_that_looks_like_an_option_is_a_file(one_stage):
    (one_stage.folder / "plain.tif").rename(one_stage.folder / "--settings.tif")
    one_stage.write_sheet("a --settings.tif")
    one_stage.snakemake("--until", "inspect")
    assert (one_stage.folder / "results/a/inspect/movie_info.json").exists()


FACT = "$(touch pwned)`touch pwned`'; touch pwned; '\"<script>alert(1)</script>{recording}"
TEXT_FACTS = (
    "subject_id",
    "session_description",
    "experimenter",
    "lab",
    "institution",
    "indicator",
    "location",
    "age",
    "species",
    "dataset",
    "axes",
    "sex",
    "session_start",
)


@pytest.mark.parametrize("column", TEXT_FACTS)
def test_facts_are_text_and_never_commands(workflow, column):
    """They are quoted as one word in every command, or refused; a dry run prints what would be run."""
    header = FACTS.replace("\tsubject_id\tsession_start", "") + f"\t{column}"
    (workflow.folder / "m.tif").touch()
    (workflow.folder / "recordings.tsv").write_text(f"{header}\na\tm.tif\t30\t0.45\t9 px\t{FACT}\n")
    output = workflow.snakemake("--dry-run", "--printshellcmds", ok=None)
    assert "Traceback" not in output
    assert not list(workflow.folder.rglob(PROOF))
    quoted = "'\"'\"'; touch pwned; '\"'\"'"
    for line in output.splitlines():
        if "caiman-pipeline " in line and "touch pwned" in line and "error:" not in line:
            assert quoted in line


@pytest.mark.parametrize(
    "name", ["../up", "/etc/x", "a/b", ".hidden", "a b", "$(id)", "-x", "a;b", "a\\b", "", "a" * 101]
)
def test_ids_that_could_leave_the_results_are_refused(workflow, name):
    (workflow.folder / "m.tif").touch()
    (workflow.folder / "recordings.tsv").write_text(FACTS + "\n" + ROW.format(name=name, files="m.tif") + "\n")
    before = _listed(workflow)
    assert "recording id" in workflow.snakemake(ok=False)
    assert _listed(workflow) == before


@pytest.mark.parametrize(
    "config",
    ["motion: !!python/object/apply:os.system ['touch pwned']\n", "motion: !!python/name:os.system\n"],
)
def test_yaml_is_data(workflow, config):
    (workflow.folder / "m.tif").touch()
    workflow.write_sheet("a m.tif")
    (workflow.folder / "c.yaml").write_text(config)
    workflow.snakemake("--configfile", "c.yaml", ok=False)
    assert not list(workflow.folder.rglob(PROOF))


@pytest.mark.parametrize(
    "store", ["s3://b/$(touch pwned)", "s3://b/a b", "s3://b/'; touch pwned; '", "/etc", "http://x/y"]
)
def test_a_movie_store_is_a_plain_url(workflow, store):
    (workflow.folder / "m.tif").touch()
    workflow.write_sheet("a m.tif")
    (workflow.folder / "c.yaml").write_text(f'paths:\n  movie_store: "{store}"\n')
    assert "movie store is a URL" in workflow.snakemake("--configfile", "c.yaml", ok=False)
