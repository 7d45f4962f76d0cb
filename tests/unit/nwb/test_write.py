from __future__ import annotations

import csv
import json
import warnings
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import h5py
import numpy as np
import pytest

from caiman_pipeline.cli import export_nwb
from caiman_pipeline.cli.main import run_verb
from caiman_pipeline.config.export import ExportSettings
from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.config.traces import TraceSettings
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.nwb.table import write_table
from caiman_pipeline.nwb.write import write_nwb
from caiman_pipeline.outcome import centroids, component_table, keep_accepted, load_outcome

FACTS = RecordingSettings(pixel_size_um=1.5, indicator="GCaMP6f")


def export(outcome, path, facts=FACTS):
    table = component_table(outcome, pixel_um=facts.pixel_um())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_nwb(path, outcome, table, facts=facts)
    return table


def extractor(path):
    roiextractors = pytest.importorskip("roiextractors")
    return roiextractors.NwbSegmentationExtractor(str(path))


def test_roiextractors_reads_masks_traces_and_flags_of_a_non_square_recording(make_outcome, tmp_path):
    outcome = make_outcome()
    export(outcome, tmp_path / "a.nwb")
    seen = extractor(tmp_path / "a.nwb")
    components, traces = outcome.components, outcome.traces
    assert seen.get_frame_shape() == (37, 53)
    assert seen.get_roi_ids() == components.ids.tolist()
    masks = np.asarray(seen.get_roi_image_masks())
    np.testing.assert_array_equal(masks.reshape(-1, 7), components.footprints.toarray())
    read = {name: np.asarray(values[:]) for name, values in seen.get_traces_dict().items() if values is not None}
    expected = {
        "raw": traces.fluorescence,
        "denoised": traces.denoised,
        "dff": traces.dff,
        "deconvolved": traces.deconvolved,
        "baseline": traces.f0,
        "background": traces.background,
    }
    assert set(read) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(read[name], values.T, err_msg=name)
    accepted = seen.get_property("accepted", seen.get_roi_ids())
    np.testing.assert_array_equal(accepted, outcome.selection.accepted)
    np.testing.assert_array_equal(seen.get_property("rejected", seen.get_roi_ids()), ~outcome.selection.accepted)
    np.testing.assert_allclose(seen.get_property("roi_centroids", seen.get_roi_ids()), centroids(components))
    np.testing.assert_array_equal(seen.get_images_dict()["correlation"], outcome.images["correlation"])
    assert seen.get_sampling_frequency() == 30.0


@pytest.mark.parametrize("kwargs", [{}, {"dims": (5, 20, 31)}, {"dff_kind": "detrended"}, {"frames_per_bin": 3}])
def test_inspector_and_validator_find_nothing_serious(make_outcome, tmp_path, kwargs):
    nwbinspector, pynwb = pytest.importorskip("nwbinspector"), pytest.importorskip("pynwb")
    path = tmp_path / "a.nwb"
    subject = RecordingSettings(pixel_size_um=1.5, subject_id="z1", species="Danio rerio", age="P6D")
    export(make_outcome(**kwargs), path, subject)
    assert pynwb.validate(path=str(path)) == []
    found = list(nwbinspector.inspect_nwbfile(nwbfile_path=str(path)))
    serious = [m for m in found if m.importance.name != "BEST_PRACTICE_SUGGESTION"]
    assert serious == []


def test_volume_has_masks_in_the_order_x_y_z_and_images_per_plane(make_outcome, tmp_path):
    outcome = make_outcome(dims=(5, 20, 31))
    facts = RecordingSettings(pixel_size_um=1.5, plane_spacing_um=20)
    export(outcome, tmp_path / "a.nwb", facts)
    with h5py.File(tmp_path / "a.nwb") as file:
        plane = file["processing/ophys/ImageSegmentation/PlaneSegmentation"]
        assert plane["image_mask"].shape == (7, 31, 20, 5)
        dense = outcome.components.footprints.toarray().T.reshape(7, 5, 20, 31)
        np.testing.assert_array_equal(plane["image_mask"][()].transpose(0, 3, 2, 1), dense)
        np.testing.assert_allclose(plane["ROICentroids"][()], centroids(outcome.components)[:, ::-1])
        images = file["processing/ophys/SegmentationImages"]
        np.testing.assert_array_equal(images["mean_plane_003"][()], outcome.images["mean"][3].T)
        spacing = file["general/optophysiology/ImagingPlane/grid_spacing"][()]
        np.testing.assert_allclose(spacing, [1.5, 1.5, 20])
        np.testing.assert_array_equal(file["processing/ophys/MotionShifts/data"][()], outcome.shifts.rigid[:, ::-1])


