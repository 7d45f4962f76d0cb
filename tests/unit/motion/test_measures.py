"""Measures, plan, scan offset, sums: the small parts of the motion stage."""

from __future__ import annotations

import numpy as np
import pytest
from moving import make_scene

from caiman_pipeline.config.bad_frames import frames_listed
from caiman_pipeline.config.motion import MotionSettings
from caiman_pipeline.config.root import Config, resolve_section
from caiman_pipeline.config.validate import validate
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.motion import Shifts
from caiman_pipeline.motion.filters import band_pass
from caiman_pipeline.motion.in_pixels import capped_lengths, make_plan
from caiman_pipeline.motion.measures import (
    border_widths,
    crispness,
    damaged_frames,
    frames_beyond,
    structures,
    unlike_frames,
)
from caiman_pipeline.motion.records import ShiftTable, join_shifts, sum_scale
from caiman_pipeline.motion.scan import find_scan_offset, shift_odd_rows
from caiman_pipeline.motion.sums import Likeness
from caiman_pipeline.numerics.threads import run_parallel

RNG = np.random.default_rng(31)


def test_crispness_is_the_norm_of_the_gradient_inside_the_mask():
    image = np.zeros((6, 9), np.float32)
    image[2:, 4:] = 3
    assert crispness(image, np.ones(image.shape, bool)) == pytest.approx(np.sqrt(9 * (4 + 5)))
    mask = np.ones(image.shape, bool)
    mask[:, :4] = False
    assert crispness(image, mask) == pytest.approx(np.sqrt(9 * 5))
    assert crispness(np.stack([image, image]), np.ones((2, 6, 9), bool)) == pytest.approx(np.sqrt(2 * 9 * 9))


@pytest.mark.parametrize("dims", [(40, 53), (3, 30, 41)])
def test_structures_of_an_image_are_those_that_registration_follows(dims):
    image, width = make_scene(dims), (2.0,) * (len(dims) - 2) + (1.5, 2.5)
    np.testing.assert_allclose(structures(image, width), band_pass(image[None], width)[0], atol=1e-4 * np.ptp(image))
    assert structures(image, None) is image


def test_frames_far_below_the_median_are_unlike_and_bad_ones_do_not_count():
    correlation = RNG.normal(0.9, 0.01, 200)
    correlation[[17, 90]], correlation[50] = 0.6, np.nan
    good = np.ones(200, bool)
    good[90] = False
    assert list(np.flatnonzero(unlike_frames(correlation, good, deviations=8))) == [17]
    assert not unlike_frames(correlation, np.zeros(200, bool), deviations=8).any()


def test_the_border_is_what_is_mostly_invalid_at_each_end():
    valid = np.zeros((20, 30), bool)
    valid[2:19, 5:30] = True
    valid[3, 4], valid[10, 10] = True, False
    np.testing.assert_array_equal(border_widths(valid), [[2, 1], [5, 0]])
    np.testing.assert_array_equal(border_widths(np.zeros((3, 4), bool)).sum(1), [3, 4])


def test_frames_beyond_the_border_are_those_shifted_further_than_it_is_wide():
    widths = np.array([[2, 0], [0, 4]])
    rigid = np.array([[0, 0], [-3, 0], [1, 0], [0, 3.9], [0, 4.5], [0, -1]])
    np.testing.assert_array_equal(frames_beyond(rigid, widths), [0, 1, 1, 0, 1, 1])


def test_likeness_is_the_correlation_over_the_mask_for_both_layouts():
    image, mask = RNG.normal(50, 5, (14, 22)).astype(np.float32), RNG.random((14, 22)) < 0.7
    frames = (image + RNG.normal(0, 5, (40, 14, 22)) + 90).astype(np.float32)
    good = RNG.random(40) < 0.8
    likeness, scale = Likeness(image, mask, sum_scale(0, 1000)), sum_scale(0, 1000)
    sums = np.zeros((2, 14, 22), np.int64)
    found = likeness.of_frames(frames, good, sums[0])
    np.testing.assert_allclose(found, [np.corrcoef(f[mask], image[mask])[0, 1] for f in frames], atol=1e-4)
    part = np.ascontiguousarray(np.moveaxis(frames, 0, -1))
    correlation, gain = likeness.of_part(part, good, sums[1], holes=False)
    np.testing.assert_allclose(correlation, found, atol=1e-5)
    np.testing.assert_allclose(gain, [np.polyfit(image[mask], f[mask], 1)[0] for f in frames], atol=1e-4)
    np.testing.assert_array_equal(sums[0], sums[1])
    np.testing.assert_allclose(sums[0] / scale, frames[good].sum(0, dtype=np.float64), rtol=1e-6)


