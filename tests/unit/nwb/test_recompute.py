"""An NWB file follows from itself, and a file in which anything was changed does not."""

from __future__ import annotations

import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest

from caiman_pipeline.batch.verify import verify_recording
from caiman_pipeline.cli.main import run_verb
from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.config.traces import TraceSettings
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.nwb.recompute import recompute
from caiman_pipeline.nwb.table import write_table
from caiman_pipeline.nwb.write import write_nwb
from caiman_pipeline.outcome import component_table, keep_accepted
from caiman_pipeline.traces.extract import extract_traces
from caiman_pipeline.traces.timing import timing_from

OPHYS = "processing/ophys"


def made_of_its_components(outcome, **changes):
    """Return the outcome with the traces that the stage makes of its components, background with a fast part."""
    settings = TraceSettings(f0_window_s=1.5, **changes)
    components, rng = outcome.components, np.random.default_rng(5)
    components.background.signals[:] = 20 + 8 * rng.standard_normal(components.background.signals.shape)
    components.denoised[3:4, 40:44] = np.nan
    traces = extract_traces(
        components,
        settings,
        timing_from(30.0, 0.4, frames_per_bin=components.frames_per_bin),
        pixel_height=1.0,
        threads=1,
        progress=lambda done, total: None,
    )
    stated = {**settings.model_dump(mode="json"), "recording": {"frame_rate_hz": 30.0, "decay_time_s": 0.4}}
    entry = {**outcome.stages["select"], "section": "traces", "settings": stated}
    return replace(outcome, traces=traces, stages={**outcome.stages, "traces": entry})


@pytest.fixture
def written(make_outcome, saved_outcome, tmp_path):
    """Write a recording's folder as the workflow does; return a function that gives the path of the NWB file."""

    def write(kwargs=None, accepted_only=False, **changes):
        outcome = made_of_its_components(make_outcome(**(kwargs or {})), **changes)
        folder = tmp_path / "mouse1"
        for name, path in saved_outcome(outcome, tmp_path).items():
            place = folder / {"components": "refine"}.get(name, name) / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, place)
        outcome = keep_accepted(outcome) if accepted_only else outcome
        table, path = component_table(outcome, pixel_um=None), folder / "export_nwb/mouse1.nwb"
        path.parent.mkdir()
        write_nwb(path, outcome, table, facts=RecordingSettings())
        write_table(path.with_name("mouse1_components.csv"), table)
        return path

    return write


CASES = {
    "plain": {},
    "accepted alone": {"accepted_only": True},
    "detrended": {"dff_kind": "detrended"},
    "over noise": {"dff_kind": "dff_over_noise"},
    "fast level, other noise": {"f0_fast": True, "noise_average": "median", "event_height": 2.0},
    "volume, binned": {"kwargs": {"dims": (5, 20, 31), "frames_per_bin": 3, "n_frames": 300}},
    "no valid F0": {"dark_level": 200.0},
    "nothing found": {"kwargs": {"n_components": 0}},
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_follows_from_itself_its_table_and_its_results(written, case):
    findings = recompute(written(**CASES[case]))
    assert [f for f in findings if not f.holds] == []
    if case == "plain":
        assert len(findings) == 14


def scale(name, row=2, factor=1.001):
    def change(ophys):
        ophys[name][..., row] *= np.float32(factor)

    return change


def swap(name):
    def change(ophys):
        values = ophys[name][()]
        values[:, [1, 2]] = values[:, [2, 1]]
        ophys[name][...] = values

    return change


def column(name, value):
    def change(ophys):
        ophys[f"ImageSegmentation/PlaneSegmentation/{name}"][1] = value

    return change


CHANGES = {
    "F": (scale("Fluorescence/RoiResponseSeries/data"), "F is Demixed and the slow level"),
    "demixed": (scale("Fluorescence/Demixed/data", factor=1.5), "F is Demixed and the slow level"),
    "background": (scale("Fluorescence/Background/data"), "F is Demixed and the slow level"),
    "F0": (scale("Fluorescence/Baseline/data"), "relative fluorescence is (F - F0) / F0"),
    "DF/F": (scale("DfOverF/RoiResponseSeries/data"), "relative fluorescence is (F - F0) / F0"),
    "rows of DF/F": (swap("DfOverF/RoiResponseSeries/data"), "relative fluorescence is (F - F0) / F0"),
    "noise": (column("noise", 7.0), "column noise"),
    "events": (column("events_per_min", 99.0), "column events_per_min"),
    "centroid": (column("ROICentroids", (3.0, 4.0)), "centroids"),
    "selection": (column("Accepted", True), "components are accepted or rejected"),
    "size": (column("size_px", 5.0), "mouse1_components.csv"),
    "reason": (column("reason", "nice"), "mouse1_components.csv"),
    "denoised DF/F": (scale("DfOverF/DfOverFDenoised/data"), "traces.h5 and components.h5"),
    "activity": (scale("Fluorescence/Deconvolved/data", factor=-1.0), "Deconvolved is not negative"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_changed_is_found(written, name):
    path = written()
    change, what = CHANGES[name]
    with h5py.File(path, "r+") as file:
        change(file[OPHYS])
    wrong = [f.what for f in recompute(path) if not f.holds]
    assert any(what in w for w in wrong), wrong


def test_the_file_alone_is_enough_and_the_verb_says_what_does_not_hold(written, tmp_path, capsys):
    alone = tmp_path / "sent.nwb"
    shutil.copy(written(), alone)
    run_verb("verify-nwb", [str(alone)])
    assert "ok, 12 comparisons" in capsys.readouterr().out
    with h5py.File(alone, "r+") as file:
        scale("Fluorescence/Baseline/data")(file[OPHYS])
    with pytest.raises(PipelineError, match="problem"):
        run_verb("verify-nwb", [str(alone)])
    assert "NO  relative fluorescence is (F - F0) / F0" in capsys.readouterr().out
    with h5py.File(alone, "r+") as file:
        del file[f"{OPHYS}/Fluorescence/Demixed"]
    with pytest.raises(PipelineError, match=r"sent\.nwb: lacks"):
        recompute(alone)


@pytest.mark.parametrize(
    "damage",
    [lambda t: t[: len(t) // 2], lambda t: t.replace("true", "1.5x"), lambda t: "a,b\n1,2\n", lambda t: t + "7\n"],
    ids=["cut", "other words", "another table", "half a row more"],
)
def test_a_table_beside_that_is_no_table_does_not_hold(written, damage):
    path = written()
    beside = path.with_name("mouse1_components.csv")
    beside.write_text(damage(beside.read_text(encoding="utf-8")), encoding="utf-8")
    assert [f.what for f in recompute(path) if not f.holds] == ["mouse1_components.csv holds the same"]


def test_a_folder_is_verified_with_the_nwb_file_that_was_made_of_it(written):
    """A file that was changed, or left from before, is told of by ``verify --checksums``."""
    path = written()

    def problems():
        return [f.problem for f in verify_recording(path.parents[1], checksums=True).findings if f.path == path]

    assert problems() == []
    with h5py.File(path, "r+") as file:
        scale("Fluorescence/Denoised/data")(file[OPHYS])
    (problem,) = problems()
    assert problem.startswith("does not hold: series and masks are those of traces.h5")
    with h5py.File(path, "r+") as file:
        del file["general/data_collection"]
    (problem,) = problems()
    assert problem.startswith("`general/data_collection` does not say how its results were made, as files of this")
    assert problem.endswith("run the workflow again.")