def test_soma_scores_have_no_column_where_the_classifier_was_not_run(make_outcome):
    outcome = make_outcome()
    assert "soma_score" in component_table(outcome, pixel_um=None)
    unscored = replace(outcome.quality, soma_score=np.full_like(outcome.quality.soma_score, np.nan))
    assert "soma_score" not in component_table(replace(outcome, quality=unscored), pixel_um=None)


@pytest.mark.parametrize("dims", [(37, 53), (5, 20, 31)])
def test_recording_without_components_gives_a_valid_file_and_a_table_with_header(make_outcome, tmp_path, dims):
    pynwb = pytest.importorskip("pynwb")
    table = export(make_outcome(dims=dims, n_components=0), tmp_path / "a.nwb")
    assert pynwb.validate(path=str(tmp_path / "a.nwb")) == []
    write_table(tmp_path / "a.csv", table)
    header, *rows = (tmp_path / "a.csv").read_text().splitlines()
    measures = "snr,r_value,soma_score,probability,size_px,elongation,border_share,saturated_share,likeness,nesting"
    assert header.startswith(f"id,accepted,reason,{measures},motion_share,x_px,y_px")
    assert rows == []


def test_roiextractors_opens_a_recording_without_components(make_outcome, tmp_path):
    export(make_outcome(n_components=0), tmp_path / "a.nwb")
    seen = extractor(tmp_path / "a.nwb")
    assert seen.get_num_rois() == 0
    assert seen.get_frame_shape() == (37, 53)


def test_what_is_not_dff_is_not_called_so(make_outcome, tmp_path):
    outcome = make_outcome(dff_kind="detrended")
    export(outcome, tmp_path / "a.nwb")
    with h5py.File(tmp_path / "a.nwb") as file:
        ophys = file["processing/ophys"]
        assert "DfOverF" not in ophys
        np.testing.assert_array_equal(ophys["Fluorescence/Detrended/data"][()], outcome.traces.dff.T)
        np.testing.assert_array_equal(ophys["Fluorescence/DetrendedDenoised/data"][()], outcome.traces.dff_denoised.T)
        assert "no DF/F" in ophys["Fluorescence/Detrended"].attrs["description"]
    over_noise = make_outcome(dff_kind="dff_over_noise")
    export(over_noise, tmp_path / "b.nwb")
    with h5py.File(tmp_path / "b.nwb") as file:
        np.testing.assert_array_equal(file["processing/ophys/Fluorescence/OverNoise/data"][()], over_noise.traces.dff.T)


def test_dff_follows_from_the_files_own_series(make_outcome, tmp_path):
    outcome = make_outcome()
    outcome.traces.f0[2, 30:60] = np.nan
    export(outcome, tmp_path / "a.nwb")
    with h5py.File(tmp_path / "a.nwb") as file:
        series = {name: item["data"][()] for name, item in file["processing/ophys/Fluorescence"].items()}
        relative = {name: item["data"][()] for name, item in file["processing/ophys/DfOverF"].items()}
    demixed = outcome.components.denoised + outcome.components.residual
    np.testing.assert_array_equal(series["Demixed"], demixed.T)
    np.testing.assert_array_equal(series["Background"], outcome.traces.background.T)
    f, f0 = series["RoiResponseSeries"], series["Baseline"]
    np.testing.assert_array_equal(relative["RoiResponseSeries"][:, 0], ((f - f0) / f0)[:, 0])
    assert np.isnan(f0[30:60, 2]).all()
    np.testing.assert_array_equal(relative["DfOverFDenoised"], outcome.traces.dff_denoised.T)


def test_every_series_states_its_unit_and_rate_and_none_is_called_neuropil(make_outcome, tmp_path):
    export(make_outcome(frames_per_bin=3), tmp_path / "a.nwb")
    with h5py.File(tmp_path / "a.nwb") as file:
        fluorescence = file["processing/ophys/Fluorescence"]
        relative = file["processing/ophys/DfOverF"]
        assert set(fluorescence) == {
            "RoiResponseSeries",
            "Demixed",
            "Background",
            "Baseline",
            "Denoised",
            "Deconvolved",
        }
        assert set(relative) == {"RoiResponseSeries", "DfOverFDenoised"}
        for series in (*fluorescence.values(), *relative.values()):
            assert series["data"].attrs["unit"]
            assert series["starting_time"].attrs["rate"] == 10.0
            assert series["starting_time"][()] == pytest.approx(1 / 30)
            assert series["rois"].shape == (7,)


