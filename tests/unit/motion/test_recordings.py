"""The motion stage on recordings that move in a known way: sign, order, limits, and the same for any split."""

from __future__ import annotations

import numpy as np
import pytest
from moving import DIMS, film, make_scene, wander

from caiman_pipeline.motion.field import displacement_at
from caiman_pipeline.motion.measures import crispness
from caiman_pipeline.results.files import save_result

SCENE = make_scene()
T = 90


def error_px(found, true):
    """Root mean square error, a constant offset (the choice of template) aside."""
    difference = np.asarray(found, np.float64) - true
    return float(np.sqrt(((difference - difference.mean(0)) ** 2).mean()))


def correlation(a, b):
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


def jumps(n_frames, low, high):
    """Half of the frames displaced by ``high``, in alternating runs, the others by ``low``."""
    return np.where((np.arange(n_frames) // 15 % 2)[:, None] == 1, high, low)


def test_shifts_come_in_order_row_column_and_with_the_sign_of_the_scenes_displacement(record, run_motion):
    true = jumps(T, (0, 0), (3, -5))
    movie = film(SCENE, lambda t: true[t], T)
    outcome = run_motion(record(movie), method="rigid")
    apart = outcome["rigid"][true[:, 0] == 3].mean(0) - outcome["rigid"][true[:, 0] == 0].mean(0)
    np.testing.assert_allclose(apart, (3, -5), atol=0.05)
    inner = (slice(10, -10), slice(10, -10))
    moved, still = outcome.movie[..., true[:, 0] == 3].mean(-1), outcome.movie[..., true[:, 0] == 0].mean(-1)
    assert correlation(moved[inner], still[inner]) > 0.99
    assert correlation(movie[true[:, 0] == 3].mean(0)[inner], movie[true[:, 0] == 0].mean(0)[inner]) < 0.7


def test_rigid_motion_is_found_to_a_few_hundredths_of_a_pixel(record, run_motion):
    true = wander(T, size=6.0)
    outcome = run_motion(record(film(SCENE, lambda t: true[t], T)), method="rigid")
    assert outcome["method"] == "rigid"
    assert error_px(outcome["rigid"], true) < 0.05
    assert outcome["correlation_after"].mean() > outcome["correlation_before"].mean() + 0.1
    assert outcome["crispness_after"] > outcome["crispness_before"]
    assert outcome["residual_after"].mean() < 0.2


def test_the_template_is_where_the_scene_is_in_the_middle_of_its_motion(record, run_motion):
    """A scene that rests far to one side for a third of the time must not make that side the origin."""
    true = np.where(np.arange(T)[:, None] < 30, (5.0, -6.0), wander(T, size=1.5))
    outcome = run_motion(record(film(SCENE, lambda t: true[t], T)), method="rigid")
    assert error_px(outcome["rigid"], true) < 0.05
    assert np.abs(np.median(outcome["rigid"], axis=0)).max() <= 0.15


@pytest.mark.parametrize(("axis", "along"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_gradient_of_displacement_along_either_axis_keeps_its_orientation(record, run_motion, axis, along):
    slope = np.linspace(-2.5, 2.5, DIMS[along]).reshape((-1, 1) if along == 0 else (1, -1))
    course = np.sin(np.arange(T) / 7.0)

    def displacement(t):
        field = np.zeros((*DIMS, 2))
        field[..., axis] = slope * course[t]
        return field

    outcome = run_motion(record(film(SCENE, displacement, T)), patch_spacing="20 px", patch_size="40 px")
    assert outcome["method"] == "piecewise"
    rows, columns = np.arange(8, DIMS[0] - 7, 14), np.arange(8, DIMS[1] - 7, 22)
    found = displacement_at(outcome.shifts, rows, columns)
    true = np.stack([displacement(t)[np.ix_(rows, columns)] for t in range(T)])
    assert np.sqrt((true**2).mean()) > 0.6
    assert error_px(found, true) < 0.12


def test_a_static_noisy_movie_is_left_alone(record, run_motion):
    movie = film(SCENE, lambda t: np.zeros(2), T, noise=60.0)
    outcome = run_motion(record(movie))
    assert outcome["method"] == "none"
    np.testing.assert_array_equal(np.moveaxis(outcome.movie, -1, 0), movie)
    forced = run_motion(record(movie, name="forced"), method="rigid", keep_better=False)
    assert forced["method"] == "rigid"
    assert np.abs(forced["rigid"] - forced["rigid"].mean(0)).mean() < 0.1
    assert forced["correlation_after"].mean() > forced["correlation_before"].mean() - 0.01


def test_one_far_frame_is_listed_and_widens_no_border(record, run_motion):
    true = wander(T, size=1.0)
    true[40] = (11, -9)
    outcome = run_motion(record(film(SCENE, lambda t: true[t], T)), method="rigid", max_shift="16 px")
    np.testing.assert_allclose(outcome["rigid"][40] - outcome["rigid"][41], true[40] - true[41], atol=0.15)
    assert outcome["border"].max() <= 2
    assert list(np.flatnonzero(outcome["beyond_border"])) == [40]
    assert any("beyond the border: 40" in w for w in outcome.joined.warnings)


def test_frames_at_the_limit_are_counted_and_warned_of(record, run_motion):
    true = jumps(T, (0, 0), (0, 9))
    true[60:] = 0
    outcome = run_motion(record(film(SCENE, lambda t: true[t], T)), method="rigid", max_shift="6 px", keep_better=False)
    far = np.flatnonzero(true[:, 1] == 9)
    assert np.abs(outcome["rigid"]).max() < 8, "a shift beyond the limit must not wrap around"
    assert outcome["at_limit"][far].mean() > 0.9
    assert outcome["at_limit"][np.flatnonzero(true[:, 1] == 0)].mean() < 0.1
    assert outcome["flagged"][far].mean() > 0.9
    assert any("motion.max_shift" in w for w in outcome.joined.warnings)


def test_blocks_files_and_threads_change_no_bit(record, run_motion, monkeypatch):
    monkeypatch.setattr("caiman_pipeline.movies.store.bounds.PART_BYTES", 16 * 4 * DIMS[0] * DIMS[1])
    true = wander(T)
    movie = film(SCENE, lambda t: true[t], T)
    keys = {"patch_spacing": "20 px", "patch_size": "40 px", "keep_better": False}
    one = run_motion(record(movie), **keys)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "3")
    other = run_motion(record(movie, files=7, name="seven"), blocks=4, **keys)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    many = run_motion(record(movie, name="many"), blocks=25, **keys)
    for outcome in (other, many):
        np.testing.assert_array_equal(one.movie, outcome.movie)
        for name, value in one.arrays.items():
            np.testing.assert_array_equal(value, outcome[name], err_msg=name)


def test_more_blocks_than_frames_change_no_bit(record, run_motion):
    true = wander(20)
    info = record(film(SCENE, lambda t: true[t], 20))
    one, many = run_motion(info), run_motion(info, blocks=27)
    np.testing.assert_array_equal(one.movie, many.movie)
    np.testing.assert_array_equal(one["rigid"], many["rigid"])


def test_a_constant_offset_changes_nothing_but_the_offset(record, run_motion):
    true = wander(T)
    movie = film(SCENE, lambda t: true[t], T)
    low = run_motion(record(movie))
    high = run_motion(record(movie + 1000, name="high"))
    np.testing.assert_allclose(high["rigid"], low["rigid"], atol=2e-3)
    np.testing.assert_allclose(high.movie - 1000, low.movie, atol=0.5)


def test_values_below_zero_that_come_late_are_kept(record, run_motion):
    true = wander(T)
    movie = np.rint(film(SCENE, lambda t: true[t], T) - 150).astype(np.int16)
    movie[:45] = np.maximum(movie[:45], 0)
    outcome = run_motion(record(movie, files=2), method="rigid")
    assert outcome.movie[..., 60:].min() < -20
    np.testing.assert_allclose(outcome["mean_after"][20:50, 20:80].mean(), movie[:, 20:50, 20:80].mean(), atol=2)


def test_volumes_move_along_all_axes_and_keep_their_edge_planes(record, run_motion):
    dims = (8, 44, 60)
    scene = make_scene(dims, seed=3)
    true = jumps(60, (0, 0, 0), (1, 2, -3))
    movie = film(scene, lambda t: true[t], 60)
    outcome = run_motion(record(movie), method="rigid", max_shift="2 x 8 x 8 px")
    apart = outcome["rigid"][true[:, 0] == 1].mean(0) - outcome["rigid"][true[:, 0] == 0].mean(0)
    np.testing.assert_allclose(apart, (1, 2, -3), atol=0.12)
    assert outcome.movie.shape == (*dims, 60)
    level = outcome.movie[:, 12:-12, 12:-12].mean((1, 2, 3))
    np.testing.assert_allclose(level, movie[:, :, 12:-12, 12:-12].mean((0, 2, 3)), rtol=0.1)


def test_fractions_of_a_plane_are_found(record, run_motion):
    shifts = wander(48, 3, size=1.5)
    shifts[:, 0] = 0.45 * np.sin(np.arange(48) / 5)
    movie = film(make_scene((8, 48, 56), seed=3), lambda t: shifts[t], 48)
    found = run_motion(record(movie), method="rigid").arrays["rigid"]
    error = (found - found.mean(0)) - (shifts - shifts.mean(0))
    assert np.sqrt(np.mean(error[:, 0] ** 2)) < 0.05
    assert np.sqrt(np.mean(error[:, 1:] ** 2)) < 0.1


def test_a_few_planes_are_corrected_together(record, run_motion):
    dims = (2, 52, 70)
    true = wander(T, 3)
    movie = film(make_scene(dims, seed=4), lambda t: true[t], T)
    outcome = run_motion(record(movie), method="rigid")
    assert not outcome["rigid"][:, 0].any()
    assert error_px(outcome["rigid"], true) < 0.06


def test_one_photon_cells_are_followed_under_a_static_vignette(record, run_motion):
    true = wander(T, size=4.0)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in DIMS], indexing="ij"))
    vignette = 3000 * np.exp(-2.0 * (grid**2).sum(0))
    movie = film(SCENE, lambda t: true[t], T) + vignette.astype(np.float32)
    followed = run_motion(record(movie), method="rigid", high_pass="2.5 px")
    assert error_px(followed["rigid"], true) < 0.15
    np.testing.assert_allclose(followed.movie.max(), movie.max(), rtol=0.1)