def test_pixels_that_are_no_numbers_count_neither_for_likeness_nor_for_sums():
    image, mask = RNG.normal(50, 5, (14, 22)).astype(np.float32), RNG.random((14, 22)) < 0.7
    frames = (0.6 * image + RNG.normal(0, 5, (40, 14, 22)) + 90).astype(np.float32)
    frames[RNG.random(frames.shape) < 0.1] = np.nan
    frames[3, :6] = np.nan
    good, scale = RNG.random(40) < 0.8, sum_scale(0, 1000)
    likeness, total = Likeness(image, mask, scale), np.zeros((14, 22), np.int64)
    part = np.ascontiguousarray(np.moveaxis(frames, 0, -1))
    correlation, gain = likeness.of_part(part, good, total, holes=True)
    seen = [mask & np.isfinite(f) for f in frames]
    pairs = [(image[s], f[s]) for f, s in zip(frames, seen, strict=True)]
    np.testing.assert_allclose(correlation, [np.corrcoef(*pair)[0, 1] for pair in pairs], atol=1e-4)
    np.testing.assert_allclose(gain, [np.polyfit(*pair, 1)[0] for pair in pairs], atol=1e-3)
    np.testing.assert_allclose(total / scale, np.nansum(frames[good], axis=0, dtype=np.float64), rtol=1e-6)


def test_activity_leaves_frames_alike_where_it_counts_little_and_damage_does_not():
    image = RNG.normal(50, 5, (24, 32)).astype(np.float32)
    frames = image + RNG.normal(0, 5, (200, 24, 32)).astype(np.float32)
    frames[40, 4:12, 6:15] += 90  # a bright burst of one cell
    frames[90] = np.roll(frames[90], 5, axis=0)
    frames[130] = RNG.normal(10, 1, (24, 32))
    frames[150:153, :, 9:19] += 200
    good, likeness = np.arange(200) != 170, Likeness(image, np.ones((24, 32), bool), sum_scale(0, 1000))
    part, total = np.ascontiguousarray(np.moveaxis(frames, 0, -1)), np.zeros((24, 32), np.int64)
    correlation, gain = likeness.of_part(part, good, total, holes=False)
    quiet = likeness.of_quiet(part, good)
    unlike = unlike_frames(correlation, good, deviations=6)
    damaged = damaged_frames(correlation, quiet, gain, good, deviations=6)
    assert list(np.flatnonzero(unlike)) == [40, 90, 130, 150, 151, 152]
    assert list(np.flatnonzero(damaged)) == [90, 130, 150, 151, 152]
    assert not damaged_frames(correlation, quiet, gain, np.zeros(200, bool), deviations=6).any()


def test_sums_are_the_same_in_any_order():
    values = RNG.normal(0, 1000, (500, 4, 8)).astype(np.float32)
    likeness, good = Likeness(values[0], np.ones((4, 8), bool), sum_scale(-5000, 5000)), np.ones(500, bool)
    whole, pieces = np.zeros((4, 8), np.int64), np.zeros((4, 8), np.int64)
    likeness.of_frames(values, good, whole)
    for piece in np.array_split(values[::-1], 7):
        likeness.of_frames(np.ascontiguousarray(piece), good[: len(piece)], pieces)
    np.testing.assert_array_equal(whole, pieces)


@pytest.mark.parametrize("offset", [2, -3, 0, 1.4])
def test_the_scan_offset_is_found_and_undone(offset):
    scene = make_scene((60, 90), seed=4)[20:80, 20:110]
    frames = (scene + RNG.normal(0, 5, (3, 60, 90))).astype(np.float32)
    shifted = shift_odd_rows(frames, offset)
    assert abs(find_scan_offset(shifted, max_offset_px=10) - offset) < 0.2
    np.testing.assert_array_equal(shifted[:, ::2], frames[:, ::2])
    if float(offset).is_integer():
        np.testing.assert_allclose(shift_odd_rows(shifted, -offset)[:, :, 5:-5], frames[:, :, 5:-5], atol=1e-4)
        assert offset == 0 or not np.allclose(shifted, frames)


