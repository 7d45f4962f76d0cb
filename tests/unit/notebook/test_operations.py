"""Movies made of movies: each by its definition, the same however it is read, with what is known of it."""

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter, median_filter

import caiman_pipeline as cp
from caiman_pipeline.cli.main import main

RNG = np.random.default_rng(8)
MOVIE = RNG.normal(100, 10, (23, 12, 18)).astype(np.float32)
VOLUME = RNG.normal(100, 10, (9, 3, 12, 18)).astype(np.float32)


@pytest.mark.parametrize("movie", [MOVIE, VOLUME], ids=["plane", "volume"])
@pytest.mark.parametrize("statistic", ["mean", "median", "max", "min"])
def test_bins(movie, statistic):
    made = cp.bin_movie(movie, 4, statistic=statistic)
    n = len(movie) // 4
    expected = getattr(np, statistic)(movie[: 4 * n].reshape(n, 4, *movie.shape[1:]), axis=1)
    np.testing.assert_allclose(made, expected, rtol=1e-6)
    np.testing.assert_array_equal(made[1:2], made[:][1:2])


@pytest.mark.parametrize("movie", [MOVIE, VOLUME], ids=["plane", "volume"])
def test_smaller_frames_are_means_over_areas(movie):
    made = cp.resize_movie(movie, 4, 9)
    expected = movie.reshape(*movie.shape[:-2], 4, 3, 9, 2).mean((-3, -1))
    np.testing.assert_allclose(made, expected, rtol=1e-5)


def test_larger_frames_run_in_straight_lines():
    ramp = np.tile(np.arange(6.0), (2, 4, 1))
    made = cp.resize_movie(ramp, 4, 12)[0, 0]
    np.testing.assert_allclose(made[1:-1], np.arange(1, 11) / 2 - 0.25)


def test_blurs_are_those_of_scipy():
    np.testing.assert_allclose(
        cp.blur_movie(VOLUME, "gaussian", 1.5)[4, 1],
        gaussian_filter(VOLUME[4, 1].astype(float), 1.5, mode="reflect"),
        atol=0.05,
    )
    np.testing.assert_array_equal(cp.blur_movie(MOVIE, "median", 3)[7], median_filter(MOVIE[7], 3, mode="nearest"))


def test_a_bilateral_blur_keeps_edges_that_a_gaussian_one_washes_out():
    step = np.full((1, 12, 18), 100.0)
    step[:, :, 9:] = 200
    noisy = step + RNG.normal(0, 3, step.shape)
    near = cp.blur_movie(noisy, "bilateral", 2, value_range=20)[0]
    assert np.abs(near - step[0]).max() < 8
    assert np.abs(cp.blur_movie(noisy, "gaussian", 2)[0] - step[0]).max() > 30
    assert near[:, :8].std() < noisy[0, :, :8].std() / 2


@pytest.mark.parametrize("kind", ["mean", "std", "max", "min", "sum"])
def test_projections_leave_out_frames_that_are_not_numbers(kind):
    movie = MOVIE.copy()
    movie[5] = np.nan
    kept = np.delete(movie, 5, axis=0).astype(np.float64)
    np.testing.assert_allclose(cp.project_movie(movie, kind), getattr(np, kind)(kept, axis=0), rtol=1e-6)
    with pytest.raises(cp.PipelineError, match="no frame of the movie holds a finite value"):
        cp.project_movie(np.full((3, 4, 5), np.nan), kind)


def test_what_cannot_be_made_is_said():
    for call, what in (
        (lambda: cp.bin_movie(MOVIE, 24), "bins of 24 frames"),
        (lambda: cp.bin_movie(MOVIE, 2, statistic="mode"), "not by 'mode'"),
        (lambda: cp.resize_movie(MOVIE, 0, 5), "0 x 5 pixels"),
        (lambda: cp.blur_movie(MOVIE, "median", 4), "3 or 5 pixels, not 4"),
        (lambda: cp.blur_movie(MOVIE, "gaussian", 0), "above 0 pixels"),
        (lambda: cp.blur_movie(MOVIE, "bilateral", 2), "values that count as near"),
        (lambda: cp.blur_movie(MOVIE, "box", 2), "no blur 'box'"),
        (lambda: cp.project_movie(MOVIE, "mode"), "no projection 'mode'"),
    ):
        with pytest.raises(cp.PipelineError, match=what):
            call()


def test_the_verb_does_what_a_notebook_does_and_keeps_facts_true(tmp_path):
    source, out = tmp_path / "m.npy", tmp_path / "out.tif"
    np.save(source, MOVIE)
    known = ["--recording", "axes=TYX", "frame_rate_hz=20", "pixel_size_um=2 x 1"]
    steps = ["--bin", "4", "--resize", "6", "6", "--blur", "gaussian", "--size", "1"]
    main(["movie", str(source), *steps, "--output", str(out), *known])
    expected = cp.bin_movie(cp.resize_movie(cp.blur_movie(MOVIE, "gaussian", 1), 6, 6), 4)
    np.testing.assert_array_equal(tifffile.imread(out), expected)
    made = cp.open_movie(out)
    assert (made.frame_rate_hz, made.pixel_size_um) == (5.0, (4.0, 3.0))
    main(["movie", str(source), "--project", "max", "--output", str(tmp_path / "max.npy"), *known])
    np.testing.assert_array_equal(np.load(tmp_path / "max.npy")[0], MOVIE.max(0))
    main(["movie", str(source), "--relative", "dff", "--output", str(tmp_path / "dff.npy"), *known])
    np.testing.assert_array_equal(np.load(tmp_path / "dff.npy"), cp.relative_movie(MOVIE, frame_rate_hz=20))
