"""Exports as other tools read them: the accepted components, values as the results hold them."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import build_outcome
from roiextractors import Suite2pSegmentationExtractor
from scipy.io import loadmat
from scipy.sparse import csc_matrix

import caiman_pipeline as cp
from caiman_pipeline.exports.formats import FORMATS, export
from caiman_pipeline.outcome import component_table, keep_accepted


@pytest.fixture(scope="module")
def outcome():
    found = build_outcome()
    assert 0 < found.n_accepted < len(found.components.ids)
    return found


def written(path, outcome, name, **options):
    options = {"everything": False, "overwrite": False, **options}
    return export(path, outcome, component_table(outcome, pixel_um=None), name=name, **options)


def demixed(outcome):
    return np.asarray(outcome.components.denoised) + np.asarray(outcome.components.residual)


def test_suite2p_folder_is_read_by_roiextractors(tmp_path, outcome):
    assert written(tmp_path / "suite2p", outcome, "suite2p") == outcome.n_accepted
    kept = keep_accepted(outcome)
    other = Suite2pSegmentationExtractor(tmp_path / "suite2p")
    assert other.get_num_rois() == outcome.n_accepted
    assert other.get_sampling_frequency() == outcome.trace_rate_hz
    np.testing.assert_array_equal(other.get_traces(name="deconvolved").T, kept.traces.deconvolved)
    light = demixed(kept) + np.asarray(kept.traces.background)
    np.testing.assert_array_equal(other.get_traces(name="raw").T, light)
    np.testing.assert_array_equal(other.get_traces(name="neuropil").T, kept.traces.background)
    assert tuple(other.get_frame_shape()) == outcome.components.dims


def test_suite2p_regions_have_pixels_and_weights(tmp_path, outcome):
    written(tmp_path / "s", outcome, "suite2p", everything=True)
    folder = tmp_path / "s/plane0"
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        f"{n}.npy" for n in ("stat", "ops", "F", "Fneu", "spks", "iscell")
    )
    stat, ops = np.load(folder / "stat.npy", allow_pickle=True), np.load(folder / "ops.npy", allow_pickle=True).item()
    assert (ops["Ly"], ops["Lx"]) == outcome.components.dims
    for row, region in enumerate(stat):
        image = np.zeros(outcome.components.dims, np.float32)
        image[region["ypix"], region["xpix"]] = region["lam"]
        expected = outcome.components.footprints[:, row].toarray().reshape(outcome.components.dims)
        np.testing.assert_array_equal(image, expected)
        assert region["overlap"].shape == region["ypix"].shape
    iscell = np.load(folder / "iscell.npy")
    np.testing.assert_array_equal(iscell[:, 0].astype(bool), outcome.selection.accepted)


def test_csv(tmp_path, outcome):
    written(tmp_path / "t", outcome, "csv")
    kept = keep_accepted(outcome)
    table = pd.read_csv(tmp_path / "t/components.csv")
    assert table["id"].tolist() == kept.components.ids.tolist()
    dff = pd.read_csv(tmp_path / "t/dff.csv", index_col="time_s")
    assert dff.columns.astype(int).tolist() == kept.components.ids.tolist()
    np.testing.assert_array_equal(dff.to_numpy(np.float32).T, kept.traces.dff)
    assert dff.index[10] == pytest.approx(10 / outcome.trace_rate_hz)


def test_npz_needs_no_pickle(tmp_path, outcome):
    written(tmp_path / "r.npz", outcome, "npz")
    kept = keep_accepted(outcome)
    with np.load(tmp_path / "r.npz", allow_pickle=False) as found:
        parts = {name: found[f"footprints_{name}"] for name in ("data", "indices", "indptr", "shape")}
        matrix = csc_matrix((parts["data"], parts["indices"], parts["indptr"]), tuple(parts["shape"]))
        assert (matrix != kept.components.footprints).nnz == 0
        np.testing.assert_array_equal(found["dff"], kept.traces.dff)
        np.testing.assert_array_equal(found["demixed"], demixed(kept))
        assert found["id"].tolist() == kept.components.ids.tolist()
        assert found["reason"].tolist() == list(kept.selection.reasons)


def test_mat_counts_pixels_down_the_columns(tmp_path, outcome):
    written(tmp_path / "r.mat", outcome, "mat", everything=True)
    found = loadmat(tmp_path / "r.mat")
    dims = outcome.components.dims
    image = found["A"][:, 2].toarray().reshape(dims, order="F")
    np.testing.assert_array_equal(image, outcome.components.footprints[:, 2].toarray().reshape(dims))
    np.testing.assert_array_equal(found["dff"], outcome.traces.dff)
    assert found["accepted"].ravel().astype(bool).tolist() == outcome.selection.accepted.tolist()


def test_neurofinder(tmp_path, outcome):
    written(tmp_path / "r.json", outcome, "neurofinder")
    regions = json.loads((tmp_path / "r.json").read_text())
    kept = keep_accepted(outcome).components
    assert [r["id"] for r in regions] == kept.ids.tolist()
    image = np.zeros(kept.dims, bool)
    image[tuple(np.array(regions[0]["coordinates"]).T)] = True
    np.testing.assert_array_equal(image.ravel(), kept.footprints[:, 0].toarray().ravel() > 0)


def test_imagej_outlines_enclose_the_bright_pixels(tmp_path, outcome):
    roifile = pytest.importorskip("roifile")
    written(tmp_path / "r.zip", outcome, "imagej")
    kept = keep_accepted(outcome).components
    rois = roifile.roiread(tmp_path / "r.zip")
    assert [int(roi.name) for roi in rois] == kept.ids.tolist()
    for row, roi in enumerate(rois):
        image = kept.footprints[:, row].toarray().reshape(kept.dims)
        y, x = np.unravel_index(image.argmax(), kept.dims)
        points = roi.coordinates()
        assert points[:, 0].min() < x + 0.5 < points[:, 0].max()
        assert points[:, 1].min() < y + 0.5 < points[:, 1].max()


@pytest.mark.parametrize("name", ["suite2p", "neurofinder", "imagej"])
def test_volumes_are_refused_by_formats_of_planes(tmp_path, name):
    volume = build_outcome((4, 17, 23))
    with pytest.raises(cp.PipelineError, match="this recording is a volume"):
        written(tmp_path / "v", volume, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [n for n in FORMATS if n != "imagej"])
def test_a_recording_without_cells_is_exported_empty(tmp_path, name):
    assert written(tmp_path / "e", build_outcome(n_components=0), name) == 0
    assert (tmp_path / "e").exists()


def test_nothing_is_written_over_and_unknown_formats_are_named(tmp_path, outcome):
    (tmp_path / "r.npz").write_bytes(b"precious")
    with pytest.raises(cp.PipelineError, match="is there already"):
        written(tmp_path / "r.npz", outcome, "npz")
    written(tmp_path / "r.npz", outcome, "npz", overwrite=True)
    with pytest.raises(cp.PipelineError, match=r"no format 'xls' to export to\. There are suite2p"):
        written(tmp_path / "r.xls", outcome, "xls")
