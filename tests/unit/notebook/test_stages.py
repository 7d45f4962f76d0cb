"""Stages on arrays give the numbers of the verbs: they call the same functions."""

import numpy as np
import pandas as pd
import pytest
from recorded import FACTS, SETTINGS

import caiman_pipeline as cp
from caiman_pipeline.results.files import load_result
from caiman_pipeline.results.records import components_from_result, quality_from_result


@pytest.fixture(scope="module")
def results(recording):
    return cp.open_results(recording / "results/asym")


def _same(found, stored):
    np.testing.assert_array_equal(found.footprints.toarray(), stored.footprints.toarray())
    for name in ("ids", "denoised", "residual", "noise"):
        np.testing.assert_array_equal(getattr(found, name), getattr(stored, name))


def test_motion_is_corrected_as_by_the_verbs(recording, results):
    raw = cp.open_movie(recording / "raw.tif")
    found = cp.correct_motion(raw, settings=SETTINGS, threads=1)
    np.testing.assert_array_equal(found.shifts.rigid, results.shifts.rigid)
    np.testing.assert_array_equal(found.movie[:], results.movie[:])
    assert found.method == "rigid"
    assert found.measures.crispness_after > found.measures.crispness_before
    array = cp.correct_motion(raw[:], settings=SETTINGS, threads=2)
    np.testing.assert_array_equal(array.movie[:], results.movie[:])


def test_a_corrected_movie_on_disk_is_that_in_memory(recording, results, tmp_path):
    raw = cp.open_movie(recording / "raw.tif")
    found = cp.correct_motion(raw, settings=SETTINGS, folder=tmp_path / "corrected", threads=1)
    np.testing.assert_array_equal(found.movie[:], results.movie[:])
    again = cp.open_movie(tmp_path / "corrected/movie.json")
    np.testing.assert_array_equal(again[:, 3], results.movie[:, 3])
    stored = load_result(tmp_path / "corrected/motion.h5", "motion")
    np.testing.assert_array_equal(stored["rigid"], results.shifts.rigid)
    with pytest.raises(cp.PipelineError, match="is there already"):
        cp.correct_motion(raw, settings=SETTINGS, folder=tmp_path / "corrected")


def test_components_are_those_of_the_verbs(recording, results):
    stored = components_from_result(load_result(recording / "results/asym/refine/components.h5", "components"))
    _same(cp.extract_components(results.movie, settings=SETTINGS, threads=1), stored)
    facts = {name: FACTS[name] for name in ("decay_time_s", "cell_diameter")}
    # The movie states its rate. Of an array it is not known which pixels were in view all the time.
    _same(cp.extract_components(results.movie, **facts, threads=2), stored)
    array = cp.extract_components(results.movie[:], **FACTS)
    assert np.isnan(array.denoised[:, 17]).all()
    assert array.denoised.shape[1] == 420


def test_images_are_those_of_the_verb(results):
    found = cp.summarise(results.movie, settings=SETTINGS)
    for name, image in vars(results.images).items():
        np.testing.assert_array_equal(getattr(found, name), image)


def test_quality_and_selection_are_those_of_the_verbs(recording, results):
    stored = quality_from_result(load_result(recording / "results/asym/evaluate/quality.h5", "quality"))
    shifts = results.shifts.rigid
    found = cp.evaluate_components(results.movie, results.components, shifts=shifts, settings=SETTINGS)
    for name, values in vars(stored).items():
        np.testing.assert_allclose(getattr(found, name), values, rtol=1e-6, err_msg=name)
    still = cp.evaluate_components(results.movie, results.components, settings=SETTINGS)
    assert (still.motion_share == 0).all()
    ceiling = float(np.nanmax(results.movie[:]))
    cut = cp.evaluate_components(results.movie, results.components, ceiling=ceiling / 4, settings=SETTINGS)
    assert (found.saturated_share == 0).all()
    assert cut.saturated_share.max() > 0
    everything = np.ones(len(shifts), bool)
    blind = cp.evaluate_components(
        results.movie, results.components, shifts=shifts, at_limit=everything, settings=SETTINGS
    )
    assert (blind.motion_share == 0).all()
    chosen = cp.select_components(found, dims=results.dims, settings=SETTINGS)
    np.testing.assert_array_equal(chosen.accepted, results.selection["accepted"])
    assert list(chosen.reasons) == results.selection["reason"].tolist()
    with pytest.raises(cp.PipelineError, match="Are they of one recording"):
        cp.evaluate_components(results.movie, results.components, shifts=shifts[1:], settings=SETTINGS)