@pytest.mark.parametrize("threads", ["1", "3", "8"])
@pytest.mark.parametrize("count", [0, 1, 5, 100])
def test_every_item_is_done_once_on_any_number_of_threads(monkeypatch, threads, count):
    monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
    done = np.zeros(count, int)

    def kernel(begin, end, add):
        done[begin:end] += add

    run_parallel(kernel, count, 2)
    assert (done == 2).all()


def test_an_error_in_a_kernel_comes_through(monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")

    def kernel(begin, end):
        raise ValueError(begin)

    with pytest.raises(ValueError):
        run_parallel(kernel, 10)


def test_shifts_of_pieces_without_frames_do_not_matter():
    grid = (np.float32([0, 9]), np.float32([0, 5, 10]))
    pieces = [Shifts(np.ones((n, 2), np.float32), np.ones((n, 2, 3, 2), np.float32), grid) for n in (0, 4, 3)]
    assert join_shifts(pieces).field.shape == (7, 2, 3, 2)
    assert join_shifts(pieces[:1]).n_frames == 0
    assert join_shifts([Shifts(np.ones((2, 2), np.float32))] * 3).rigid.shape == (6, 2)


@pytest.mark.parametrize("local", [True, False])
def test_shifts_that_are_added_one_after_the_other_are_the_joined_ones(local):
    rng, grid = np.random.default_rng(0), (np.arange(2, dtype=np.float32), np.arange(3, dtype=np.float32))
    pieces = [
        Shifts(rng.random((n, 2), np.float32), rng.random((n, 2, 3, 2), np.float32), grid)
        if local
        else Shifts(rng.random((n, 2), np.float32))
        for n in (4, 0, 1, 6)
    ]
    joined, kind = join_shifts(pieces), pieces[1]
    table = ShiftTable(kind, 11)
    for piece in pieces:
        table.add(piece)
    gathered = table.shifts
    np.testing.assert_array_equal(gathered.rigid, joined.rigid, strict=True)
    assert (gathered.field is None) is (not local)
    if local:
        np.testing.assert_array_equal(gathered.field, joined.field, strict=True)
        assert gathered.grid is kind.grid


def plan(dims=(64, 90), rate=30.0, **keys):
    return make_plan(MotionSettings(**keys), dims=dims, frame_rate_hz=rate)


def test_the_plan_is_in_pixels_and_frames():
    found = plan(
        max_shift="7.2 px", max_deviation="2 x 3 px", smoothing_s=0.4, patch_spacing="16 x 24 px", high_pass="3 px"
    )
    assert found.max_shift == (8, 8)
    assert found.max_deviation == (2, 3)
    assert found.reach == 12
    assert found.spacing == found.patch_spacing == (16.0, 24.0)
    assert found.high_pass == (3.0, 3.0)
    assert plan(method="rigid").spacing is None
    assert plan(max_shift="500 px").max_shift == (21, 30), "at most a third of the field"


def test_few_planes_are_not_shifted_across():
    assert plan((3, 64, 90)).max_shift[0] == 0
    assert plan((9, 64, 90)).max_shift[0] == 3


def test_lengths_in_micrometres_and_cells_reach_the_plan_in_pixels():
    config = validate(
        Config,
        {
            "recording": {"pixel_size_um": 0.5, "cell_diameter": "12 um"},
            "motion": {"max_shift": "10 um", "high_pass": "0.25 cells", "patch_spacing": "2 cells"},
        },
        "config",
    )
    values = resolve_section(config, "motion")
    found = make_plan(MotionSettings(**values), dims=(200, 300), frame_rate_hz=10)
    assert found.max_shift == (20, 20)
    assert found.high_pass == (6.0, 6.0)
    assert found.spacing == (48.0, 48.0)


def test_lengths_are_those_of_each_axis_where_pixels_are_not_square():
    config = validate(
        Config,
        {
            "recording": {"pixel_size_um": "2.5 x 0.5", "cell_diameter": "12 um"},
            "motion": {"max_shift": "10 um", "high_pass": "0.25 cells", "patch_spacing": "32 px"},
        },
        "config",
    )
    values = resolve_section(config, "motion")
    found = make_plan(MotionSettings(**values), dims=(200, 300), frame_rate_hz=10)
    assert found.max_shift == (4, 20)
    assert found.high_pass == (1.2, 6.0)
    assert found.spacing == (6.4, 32.0)


@pytest.mark.parametrize("region", [[(0, 65), (0, 90)], [(5, 5), (0, 90)], [(0, 10)], [(-1, 10), (0, 10)]])
def test_a_region_outside_the_frame_is_an_error(region):
    with pytest.raises(PipelineError, match=r"motion\.region"):
        plan(region=region)


def test_bad_frames_are_listed_one_by_one_or_as_ranges():
    settings = MotionSettings(bad_frames=[3, "7-9", "95-97", "b.tif:2-3", "a.tif:0"])
    files = [("raw/a.tif", 60), ("raw/b.tif", 38)]
    assert frames_listed(settings.bad_frames, files) == (0, 3, 7, 8, 9, 62, 63, 95, 96, 97)
    assert frames_listed(MotionSettings(bad_frames="7-9").bad_frames, files) == (7, 8, 9)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("98", "98 lies beyond the end, the recording has 98 frames, 0 to 97"),
        ("90-5000", "90-5000 lies beyond the end, the recording has 98 frames"),
        ("b.tif:38", "b.tif has 38 frames, 0 to 37"),
        ("c.tif:3", r"'c.tif' is no file of the recording \(a.tif, b.tif, b.tif\)"),
    ],
)
def test_frames_that_the_recording_does_not_have_are_an_error(item, said):
    with pytest.raises(PipelineError, match=said):
        frames_listed([item], [("raw/a.tif", 60), ("raw/b.tif", 38)] + ([("x/b.tif", 0)] if "c." in item else []))