def test_a_cameras_fixed_pattern_does_not_count_as_crispness_of_what_is_followed(record, run_motion):
    """Correction blurs it, so that the mean image is less crisp after it although the scene is crisper."""
    true = wander(T, size=4.0)
    movie = film(SCENE, lambda t: true[t], T) + 0.5 * np.ptp(SCENE) * (np.arange(DIMS[1]) % 2)
    followed = run_motion(record(movie), method="rigid", high_pass="2.5 px")
    assert crispness(followed["mean_after"], followed["valid"]) < crispness(followed["mean_before"], followed["valid"])
    assert followed["crispness_after"] > followed["crispness_before"]
    assert not any("less crisp" in w for w in followed.joined.warnings)


def test_bad_frames_stay_out_of_templates_and_are_flagged(record, run_motion):
    true = wander(T)
    movie = np.rint(film(SCENE, lambda t: true[t], T)).astype(np.uint16)
    movie[20:26] = 0
    movie[50] = 60000
    listed = run_motion(record(movie), method="rigid", bad_frames=["50"])
    assert list(np.flatnonzero(listed["bad"])) == [20, 21, 22, 23, 24, 25, 50]
    assert not listed["rigid"][20:26].any()
    assert np.isfinite(listed.movie).all()
    assert list(listed.joined.measures.left_out) == [2 * (20 <= t < 26) + 1 * (t == 50) for t in range(T)]
    assert listed["template"].max() < 1000
    assert listed["mean_after"].max() < 1000
    np.testing.assert_array_equal(listed.movie[..., 22], 0)


