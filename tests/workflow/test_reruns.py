"""A second run does nothing; a changed setting runs its stage and what follows, nothing before."""

from __future__ import annotations

import os

import pytest

from .conftest import STAGES

AFTER = {
    "select={min_snr: 9.5}": ("select", "export_nwb", "report"),
    "motion={max_shift: 7 px}": STAGES[1:],
    "motion={interpolation: fourier}": STAGES[2:],
    "motion={flag_deviations: 9}": STAGES[3:],
    "summary_images={average_s: 0.25}": STAGES[4:],
    "inspect={min_frames: 77}": STAGES,
}


def _times(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and "logs" not in p.parts}


def test_a_second_run_does_nothing(batch):
    workflow, _ = batch
    before = _times(workflow.folder / "results/good")
    output = workflow.snakemake(sheet="good.tsv")
    assert "Nothing to be done" in output
    assert _times(workflow.folder / "results/good") == before


@pytest.mark.parametrize(("change", "stages"), AFTER.items())
def test_a_changed_setting_runs_what_depends_on_it(batch, change, stages):
    workflow, _ = batch
    assert workflow.planned("--config", change, sheet="good.tsv") == dict.fromkeys(stages, 1)


def test_a_setting_of_one_recording_does_not_concern_the_others(batch):
    workflow, _ = batch
    text = (workflow.folder / "recordings.tsv").read_text().splitlines()
    rows = [text[0] + "\tselect.min_snr", text[1] + "\t9.5", text[2]]
    (workflow.folder / "own.tsv").write_text("\n".join(rows))
    try:
        assert workflow.planned(sheet="own.tsv") == dict.fromkeys(("select", "export_nwb", "report"), 1)
    finally:
        (workflow.folder / "own.tsv").unlink()


def test_facts_for_the_nwb_file_concern_only_the_nwb_file(batch):
    workflow, _ = batch
    assert workflow.planned("--config", "recording={lab: Another}", sheet="good.tsv") == {"export_nwb": 1}


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ("recording={pixel_size_um: 1.3}", ("export_nwb", "report")),
        ("summary_images={average_s: 0.14}", ()),
        ("motion={max_shift: 20.0 px, smoothing_s: 0.51}", ()),
        ("recording={pixel_size_um: 1.3} motion={max_shift: 26 um}", ("export_nwb", "report")),
        ("recording={pixel_size_um: 2.6 x 1.3}", STAGES[1:]),
    ],
)
def test_settings_that_come_to_the_same_frames_and_pixels_are_the_same(batch, change, stages):
    """The cell is given in pixels: of square pixels of any size it has as many, of others not."""
    workflow, _ = batch
    given = change.replace("} ", "}|").split("|")
    assert workflow.planned("--config", *given, sheet="good.tsv") == dict.fromkeys(stages, 1)


def test_cores_and_quiet_change_nothing(batch):
    workflow, _ = batch
    assert workflow.planned("--cores", "1", sheet="good.tsv") == {}


def test_a_changed_threshold_changes_the_selection_alone_and_back(batch):
    """Really run it, and come back to the same results."""
    workflow, _ = batch
    folder = workflow.folder / "results/good"
    table = folder / "export_nwb/good_components.csv"
    before, accepted = _times(folder), table.read_text()
    workflow.snakemake("--config", "select={min_probability: 1}", sheet="good.tsv")
    changed = {p.relative_to(folder).parts[0] for p, t in _times(folder).items() if before.get(p) != t}
    assert changed - {"benchmarks"} == {"select", "export_nwb", "report"}
    assert table.read_text() != accepted
    workflow.snakemake(sheet="good.tsv")
    assert table.read_text() == accepted


@pytest.fixture
def raw(movies):
    """The raw file of the good recording; whatever a test does to it is undone."""
    path = movies / "good 1.tif"
    status, content = path.stat(), path.read_bytes()
    yield path
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_raw_file_with_a_newer_time_stamp_runs_its_recording_anew(batch, raw):
    """Whether its bytes changed or not, as docs/workflow.md says."""
    workflow, _ = batch
    os.utime(raw)
    assert workflow.planned(sheet="good.tsv") == dict.fromkeys(STAGES, 1)


def test_changed_bytes_with_the_old_time_stamp_are_not_noticed(batch, raw):
    """As docs/workflow.md says."""
    workflow, _ = batch
    times = raw.stat()
    raw.write_bytes(raw.read_bytes()[:-2] + b"\x01\x02")
    os.utime(raw, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert workflow.planned(sheet="good.tsv") == {}


def test_the_raw_file_as_it_was_is_nothing_new(batch):
    workflow, _ = batch
    assert workflow.planned(sheet="good.tsv") == {}


def test_a_recording_whose_raw_file_was_away_for_a_while_is_whole_again(batch, raw):
    """A disk that was not mounted: what failed is made anew, though the last results were never gone."""
    workflow, _ = batch
    states = workflow.folder / "results/summary.tsv"
    times, away = raw.stat(), raw.with_suffix(".away")
    raw.rename(away)
    try:
        output = workflow.snakemake(sheet="good.tsv", ok=False)
        assert "good, inspect" in output
        assert (workflow.folder / "results/good/export_nwb/good.nwb").exists()
    finally:
        away.rename(raw)
        os.utime(raw, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert "1 recordings: 1 ok" in workflow.snakemake(sheet="good.tsv")
    assert "failed" not in states.read_text()
    assert workflow.planned(sheet="good.tsv") == {}


def test_decisions_that_cannot_be_applied_fail_each_run_until_they_are_mended(batch):
    """The last selection stays in place meanwhile, and is known to be old."""
    workflow, _ = batch
    selection = workflow.folder / "results/good/select/selection.h5"
    before, table = selection.read_bytes(), workflow.folder / "decisions.csv"
    settings = ("--config", "select={curation: decisions.csv}")
    table.write_text("id\tdecision\n3\taccept\n")
    try:
        for _ in range(2):
            assert "needs the columns roi_id and keep" in workflow.snakemake(*settings, sheet="good.tsv", ok=False)
            assert selection.read_bytes() == before
        table.write_text("roi_id,keep\n1,1\n")
        workflow.snakemake(*settings, sheet="good.tsv")
        assert selection.read_bytes() != before
        assert workflow.planned(*settings, sheet="good.tsv") == {}
    finally:
        table.unlink()
        workflow.snakemake(sheet="good.tsv")