def test_a_file_that_cannot_be_told_from_another_is_an_error_unless_its_path_is_given():
    files = [("one/a.tif", 60), ("two/a.tif", 38)]
    with pytest.raises(PipelineError, match="in more than one folder"):
        frames_listed(["a.tif:3"], files)
    assert frames_listed(["two/a.tif:3"], files) == (63,)


def test_wrong_forms_are_refused():
    for wrong in (["9-7"], ["x"], ["-3"]):
        with pytest.raises(PipelineError, match="bad_frames"):
            validate(MotionSettings, {"bad_frames": wrong}, "config")


def test_lengths_beyond_a_third_of_the_frame_are_told():
    dims = (60, 104)
    assert capped_lengths(MotionSettings(), dims) == ()
    (said,) = capped_lengths(MotionSettings(max_shift="20.5 px"), dims)
    assert "`motion.max_shift` of 20.5 x 20.5 px is more than a third of frames of 60 x 104" in said
    assert "up to 20 x 21 px" in said
    assert plan(max_shift="20.5 px", dims=dims).max_shift == (20, 21)
    assert capped_lengths(MotionSettings(max_shift="40 px", method="none"), dims) == ()
    assert len(capped_lengths(MotionSettings(max_shift="40 px", max_deviation="30 px"), dims)) == 2
    # Across planes, the default says nothing; few planes are not looked across at all.
    assert capped_lengths(MotionSettings(), (12, 60, 104)) == ()
    assert len(capped_lengths(MotionSettings(max_shift="5 x 9 x 9 px"), (12, 60, 104))) == 1
    assert capped_lengths(MotionSettings(max_shift="5 x 9 x 9 px"), (4, 60, 104)) == ()


@pytest.mark.parametrize("value", [0.0, 37.3, 60000.0])
def test_a_constant_frame_is_like_nothing(value):
    image = RNG.normal(500, 20, (20, 1031)).astype(np.float32)
    frames = np.stack([np.full_like(image, value), image])
    likeness, good = Likeness(image, np.ones(image.shape, bool), sum_scale(0, 60000)), np.ones(2, bool)
    total = np.zeros(image.shape, np.int64)
    np.testing.assert_allclose(likeness.of_frames(frames, good, total), [0, 1], atol=1e-4)
    part = np.moveaxis(frames, 0, -1).copy()
    np.testing.assert_allclose(likeness.of_part(part, good, total, holes=False)[0], [0, 1], atol=1e-4)
    np.testing.assert_allclose(likeness.of_part(part, good, total, holes=True)[0], [0, 1], atol=1e-4)