def test_frames_unlike_the_others_are_flagged(record, run_motion):
    true = wander(T)
    movie = film(SCENE, lambda t: true[t], T)
    movie[33] = np.random.default_rng(9).permutation(movie[33].ravel()).reshape(DIMS)
    outcome = run_motion(record(movie), method="rigid")
    assert list(np.flatnonzero(outcome["unlike"])) == list(np.flatnonzero(outcome["flagged"])) == [33]
    assert list(outcome["left_out"]) == [3 * (t == 33) for t in range(T)]
    assert any(
        "1 frames are unlike the template, left out of all that follows: 33" in w for w in outcome.joined.warnings
    )
    kept = run_motion(record(movie), method="rigid", max_unlike_fraction=0.5 / T)
    assert list(np.flatnonzero(kept["unlike"])) == [33]
    assert not kept.joined.measures.left_out.any()
    assert any("too many to be left out (`motion.max_unlike_fraction`): 33" in w for w in kept.joined.warnings)


def test_frames_without_shifts_in_the_other_recording_are_left_out(record, run_motion, tmp_path):
    true = wander(T)
    movie = film(SCENE, lambda t: true[t], T)
    red = run_motion(record(movie), method="rigid", bad_frames=["20-22"])
    save_result(tmp_path / "red.h5", kind="motion", arrays=red.arrays, settings={}, source={})
    keys = {"shifts_from": str(tmp_path / "red.h5"), "bad_frames": ["7"]}
    green = run_motion(record(movie, name="green"), **keys)
    assert list(green.joined.measures.left_out) == [4 * (20 <= t < 23) + (t == 7) for t in range(T)]


