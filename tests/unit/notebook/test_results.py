"""A recording's results as one object: every table is what the stages wrote, lined up with ids and seconds."""

import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csc_matrix

import caiman_pipeline as cp
from caiman_pipeline.notebook.results import RecordingResults
from caiman_pipeline.results.files import load_result


@pytest.fixture(scope="module")
def results(recording):
    return cp.open_results(recording / "results/asym")


def test_it_says_what_it_is(results):
    assert repr(results).startswith("Results of asym: 420 frames of 48 x 66 pixels at 20 Hz, ")
    assert len(results.ids) >= len(results.accepted) > 0


def test_traces_are_data_frames_by_id_and_second(recording, results):
    stored = load_result(recording / "results/asym/traces/traces.h5", "traces")
    components = load_result(recording / "results/asym/refine/components.h5", "components")
    dff = results.traces("dff", ids=results.ids)
    np.testing.assert_array_equal(dff.to_numpy().T, stored["dff"])
    assert dff.columns.tolist() == results.ids.tolist()
    assert dff.index[40] == pytest.approx(2.0)
    demixed = results.traces()
    rows = np.flatnonzero(np.isin(results.ids, results.accepted))
    np.testing.assert_array_equal(demixed.to_numpy().T, (components["denoised"] + components["residual"])[rows])
    assert demixed.iloc[17].isna().all()
    last_first = results.ids[::-1]
    picked = results.traces("f0", last_first)
    np.testing.assert_array_equal(picked[results.ids[0]], stored["f0"][0])
    assert picked.columns.tolist() == last_first.tolist()
    for kind in ("denoised", "residual", "deconvolved", "fluorescence", "background", "dff_denoised"):
        assert results.traces(kind).shape == (420, len(results.accepted))


def test_what_is_not_there_is_said(results):
    with pytest.raises(cp.PipelineError, match="no traces of kind 'raw'"):
        results.traces("raw")
    with pytest.raises(cp.PipelineError, match="no component has the id 999"):
        results.traces("dff", [999])


def test_footprints_places_and_contours_agree(results):
    for k in results.accepted:
        image = results.footprint(k)
        assert image.shape == (48, 66)
        assert np.linalg.norm(image) == pytest.approx(1, abs=1e-4)
        centre = results.centroids.loc[k]
        rows, columns = np.indices(image.shape)
        assert centre["y_px"] == pytest.approx((rows * image).sum() / image.sum(), abs=1e-2)
        assert centre["x_px"] == pytest.approx((columns * image).sum() / image.sum(), abs=1e-2)
        (line,) = results.contours([k])[k]
        np.testing.assert_array_equal(line[0], line[-1])
        peak = np.array(np.unravel_index(image.argmax(), image.shape))
        assert (line.min(0) < peak).all()
        assert (peak < line.max(0)).all()
        inner = results.contours([k], level=0.8)[k][0]
        assert np.ptp(inner, axis=0).max() < np.ptp(line, axis=0).max()


def test_contours_of_a_volume_go_by_plane(tmp_path):
    footprint = np.zeros((4, 14, 19), np.float32)
    footprint[1, 3:8, 5:11] = 1.0
    footprint[2, 4:7, 6:9] = 0.5
    footprint[3, 5, 7] = 0.01
    outcome = SimpleNamespace(
        components=SimpleNamespace(
            n_components=1, ids=np.array([6]), dims=footprint.shape, footprints=csc_matrix(footprint.reshape(-1, 1))
        ),
        selection=SimpleNamespace(accepted=np.array([True])),
    )
    volume = RecordingResults(tmp_path, outcome)
    lines = volume.contours(level=0.3)[6]
    assert sorted(lines) == [1, 2]
    assert lines[1].min(0) == pytest.approx([2.5, 4.5], abs=0.6)
    assert lines[1].max(0) == pytest.approx([7.5, 10.5], abs=0.6)
    np.testing.assert_array_equal(volume.footprint(6), footprint)
    assert volume.centroids.columns.tolist() == ["z_px", "y_px", "x_px"]


def test_tables_of_components(results):
    table, quality, selection = results.table, results.quality, results.selection
    for frame in (table, quality, selection, results.centroids):
        assert isinstance(frame, pd.DataFrame)
        assert frame.index.tolist() == results.ids.tolist()
    np.testing.assert_array_equal(table["snr"], quality["snr"])
    assert selection.index[selection["accepted"]].tolist() == results.accepted.tolist()
    assert selection["reason"].str.len().min() > 0


def test_motion_images_settings_and_provenance(recording, results):
    motion = results.motion
    np.testing.assert_array_equal(motion[["y_px", "x_px"]].to_numpy(), results.shifts.rigid)
    assert motion["left_out"].iloc[17] == "listed"
    assert (motion["left_out"] == "").sum() == 419
    assert results.images.mean.shape == results.images.correlation.shape == (48, 66)
    assert results.settings["motion"]["bad_frames"] == ["17"]
    assert results.settings["evaluate"]["recording"]["cell_diameter"] == "8 px"
    assert results.provenance["raw_files"][0]["path"].endswith("raw.tif")
    assert results.provenance["stages"]["refine"]["version"] == cp.__version__
    np.testing.assert_array_equal(results.raw_movie[5], cp.open_movie(recording / "raw.tif")[5])


def test_a_folder_that_holds_no_results_says_what_to_give(recording, tmp_path):
    with pytest.raises(cp.PipelineError, match="no such folder"):
        cp.open_results(tmp_path / "gone")
    with pytest.raises(cp.PipelineError, match="holds the recordings asym"):
        cp.open_results(recording / "results")
    shutil.copytree(recording / "results/asym/inspect", tmp_path / "half/inspect")
    with pytest.raises(cp.PipelineError, match=r"motion/motion\.h5 is not there"):
        cp.open_results(tmp_path / "half")


def test_scores_are_those_of_the_verb(recording, results):
    from caiman_pipeline.simulation.scoring import Rule, read_found, score_result

    truth = load_result(recording / "truth.h5", "truth")
    expected = score_result(read_found(results.folder).only_accepted(), truth, Rule(0.3, 0.15, 0.4, 0.07))
    found = cp.score(results, recording / "truth.h5")
    assert (found.precision, found.recall, found.rigid_rms_px) == pytest.approx(
        (expected.precision, expected.recall, expected.rigid_rms_px)
    )
    assert found.recall >= 0.6
    every = cp.score(results, recording / "truth.h5", accepted_only=False)
    alone = cp.score(results.components, recording / "truth.h5")
    assert alone.found == every.found == len(results.ids)
    assert alone.correlations["demixed"] == pytest.approx(every.correlations["demixed"])
