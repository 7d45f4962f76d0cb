"""Scoring against the truth: pairs, traces and motion, from NWB files and from a results folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csc_matrix, hstack

from caiman_pipeline.cli.main import run_verb
from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.nwb.write import write_nwb
from caiman_pipeline.outcome import component_table
from caiman_pipeline.results.files import Result, load_result, save_result
from caiman_pipeline.simulation.masks import binarise, match_masks
from caiman_pipeline.simulation.scoring import Extracted, Rule, correlation, read_found, rigid_error, score_result

DIMS = (20, 31)
RULE = Rule(found_level=0.3, true_level=0.15, min_iou=0.4, smooth_s=0.05)


def disc(row, column, radius, *, hollow=False):
    rows, columns = np.indices(DIMS)
    distance = np.hypot(rows - row, columns - column)
    image = (distance <= radius).astype(np.float32)
    if hollow:
        image[distance < radius - 1.5] = 0
    return image


def stack(*images):
    return csc_matrix(np.stack([i.ravel() for i in images], axis=1))


def truth_of(images, n_frames=200):
    rng = np.random.default_rng(1)
    spikes = (rng.random((len(images), n_frames)) < 0.05).astype(np.float32)
    calcium = np.stack([np.convolve(s, 0.9 ** np.arange(50))[:n_frames] for s in spikes])
    arrays = {
        "dims": np.array(DIMS),
        "frame_rate_hz": 20.0,
        "footprints": stack(*images),
        "calcium": calcium,
        "spikes": spikes,
        "rigid": rng.normal(size=(n_frames, 2)).astype(np.float32),
    }
    return Result("truth", arrays, {}, {})


def found_of(images, truth, order=None, **traces):
    footprints = stack(*images) if images else csc_matrix((DIMS[0] * DIMS[1], 0), dtype=np.float32)
    return Extracted(DIMS, footprints, np.ones(len(images), bool), traces, None)


IMAGES = (disc(5, 6, 4), disc(12, 20, 4), disc(14, 8, 3))


def test_footprints_are_cut_at_a_share_of_their_peak_and_filled():
    image = disc(8, 9, 5, hollow=True) * 4
    image[2, 25] = 1.0
    masks = binarise(stack(image, IMAGES[0]), DIMS, level=0.3).toarray()
    np.testing.assert_array_equal(masks[:, 0].reshape(DIMS), disc(8, 9, 5))
    np.testing.assert_array_equal(masks[:, 1].reshape(DIMS), IMAGES[0])


def test_empty_footprint_has_an_empty_mask():
    masks = binarise(stack(np.zeros(DIMS, np.float32), IMAGES[0]), DIMS, level=0.3)
    assert np.diff(masks.indptr)[0] == 0


def test_pairs_are_one_to_one_and_need_enough_overlap():
    found = stack(disc(5, 7, 4), disc(5, 6, 4), disc(12, 25, 4))
    pairs, iou = match_masks(found, stack(*IMAGES), min_iou=0.4)
    assert pairs.tolist() == [[1, 0]]
    assert iou.tolist() == [1.0]


def test_weak_overlaps_do_not_take_the_place_of_pairs():
    """Two overlaps below the bar would add up to more than the one pair above it."""
    run = lambda start: np.isin(np.arange(2400), np.arange(start, start + 1000)).astype(np.float32)  # noqa: E731
    found = csc_matrix(np.stack([run(440), run(1260)], axis=1))
    true = csc_matrix(np.stack([run(820), run(0)], axis=1))
    pairs, iou = match_masks(found, true, min_iou=0.4)
    assert pairs.tolist() == [[0, 0]]
    assert iou[0] == pytest.approx(620 / 1380)


def test_perfect_result_scores_one():
    truth = truth_of(IMAGES)
    order = [2, 0, 1]
    traces = {"raw": truth["calcium"][order] * 7 + 3, "deconvolved": truth["spikes"][order] * 2}
    score = score_result(found_of([IMAGES[i] for i in order], truth, **traces), truth, RULE)
    assert (score.found, score.true, score.matched, score.f1, score.iou) == (3, 3, 3, 1.0, 1.0)
    assert score.pairs.tolist() == [[0, 2], [1, 0], [2, 1]]
    assert score.correlations["raw"] == pytest.approx((1.0, 1.0))
    assert score.correlations["deconvolved"] == pytest.approx((1.0, 1.0))


def test_cells_that_a_volume_shows_barely_count_neither_way():
    truth = truth_of(IMAGES)
    truth.arrays["faint"] = stack(disc(3, 26, 3), disc(16, 28, 3))
    found = found_of([*IMAGES[:2], disc(3, 26, 3), disc(3, 15, 3)], truth)
    score = score_result(found, truth, RULE)
    assert (score.found, score.faint, score.matched) == (3, 1, 2)
    assert score.precision == score.recall == pytest.approx(2 / 3)
    assert score.f1 == pytest.approx(2 / 3)


def test_misses_and_false_finds_lower_recall_and_precision():
    truth = truth_of(IMAGES)
    score = score_result(found_of([IMAGES[0], disc(3, 26, 3)], truth, raw=truth["calcium"][:2]), truth, RULE)
    assert score.precision == 0.5
    assert score.recall == pytest.approx(1 / 3)
    assert score.f1 == pytest.approx(0.4)


def test_nothing_found_scores_zero_without_failing():
    truth = truth_of(IMAGES)
    score = score_result(found_of([], truth, raw=np.zeros((0, 200))), truth, RULE)
    assert (score.found, score.matched, score.precision, score.recall, score.f1) == (0, 0, 0, 0, 0)
    assert score.correlations == {}


def test_binned_traces_are_compared_with_the_binned_truth():
    truth = truth_of(IMAGES)
    binned = truth["calcium"].reshape(3, 50, 4).mean(2)
    score = score_result(found_of(IMAGES, truth, denoised=binned), truth, RULE)
    assert score.correlations["denoised"] == pytest.approx((1.0, 1.0))


def test_traces_or_frames_of_another_size_are_refused():
    truth = truth_of(IMAGES)
    with pytest.raises(PipelineError, match="traces of 170 frames"):
        score_result(found_of(IMAGES, truth, raw=np.zeros((3, 170))), truth, RULE)
    with pytest.raises(PipelineError, match="frames of"):
        score_result(replace(found_of(IMAGES, truth), dims=(31, 20)), truth, RULE)


def test_correlation_leaves_out_what_is_not_finite_and_constant_traces():
    a = np.array([1.0, 2, np.nan, 4, 5])
    assert correlation(a, np.array([2.0, 4, 9, 8, 10]), sigma_frames=0) == pytest.approx(1.0)
    assert np.isnan(correlation(np.ones(5), a, sigma_frames=0))


def test_constant_offset_of_shifts_is_no_error():
    true = np.random.default_rng(0).normal(size=(50, 2))
    assert rigid_error(true + np.array([3, -2]), true) == pytest.approx(0, abs=1e-12)
    assert rigid_error(true * [1, -1], true) > 0.5


@pytest.mark.parametrize("dims", [(19, 31), (5, 19, 31)], ids=["plane", "volume"])
def test_nwb_file_and_results_folder_give_the_same_components(tmp_path, make_outcome, saved_outcome, dims):
    outcome = make_outcome(dims, 5, 60)
    facts = RecordingSettings(frame_rate_hz=30, decay_time_s=0.4, cell_diameter="10 px")
    write_nwb(tmp_path / "r.nwb", outcome, component_table(outcome, pixel_um=None), facts=facts)
    paths = saved_outcome(outcome, tmp_path)
    places = {
        "components": "refine/components.h5",
        "selection": "select/selection.h5",
        "traces": "traces/traces.h5",
        "motion": "motion/motion.h5",
    }
    for name, place in places.items():
        (tmp_path / "results" / place).parent.mkdir(parents=True)
        shutil.move(paths[name], tmp_path / "results" / place)
    from_file, from_folder = read_found(tmp_path / "r.nwb"), read_found(tmp_path / "results")
    alone = read_found(tmp_path / "results/refine/components.h5")
    assert alone.accepted.all()
    np.testing.assert_array_equal(alone.traces["demixed"], from_folder.traces["demixed"])
    np.testing.assert_array_equal(alone.footprints.toarray(), from_folder.footprints.toarray())
    assert from_file.dims == from_folder.dims == dims
    for found in (from_file, from_folder):
        assert abs(found.footprints - outcome.components.footprints).max() == 0
        np.testing.assert_array_equal(found.accepted, outcome.selection.accepted)
        np.testing.assert_array_equal(found.rigid, outcome.shifts.rigid)
        demixed = outcome.components.denoised + outcome.components.residual
        np.testing.assert_allclose(found.traces["demixed"], demixed, rtol=1e-6)
        np.testing.assert_array_equal(found.traces["raw"], outcome.traces.fluorescence)
        np.testing.assert_array_equal(found.traces["dff"], outcome.traces.dff)
        np.testing.assert_array_equal(found.traces["dff_denoised"], outcome.traces.dff_denoised)
        np.testing.assert_array_equal(found.traces["deconvolved"], outcome.traces.deconvolved)
    assert from_file.only_accepted().footprints.shape[1] == outcome.selection.accepted.sum() < 5


def test_missing_or_foreign_result_is_named(tmp_path):
    (tmp_path / "other.nwb").write_bytes(b"no")
    for path in (tmp_path / "none.nwb", tmp_path / "other.nwb"):
        with pytest.raises(PipelineError, match=path.name):
            read_found(path)
    with pytest.raises(PipelineError, match=r"components\.h5"):
        read_found(tmp_path)


def test_verb_prints_what_was_found(tmp_path, capsys, make_outcome):
    outcome = make_outcome((19, 31), 5, 60)
    facts = RecordingSettings(frame_rate_hz=30, decay_time_s=0.4, cell_diameter="10 px")
    write_nwb(tmp_path / "r.nwb", outcome, component_table(outcome, pixel_um=None), facts=facts)
    arrays = {
        "dims": np.array([19, 31]),
        "frame_rate_hz": 30.0,
        "rigid": outcome.shifts.rigid,
        "footprints": hstack([outcome.components.footprints, outcome.components.footprints[:, :1]]).tocsc(),
        "calcium": np.vstack([outcome.traces.denoised] * 2)[:6],
        "spikes": np.vstack([outcome.traces.deconvolved] * 2)[:6],
    }
    save_result(tmp_path / "truth.h5", kind="truth", arrays=arrays, settings={}, source={})
    assert load_result(tmp_path / "truth.h5", "truth")["footprints"].shape[1] == 6
    run_verb("score", [str(tmp_path / "truth.h5"), str(tmp_path / "r.nwb"), "--all", "--json"])
    record = json.loads(capsys.readouterr().out)
    assert (record["found"], record["true"], record["matched"], record["precision"]) == (5, 6, 5, 1.0)
    assert record["rigid_rms_px"] == 0
    run_verb("score", [str(tmp_path / "truth.h5"), str(tmp_path / "r.nwb"), "--all"])
    assert "precision 1.000, recall 0.833, F1 0.909" in capsys.readouterr().out