def test_frames_of_bright_activity_are_not_left_out(record, run_motion):
    movie = film(SCENE, lambda t: np.zeros(2), T, noise=10)
    plain = run_motion(record(movie), method="rigid")
    for row, column in ((14, 20), (30, 70), (50, 40), (58, 85)):
        movie[40:43, row : row + 7, column : column + 8] += 3000
    outcome = run_motion(record(movie), method="rigid")
    low = np.median(plain["correlation_after"]) - 8 * 1.4826 * np.ptp(plain["correlation_after"])
    assert outcome["correlation_after"][40:43].max() < low
    assert not outcome.joined.measures.left_out.any()


def test_a_border_of_nan_stays_out_of_everything(record, run_motion):
    true = wander(T)
    movie = film(SCENE, lambda t: true[t], T)
    movie[:, :4], movie[:, :, -7:] = np.nan, np.nan
    movie[30] = np.nan
    outcome = run_motion(record(movie))
    assert np.isfinite(outcome.movie).all()
    assert np.isfinite(outcome["template"]).all()
    assert error_px(np.delete(outcome["rigid"], 30, 0), np.delete(true, 30, 0)) < 0.1
    assert not outcome.joined.measures.valid[:3].any()
    assert not outcome.joined.measures.valid[:, -6:].any()
    assert outcome.joined.measures.valid[12:-12, 12:-16].all()


@pytest.mark.parametrize("border", ["nearest", "min", "nan"])
def test_pixels_from_outside_become_what_the_border_says(record, run_motion, border):
    true = jumps(T, (0, 0), (0, 6))
    movie = film(SCENE, lambda t: true[t], T)
    outcome = run_motion(record(movie), method="rigid", border=border)
    shifted = outcome["rigid"][:, 1] > outcome["rigid"][:, 1].mean()
    outside = outcome.movie[30, -2, shifted] if outcome["rigid"][:, 1].max() > 2 else outcome.movie[30, 1, ~shifted]
    if border == "nan":
        assert np.isnan(outside).all()
        assert np.isfinite(outcome.movie[outcome.joined.measures.valid]).all()
        same = run_motion(record(movie), method="rigid", border="nearest")
        inner = outcome.joined.measures.valid
        np.testing.assert_allclose(outcome["mean_after"][inner], same["mean_after"][inner], rtol=1e-6)
        np.testing.assert_allclose(outcome["mean_after"], same["mean_after"], atol=0.2 * np.ptp(same["mean_after"]))
        np.testing.assert_allclose(outcome["correlation_after"], same["correlation_after"], atol=0.02)
        np.testing.assert_allclose(outcome["residual_after"], same["residual_after"], atol=0.05)
        assert outcome["crispness_after"] == pytest.approx(crispness(same["mean_after"], inner), rel=1e-5)
        np.testing.assert_array_equal(outcome["unlike"], same["unlike"])
    elif border == "min":
        np.testing.assert_allclose(outside, movie.min())
    else:
        assert np.isfinite(outside).all()
        assert outside.min() > movie.min()


