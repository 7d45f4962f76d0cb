"""Movies of results: parts of the model add up to the corrected movie, and are written as they are."""

import numpy as np
import pytest
import tifffile

import caiman_pipeline as cp
from caiman_pipeline.cli.main import main


@pytest.fixture(scope="module")
def results(recording):
    return cp.open_results(recording / "results/asym")


def test_denoised_background_and_residual_add_up_to_the_corrected_movie(results):
    parts = [results.modelled_movie(what, results.ids)[30:60] for what in ("denoised", "background", "residual")]
    np.testing.assert_allclose(sum(parts), results.movie[30:60], rtol=0, atol=2e-3)
    assert parts[0].std() > 0
    assert parts[1].std() > 0
    left_out = results.modelled_movie("denoised")[17]
    assert np.isnan(left_out).all()


def test_the_denoised_movie_shows_the_components_asked_for(results):
    one = results.accepted[-1]
    components, frame = results.components, 200
    row = list(results.ids).index(one)
    expected = results.footprint(one) * components.denoised[row : row + 1][0, frame]
    np.testing.assert_allclose(results.modelled_movie("denoised", [one])[frame], expected, atol=1e-3)
    with pytest.raises(cp.PipelineError, match="no component has the id 999"):
        results.modelled_movie("denoised", [999])
    with pytest.raises(cp.PipelineError, match="no movie of kind 'raw'"):
        results.modelled_movie("raw")


def test_the_verb_writes_what_a_notebook_sees(results, tmp_path):
    for what in ("corrected", "residual", "dff"):
        path = tmp_path / f"{what}.tif"
        main(["export-movie", str(results.folder), "--what", what, "--output", str(path)])
        written = tifffile.imread(path)
        assert written.dtype == np.float32
        np.testing.assert_array_equal(written, results.modelled_movie(what)[:])
        assert cp.open_movie(path).frame_rate_hz == 20


def test_relative_movie_by_hand():
    rng = np.random.default_rng(0)
    rest = rng.uniform(80, 120, (6, 9))
    movie = np.repeat(rest[None], 400, axis=0)
    movie[150:160, 2:4, 3:7] *= 2.5
    dff = cp.relative_movie(movie + 30, frame_rate_hz=10, window_s=10, dark_level=30)
    assert dff.dtype == np.float32
    np.testing.assert_allclose(dff[155, 2:4, 3:7], 1.5, atol=1e-4)
    np.testing.assert_allclose(dff[[0, 149, 170, 399]], 0, atol=1e-4)
    root = cp.relative_movie(movie, kind="dff_sqrt", frame_rate_hz=10, window_s=10)
    np.testing.assert_allclose(root[155, 2, 3], 1.5 * np.sqrt(rest[2, 3]), rtol=1e-4)
    above = cp.relative_movie(movie, kind="difference", frame_rate_hz=10, window_s=10)
    np.testing.assert_allclose(above[155, 2, 3], 1.5 * rest[2, 3], rtol=1e-4)


def test_relative_movie_follows_drift_and_is_nothing_where_there_is_no_light():
    time = np.arange(600)
    movie = np.broadcast_to((100 + 0.1 * time)[:, None, None], (600, 3, 5)).copy()
    movie[:, 0, 0] = 0
    movie[77] = np.nan
    dff = cp.relative_movie(movie, frame_rate_hz=10, window_s=6)
    assert np.isnan(dff[:, 0, 0]).all()
    assert np.isnan(dff[77]).all()
    assert np.abs(dff[100:500, 1, 1][np.arange(100, 500) != 77]).max() < 0.03
    # Frame by frame or at once: the same numbers.
    np.testing.assert_array_equal(dff[:][301], dff[301])
    with pytest.raises(cp.PipelineError, match="`frame_rate_hz` must be given"):
        cp.relative_movie(movie)