def test_traces_are_deconvolved_as_by_the_verb(results):
    raw = results.traces("demixed", results.ids)
    found = cp.deconvolve(raw, 20.0, 0.5)
    np.testing.assert_array_equal(found.deconvolved.T, results.traces("deconvolved", results.ids))
    # A trace alone, an array, a table: the same.
    np.testing.assert_array_equal(cp.deconvolve(raw.to_numpy()[:, 0], 20.0, 0.5).denoised[0], found.denoised[0])
    np.testing.assert_array_equal(cp.deconvolve(raw.to_numpy().T, 20.0, 0.5, threads=2).denoised, found.denoised)
    first_order = cp.deconvolve(raw, 20.0, 0.5, settings={"traces": {"order": 1}})
    assert first_order.ar.shape == (len(results.ids), 1)


def test_a_running_level_is_taken_off():
    rng = np.random.default_rng(4)
    drift = np.linspace(20, 60, 2400, dtype=np.float32)
    trace = drift + rng.normal(0, 0.3, (2, 2400)).astype(np.float32)
    trace[1, 700:720] += 12
    flat = cp.detrend(trace, 10.0, settings={"traces": {"detrend_window_s": 20, "detrend_quantile": 50}})
    assert np.abs(flat[0, 200:-200]).mean() < 0.4
    assert flat[1, 700:720].mean() == pytest.approx(12, abs=1.5)


def test_df_over_f_of_a_step_is_its_share_of_the_rest():
    rng = np.random.default_rng(5)
    trace = 80 + rng.normal(0, 0.5, (1, 3000))
    trace[0, 1000:1040] += 40
    dff, f0 = cp.delta_f_over_f(trace, 10.0)
    assert dff[0, 1000:1040].mean() == pytest.approx(0.5, abs=0.03)
    assert np.median(f0) == pytest.approx(80, abs=0.5)
    halved, level = cp.delta_f_over_f(trace, 10.0, background=np.full_like(trace, 80))
    assert np.median(level) == pytest.approx(160, abs=1)
    assert halved[0, 1000:1040].mean() == pytest.approx(0.25, abs=0.02)
    above, _ = cp.delta_f_over_f(trace, 10.0, settings={"traces": {"dff_kind": "detrended"}})
    assert above[0, 1000:1040].mean() == pytest.approx(40, abs=1.5)
    nothing, _ = cp.delta_f_over_f(trace - 80, 10.0)
    assert np.isnan(nothing).all()


BAD = {
    "rate": (lambda a: cp.correct_motion(a), "frame_rate_hz"),
    "facts": (lambda a: cp.extract_components(a, frame_rate_hz=10), "decay_time_s`, `cell_diameter"),
    "key": (lambda a: cp.correct_motion(a, frame_rate_hz=10, settings={"motion": {"max_shif": "9 px"}}), "max_shift"),
    "short": (lambda a: cp.correct_motion(a[:5], frame_rate_hz=10), "min_frames"),
    "constant": (
        lambda a: cp.extract_components(a * 0, frame_rate_hz=10, decay_time_s=0.5, cell_diameter="5 px"),
        "constant",
    ),
    "empty": (lambda a: cp.summarise(a * np.nan, frame_rate_hz=10), "finite"),
    "text": (lambda a: cp.deconvolve(["a"], 10, 0.5), "traces are numbers"),
    "decay": (lambda a: cp.deconvolve(a[:, 0, 0], 10, 0), "decay_time_s"),
    "sizes": (lambda a: cp.delta_f_over_f(a[:, 0, 0], 10, background=a[:9, 0, 0]), "background"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_done_is_said_in_one_sentence(name):
    call, match = BAD[name]
    movie = np.random.default_rng(0).normal(100, 1, (80, 20, 31))
    with pytest.raises(cp.PipelineError, match=match):
        call(movie)


def test_settings_may_be_a_file(tmp_path):
    (tmp_path / "config.yaml").write_text("traces:\n  order: 1\n")
    trace = pd.DataFrame({7: np.random.default_rng(0).normal(size=300)})
    assert cp.deconvolve(trace, 10, 0.5, settings=tmp_path / "config.yaml").ar.shape == (1, 1)