def test_odd_rows_are_put_back(record, run_motion):
    true = wander(T, size=2.0)
    movie = film(SCENE, lambda t: true[t], T)
    shifted = movie.copy()
    shifted[:, 1::2] = np.roll(movie[:, 1::2], 2, axis=2)
    outcome = run_motion(record(shifted), method="rigid", scan_offset="auto")
    assert abs(outcome["scan_offset_px"] - 2) < 0.15
    plain = run_motion(record(movie, name="plain"), method="rigid")
    inner = (slice(8, -8), slice(10, -10))
    assert correlation(outcome["template"][inner], plain["template"][inner]) > 0.98


def test_only_the_region_is_used(record, run_motion):
    true = wander(T)
    movie = film(SCENE, lambda t: true[t], T)
    movie[:, :, 60:] = film(make_scene(seed=8), lambda t: -true[t], T)[:, :, 60:]
    outcome = run_motion(record(movie), method="rigid", region=[(0, 72), (0, 58)])
    assert error_px(outcome["rigid"], true) < 0.08
    assert not outcome.joined.measures.valid[:, 60:].any()
    assert outcome.joined.measures.valid[8:-8, 8:50].all()


def test_a_given_template_is_kept_and_fixes_the_origin(record, run_motion, tmp_path):
    true = wander(T)
    movie = film(SCENE, lambda t: true[t], T)
    clean = film(SCENE, lambda t: np.array([1.0, -2.0]), 1, noise=0)[0]
    np.save(tmp_path / "reference.npy", clean)
    outcome = run_motion(record(movie), method="rigid", template=str(tmp_path / "reference.npy"))
    np.testing.assert_array_equal(outcome["template"], clean)
    np.testing.assert_allclose(outcome["rigid"], true - (1, -2), atol=0.25)


@pytest.mark.parametrize("n_frames", [3, 20])
def test_few_frames_give_a_finite_template(record, run_motion, n_frames):
    true = wander(40)
    outcome = run_motion(record(film(SCENE, lambda t: true[t], n_frames)))
    assert np.isfinite(outcome["template"]).all()
    assert np.isfinite(outcome.movie).all()
    assert len(outcome["rigid"]) == n_frames


def test_a_constant_movie_passes_with_every_frame_flagged(record, run_motion):
    outcome = run_motion(record(np.full((30, 24, 31), 7, np.uint16)))
    assert outcome["flagged"].all()
    assert not outcome.joined.measures.left_out.any(), "nothing would be left"
    assert np.isfinite(outcome.movie).all()
    assert outcome["method"] == "none"


def test_fourier_phase_keeps_more_of_the_noise_than_cubic(record, run_motion):
    true = wander(T) + 0.5
    movie = film(SCENE, lambda t: true[t], T)
    keys = {"method": "rigid", "keep_better": False}
    cubic, fourier = run_motion(record(movie), **keys), run_motion(record(movie), interpolation="fourier", **keys)
    inner = (slice(15, -15), slice(15, -15))
    np.testing.assert_allclose(fourier["mean_after"][inner], cubic["mean_after"][inner], atol=6)
    assert fourier.movie[inner].std(-1).mean() > 1.03 * cubic.movie[inner].std(-1).mean()


@pytest.mark.parametrize("rounds", [1, 2])
def test_the_pixels_inside_are_those_of_the_template_wherever_it_was_moved_to(record, run_motion, rounds):
    true = np.where(np.arange(T)[:, None] < 24, (9.0, -12.0), wander(T, size=1.0))
    info = record(film(SCENE, lambda t: true[t], T))
    outcome = run_motion(info, method="rigid", template_rounds=rounds, max_shift="20 px")
    centre, (height, width) = np.median(true, axis=0), outcome.template.mask.shape
    low, high = true.min(0) - centre, true.max(0) - centre
    rows, columns = (np.flatnonzero(outcome.template.mask.any(axis)) for axis in (1, 0))
    # In the template's place a pixel is seen by all frames if it lies this far from the edges.
    assert abs(rows[0] - max(-low[0], 0)) <= 2
    assert abs(rows[-1] - (height - 1 - max(high[0], 0))) <= 2
    assert abs(columns[0] - max(-low[1], 0)) <= 2
    assert abs(columns[-1] - (width - 1 - max(high[1], 0))) <= 2
