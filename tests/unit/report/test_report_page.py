from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from caiman_pipeline.batch.job_records import read_records
from caiman_pipeline.cli import report as report_verb
from caiman_pipeline.cli.main import run_verb
from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.config.report import ReportSettings
from caiman_pipeline.report import figures
from caiman_pipeline.report.page import build_page, collect_warnings, why_empty

VOID = {"meta", "input", "img", "br", "hr", "link"}


class Balance(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.problems = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(tag)


def page_of(outcome):
    facts = RecordingSettings(pixel_size_um=1.5, subject_id="m7")
    means = np.linspace(100, 90, outcome.info.n_frames)
    return build_page(outcome, means, facts=facts, settings=ReportSettings())


def with_motion(outcome):
    left_out = (np.arange(outcome.info.n_frames) == 5).astype(np.uint8)
    return replace(outcome, motion=replace(outcome.motion, left_out=left_out))


CASES = {
    "plane": {},
    "volume": {"dims": (5, 20, 31)},
    "deep volume": {"dims": (30, 20, 31)},
    "detrended": {"dff_kind": "detrended"},
    "nothing found": {"n_components": 0},
    "nothing found in a volume": {"n_components": 0, "dims": (5, 20, 31)},
    "one": {"n_components": 1},
    "two frames": {"n_frames": 2},
    "binned": {"frames_per_bin": 3},
}


@pytest.mark.parametrize("kwargs", CASES.values(), ids=CASES.keys())
def test_page_is_well_formed_and_needs_no_other_file(make_outcome, kwargs):
    html = page_of(with_motion(make_outcome(**kwargs))).html
    parser = Balance()
    parser.feed(html)
    assert parser.problems == []
    assert parser.open == []
    sources = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert sources
    assert all(s.startswith(("data:", "#")) for s in sources)
    assert "@import" not in html
    assert "nan" not in re.sub(r'"data:[^"]*"|<script.*?</script>', "", html, flags=re.S).lower()


def test_page_shows_each_component_once_in_its_group(make_outcome):
    outcome = make_outcome()
    html = page_of(outcome).html
    accepted = re.search(r'<g class="accepted">(.*?)</g>', html)[1]
    rejected = re.search(r'<g class="rejected">(.*?)</g>', html)[1]
    assert [int(k) for k in re.findall(r'data-k="(\d+)"', accepted)] == np.flatnonzero(
        outcome.selection.accepted
    ).tolist()
    assert [int(k) for k in re.findall(r'data-k="(\d+)"', rejected)] == np.flatnonzero(
        ~outcome.selection.accepted
    ).tolist()
    data = json.loads(re.search(r'id="data">(.*?)</script>', html, re.S)[1])
    assert [row[0] for row in data["components"]] == outcome.components.ids.tolist()


def test_page_says_why_there_is_no_cell(make_outcome):
    nothing = make_outcome(n_components=0)
    assert why_empty(nothing).startswith("no component was found; peak-to-noise: highest 1.0")
    outcome = make_outcome()
    none = replace(
        outcome,
        selection=replace(
            outcome.selection, accepted=np.zeros(7, bool), reasons=("snr below 4; too small",) + ("snr below 4",) * 6
        ),
    )
    assert why_empty(none) == "none of 7 components was accepted, mostly: snr below 4"
    assert "none of 7 components" in page_of(none).html
    assert why_empty(outcome) == ""


def test_texts_from_outside_cannot_become_markup(make_outcome):
    outcome = make_outcome()
    evil = "<script>alert(1)</script>"
    outcome = replace(
        outcome,
        info=replace(outcome.info, warnings=(evil,), files=(replace(outcome.info.files[0], path=f"/raw/{evil}.tif"),)),
        selection=replace(outcome.selection, reasons=(evil,) * 7),
    )
    assert "<script>alert" not in page_of(outcome).html


def entry(section, settings=None, warnings=()):
    return {"section": section, "settings": settings or {}, "version": "1.2", "commit": "abc", "warnings": [*warnings]}


def test_warnings_of_all_stages_are_shown_once(make_outcome):
    outcome = make_outcome()
    text = outcome.info.warnings[0]
    stages = {
        "memmap_join": entry("motion", warnings=["too far", "too long"]),
        "inspect": entry("inspect", warnings=[text]),
        "motion_correct": entry("motion", warnings=["too far"]),
    }
    expected = [f"inspect: {text}", "motion_correct: too far", "memmap_join: too far", "memmap_join: too long"]
    assert collect_warnings(replace(outcome, stages=stages)) == expected
    assert collect_warnings(replace(outcome, stages={})) == [f"inspect: {text}"]


def test_accepted_cells_without_dff_are_a_warning(make_outcome, saved_outcome, tmp_path):
    outcome = make_outcome()
    dff, flags = outcome.traces.dff.copy(), [""] * 7
    for row in (0, 4, 5):
        flags[row] = "gap f0_invalid"
        dff[row, : 130 if row == 4 else 20] = np.nan
    found = replace(outcome, traces=replace(outcome.traces, dff=dff, flags=tuple(flags)))
    whole, part = collect_warnings(found)[1:]
    assert whole.startswith("traces: accepted cells with no DF/F: 1 (id 14). F0 is not above the noise")
    assert part.startswith("traces: accepted cells with no DF/F in some frames: 1 (id 17). ")
    html = run_report(saved_outcome(with_motion(found), tmp_path), tmp_path)
    assert len(json.loads((tmp_path / "o.json").read_text())["warnings"]) == 3
    assert "accepted cells with no DF/F in some frames: 1" in html
    assert [len(r.warnings) for r in read_records(tmp_path / "logs")] == [2], "the summary counts what jobs warn of"


def test_settings_of_stages_that_share_them_are_listed_once(make_outcome):
    motion = entry("motion", {"max_shift": "12 px", "recording": {"frame_rate_hz": 30}})
    html = page_of(replace(make_outcome(), stages={"memmap_join": motion, "motion_template": motion})).html
    assert html.count("12 px") == 1
    assert "motion_template, memmap_join" in html
    assert "Made by caiman_pipeline 1.2 abc." in html


def test_settings_are_those_that_were_used_each_under_its_whole_name(make_outcome):
    """Keys of inner sections stand beside those of outer ones that have the same name."""
    inner = {"background": {"components": 2}, "seeded": {"file": "/home/jane/m.npz"}}
    settings = {"components": "evidence", "grow": 0.2, **inner}
    html = page_of(replace(make_outcome(), stages={"patch_cnmf": entry("patch_cnmf", settings)})).html
    shown = dict(re.findall(r"<tr><th>([\w.]+)</th><td>([^<]*)</td></tr>", html[html.index("<h3>Settings") :]))
    assert shown == {"components": "evidence", "grow": "0.2", "background.components": "2", "seeded.file": "m.npz"}


def test_page_names_no_folder_of_the_machine(make_outcome):
    outcome = make_outcome()
    file = replace(outcome.info.files[0], path="/home/jane/raw/movie one.tif")
    texts = ("/home/jane/raw/movie one.tif: frames are dark", "masks of /home/jane/masks.tif do not fit")
    stages = {"inspect": entry("inspect", warnings=texts)}
    page = page_of(replace(outcome, info=replace(outcome.info, files=(file,), warnings=texts), stages=stages))
    html = page.html
    assert "movie one.tif" in html
    assert page.overview["warnings"] == [
        "inspect: movie one.tif: frames are dark",
        "inspect: masks of masks.tif do not fit",
    ]
    assert "jane" not in html


def test_reasons_are_counted_each():
    assert figures.reason_counts(["a; b", "b", ""]) == [("b", 2), ("a", 1)]


def test_shaded_region_is_where_the_selection_accepts(make_outcome):
    from caiman_pipeline.quality.accept import Thresholds, select

    settings = {"min_snr": 2.5, "snr_lowest": 0.5, "min_r_value": 0.8, "r_value_lowest": 0.3}
    corners = figures.acceptance_region(settings, 10.0)
    snr, r = (g.ravel() for g in np.meshgrid(np.linspace(0.05, 9.95, 67), np.linspace(0.011, 0.991, 51)))
    quality = replace(make_outcome(n_components=len(snr), n_frames=2).quality, snr=snr, r_value=r)
    unused = dict.fromkeys(set(Thresholds.__dataclass_fields__) - {*settings, "soma_score_lowest"})
    limits = Thresholds(**settings, **unused, soma_score_lowest=0.0)
    accepted = select(quality, limits).accepted
    inside = np.zeros(len(snr), bool)
    for (x0, y0), (_, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 != y1:
            between = (r >= min(y0, y1)) & (r < max(y0, y1))
            inside ^= between & (snr >= x0)
    np.testing.assert_array_equal(inside, accepted)
    assert figures.acceptance_region({}, 10.0).shape == (0, 2)


def test_quality_is_drawn_by_what_decides(make_outcome):
    outcome = make_outcome(n_components=5, n_frames=30)
    probability = np.array([0.1, 0.4, 0.6, 0.9, np.nan], np.float32)
    quality = replace(outcome.quality, probability=probability)
    rules = {"min_snr": 2.5, "snr_lowest": 0.5, "min_r_value": 0.8, "r_value_lowest": 0.3, "min_probability": 0.5}
    for change, name in (
        ({}, "probability of a cell"),
        ({"min_probability": None}, "spatial correlation"),
        ({"use_classifier": False}, "spatial correlation"),
    ):
        made_with = {"select": {**outcome.stages["select"], "settings": {**rules, **change}}}
        drawn = replace(outcome, quality=quality, stages=made_with)
        assert name in figures.quality_chart(drawn)
    corners = figures.probability_region(rules, 20.0)
    assert corners[:, 1].tolist() == [0.5, 0.5, 1.0, 1.0]
    assert (corners[:, 0].min(), corners[:, 0].max()) == (0.5, 20.0)


def test_motion_numbers_say_direction_and_gain(make_outcome):
    outcome = make_outcome(n_frames=50)
    rigid = np.zeros((50, 2), np.float32)
    rigid[10] = (3, -5)
    outcome = replace(outcome, shifts=replace(outcome.shifts, rigid=rigid))
    numbers = dict(figures.motion_numbers(outcome))
    assert numbers["range along y (rows)"] == "+0.0 to +3.0 px"
    assert numbers["range along x (columns)"] == "-5.0 to +0.0 px"
    assert numbers["correlation with the template"] == "median 0.500 before, 0.750 after"
    assert numbers["crispness of the mean image"] == "+100% by correction"


def test_local_deviation_is_the_distance_from_the_rigid_part(make_outcome):
    outcome = make_outcome(n_frames=4)
    rigid = outcome.shifts.rigid
    field = np.repeat(rigid[:, None, None], 6, axis=1).reshape(4, 2, 3, 2).copy()
    field[2, 1, 0] += (3, 4)
    shifts = replace(outcome.shifts, field=field, grid=(np.arange(2.0), np.arange(3.0)))
    np.testing.assert_allclose(figures.local_deviation(replace(outcome, shifts=shifts)), [0, 0, 5, 0], atol=1e-6)
    assert "largest local" in figures.motion_charts(replace(outcome, shifts=shifts))


def test_thumbnail_is_small_and_has_both_colours(make_outcome):
    outcome = make_outcome()
    picture = page_of(outcome).thumbnail
    assert max(picture.shape[:2]) == 240
    assert picture.shape[1] > picture.shape[0]
    amber = (picture[..., 2] > 200) & (picture[..., 0] < 80)
    blue = (picture[..., 0] > 200) & (picture[..., 2] < 140)
    assert amber.any()
    assert blue.any()


def run_report(paths, folder, **settings):
    """Run the verb on saved results; return the page."""
    arguments = [part for n, path in paths.items() for part in (f"--{n.replace('_', '-')}", str(path))]
    run_verb(
        "report",
        [
            *arguments,
            "--report",
            str(folder / "o.html"),
            "--thumbnail",
            str(folder / "o.jpg"),
            "--overview",
            str(folder / "o.json"),
            "--log",
            str(folder / "logs/report.log"),
            "--settings",
            json.dumps({**settings, "recording": {"frame_rate_hz": 30}}),
        ],
    )
    return (folder / "o.html").read_text()


def test_verb_writes_page_thumbnail_and_overview(make_outcome, saved_outcome, tmp_path):
    outcome = with_motion(make_outcome())
    html = run_report(saved_outcome(outcome, tmp_path), tmp_path)
    assert html == run_report(saved_outcome(outcome, tmp_path), tmp_path)
    assert len(html) < 3e6
    assert (tmp_path / "o.jpg").read_bytes()[:2] == b"\xff\xd8"
    overview = json.loads((tmp_path / "o.json").read_text())
    assert (overview["found"], overview["accepted"], overview["reason"]) == (7, outcome.n_accepted, "")


@pytest.mark.parametrize(
    "settings", [{}, {"max_traces": 1}, {"max_gallery": 1}, {"max_accepted_gallery": 1}, {"contour_level": 0.6}]
)
def test_every_key_changes_the_page(make_outcome, saved_outcome, tmp_path, settings):
    assert set(ReportSettings.model_fields) == {"max_traces", "max_gallery", "max_accepted_gallery", "contour_level"}
    paths = saved_outcome(with_motion(make_outcome()), tmp_path)
    pages = [run_report(paths, tmp_path, **values).split('id="processing"')[0] for values in ({}, settings)]
    assert (pages[0] != pages[1]) == bool(settings)


def test_the_verb_declares_what_the_rule_passes():
    parser = argparse.ArgumentParser()
    report_verb.add_arguments(parser)
    rule = (Path(__file__).parents[3] / "workflow/rules/report.smk").read_text()
    flags = {word for word in rule.replace('"', " ").split() if word.startswith("--")}
    assert flags == {o for a in parser._actions for o in a.option_strings if o.startswith("--")} - {"--help"}