@pytest.mark.parametrize(
    ("settings", "f0"),
    [
        ({}, "running median of Demixed without the model's transients in 40 s"),
        ({"f0_quantile": 8, "f0_window_s": 25}, "running 8 % quantile of Demixed in 25 s"),
        ({"f0_from": "trace"}, "running quantile of Demixed at its resting level"),
        ({"order": 0, "dark_level": 31.5}, "running quantile of Demixed at its resting level"),
    ],
)
def test_levels_say_how_they_were_made(make_outcome, tmp_path, settings, f0):
    outcome, traces = make_outcome(), TraceSettings(**settings).model_dump(mode="json")
    noted = {**outcome.stages["select"], "section": "traces", "settings": traces}
    stages = {**outcome.stages, "traces": noted}
    export(replace(outcome, stages=stages), tmp_path / "a.nwb")
    with h5py.File(tmp_path / "a.nwb") as file:
        ophys = file["processing/ophys"]
        assert f0 in ophys["Fluorescence/Baseline"].attrs["description"]
        fluorescence = ophys["Fluorescence/RoiResponseSeries"].attrs["description"]
        assert f"running median in a window of {traces['f0_window_s']:g} s" in fluorescence
        assert f"the dark level ({traces['dark_level']:g})" in ophys["Fluorescence/Background"].attrs["description"]


def test_csv_and_nwb_columns_are_equal(make_outcome, tmp_path):
    outcome = make_outcome()
    table = export(outcome, tmp_path / "a.nwb")
    write_table(tmp_path / "a.csv", table)
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    with h5py.File(tmp_path / "a.nwb") as file:
        plane = file["processing/ophys/ImageSegmentation/PlaneSegmentation"]
        assert [int(r["id"]) for r in rows] == plane["id"][()].tolist() == outcome.components.ids.tolist()
        assert [r["accepted"] == "true" for r in rows] == plane["Accepted"][()].tolist()
        assert [r["reason"] for r in rows] == list(plane["reason"].asstr()[()])
        for name in (
            "snr",
            "r_value",
            "size_px",
            "x_um",
            "y_um",
            "baseline",
            "noise",
            "neighbours_light",
            "events_per_min",
        ):
            np.testing.assert_array_equal(np.array([r[name] for r in rows], np.float32), plane[name][()], err_msg=name)
        xy = np.array([[r["x_px"], r["y_px"]] for r in rows], np.float32)
        np.testing.assert_array_equal(xy, plane["ROICentroids"][()])
        np.testing.assert_allclose(plane["x_um"][()], xy[:, 0] * 1.5)


def test_same_results_give_the_same_bytes_and_other_results_another_identifier(make_outcome, tmp_path):
    for name in ("a", "b"):
        export(make_outcome(), tmp_path / f"{name}.nwb")
    export(make_outcome(seed=1), tmp_path / "c.nwb")
    assert (tmp_path / "a.nwb").read_bytes() == (tmp_path / "b.nwb").read_bytes()
    names = []
    for name in ("a", "c"):
        with h5py.File(tmp_path / f"{name}.nwb") as file:
            names.append(file["identifier"].asstr()[()])
    assert names[0] != names[1]
    assert names[0].startswith("mouse1_day2-")


def test_session_and_subject_facts_reach_the_file(make_outcome, tmp_path):
    facts = RecordingSettings(
        subject_id="m7",
        age="P90D",
        sex="F",
        session_start=datetime.fromisoformat("2024-05-17T09:30:00+02:00"),
        experimenter="Doe, Jane; Roe, Rick",
        lab="Lab",
        institution="Inst",
        location="VISp",
        excitation_nm=940,
    )
    export(make_outcome(), tmp_path / "a.nwb", facts)
    with h5py.File(tmp_path / "a.nwb") as file:
        assert file["session_start_time"].asstr()[()] == "2024-05-17T09:30:00+02:00"
        assert file["general/subject/subject_id"].asstr()[()] == "m7"
        assert list(file["general/experimenter"].asstr()[()]) == ["Doe, Jane", "Roe, Rick"]
        assert file["general/optophysiology/ImagingPlane/location"].asstr()[()] == "VISp"
        assert file["general/optophysiology/ImagingPlane/excitation_lambda"][()] == 940
        assert "notes" not in file["general"]
        settings = json.loads(file["general/data_collection"].asstr()[()])["settings"]
        assert settings["select"]["min_snr"] == 4.0


def test_unknown_session_start_is_the_raw_files_time_and_said_so(make_outcome, tmp_path):
    export(make_outcome(), tmp_path / "a.nwb")
    with h5py.File(tmp_path / "a.nwb") as file:
        assert file["session_start_time"].asstr()[()].startswith("2023-11-14T22:13:20")
        assert "modification time" in file["general/notes"].asstr()[()]


def test_masks_take_no_room_where_no_footprint_is(make_outcome, tmp_path):
    export(make_outcome(dims=(400, 300), n_components=5), tmp_path / "a.nwb")
    with h5py.File(tmp_path / "a.nwb") as file:
        masks = file["processing/ophys/ImageSegmentation/PlaneSegmentation/image_mask"]
        assert masks.id.get_num_chunks() <= 5 * 4


def test_components_and_tables_of_other_runs_are_refused(make_outcome):
    outcome = make_outcome()
    with pytest.raises(PipelineError, match="ids and those of the quality differ"):
        replace(outcome, quality=replace(outcome.quality, ids=outcome.quality.ids + 1))


def test_rejected_components_can_be_left_out(make_outcome):
    outcome = make_outcome()
    kept = keep_accepted(outcome)
    rows = np.flatnonzero(outcome.selection.accepted)
    assert 0 < len(rows) < 7
    assert kept.selection.accepted.all()
    np.testing.assert_array_equal(kept.components.residual, outcome.components.residual[rows])
    np.testing.assert_array_equal(kept.traces.dff, outcome.traces.dff[rows])
    np.testing.assert_array_equal(
        kept.components.footprints.toarray(), outcome.components.footprints.toarray()[:, rows]
    )


def test_the_tables_events_are_those_of_the_traces(make_outcome):
    outcome = make_outcome()
    table = component_table(outcome, pixel_um=None)
    np.testing.assert_allclose(table["events_per_min"], 60 * outcome.traces.event_rate_hz)


def test_empty_footprint_has_no_centre(make_outcome):
    components = make_outcome().components
    footprints = components.footprints.tolil()
    footprints[:, 2] = 0
    centre = centroids(replace(components, footprints=footprints.tocsc()))
    assert np.isnan(centre[2]).all()
    assert np.isfinite(np.delete(centre, 2, axis=0)).all()


def run_export(paths, folder, **settings):
    """Run the verb on saved results."""
    names = ("movie_info", "motion", "images", "components", "traces", "quality", "selection")
    arguments = [part for n in names for part in (f"--{n.replace('_', '-')}", str(paths[n]))]
    settings = {**settings, "recording": {"frame_rate_hz": 30, "pixel_size_um": 1.5}}
    run_verb(
        "export-nwb",
        [
            *arguments,
            "--nwb",
            str(folder / "o.nwb"),
            "--table",
            str(folder / "o.csv"),
            "--settings",
            json.dumps(settings),
            "--log",
            str(folder / "l.log"),
        ],
    )


def test_the_verb_writes_both_files_from_result_files(make_outcome, saved_outcome, tmp_path):
    outcome = make_outcome()
    run_export(saved_outcome(outcome, tmp_path), tmp_path, include_rejected=False)
    assert len((tmp_path / "o.csv").read_text().splitlines()) == 1 + outcome.n_accepted
    with h5py.File(tmp_path / "o.nwb") as file:
        assert file["processing/ophys/ImageSegmentation/PlaneSegmentation/Accepted"][()].all()


def test_every_key_of_the_export_changes_the_table(make_outcome, saved_outcome, tmp_path):
    paths = saved_outcome(make_outcome(), tmp_path)
    tables = []
    for settings in ({}, {"include_rejected": False}):
        run_export(paths, tmp_path, **settings)
        tables.append((tmp_path / "o.csv").read_text())
    assert len(set(tables)) == 1 + len(ExportSettings.model_fields) == 2


def test_loaded_outcome_is_the_saved_one(make_outcome, saved_outcome, tmp_path):
    from caiman_pipeline.outcome import OutcomeFiles

    outcome = make_outcome()
    paths = saved_outcome(outcome, tmp_path)
    paths.pop("frames")
    loaded = load_outcome(OutcomeFiles(**paths))
    assert loaded.selection.reasons == outcome.selection.reasons
    for name, value in vars(outcome.motion).items():
        np.testing.assert_array_equal(getattr(loaded.motion, name), value, err_msg=name)
    np.testing.assert_array_equal(loaded.shifts.rigid, outcome.shifts.rigid)
    np.testing.assert_array_equal(loaded.traces.dff, outcome.traces.dff)


def test_failed_write_leaves_nothing(make_outcome, tmp_path):
    outcome = make_outcome()
    table = component_table(outcome, pixel_um=None)
    broken = replace(outcome, images={"mean": outcome.images["mean"]})
    with pytest.raises(KeyError):
        write_nwb(tmp_path / "a.nwb", broken, table, facts=FACTS)
    assert list(tmp_path.iterdir()) == []


def test_the_verb_declares_what_the_rule_passes():
    import argparse

    parser = argparse.ArgumentParser()
    export_nwb.add_arguments(parser)
    rule = (Path(__file__).parents[3] / "workflow/rules/export.smk").read_text()
    flags = {word for word in rule.replace('"', " ").split() if word.startswith("--")}
    assert flags == {o for a in parser._actions for o in a.option_strings if o.startswith("--")} - {"--help"}
