"""Inspection: what is said of good recordings, what is flagged, and what is refused before anything is computed."""

from __future__ import annotations

import json
import os
import re
import time

import numpy as np
import pytest
import tifffile
from tiff_makers import header, images, write_scanimage

from caiman_pipeline.cli.main import run_verb
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Reading
from caiman_pipeline.movies import inspect as inspection
from caiman_pipeline.movies.inspect import finite_border, inspect_recording, scan_frames
from caiman_pipeline.movies.readers.open import open_inspected, open_movie_files
from caiman_pipeline.results.files import load_result
from caiman_pipeline.results.records import load_movie_info, save_movie_info

RNG = np.random.default_rng(0)
MOVIE = RNG.integers(100, 4000, (90, 24, 31), dtype=np.uint16)


def ignore(done, total):
    pass


def look(folder, *movies, threads=1, axes="TYX", **limits):
    paths = []
    for i, movie in enumerate(movies):
        paths.append(str(folder / f"m{i}.npy"))
        np.save(paths[-1], movie)
    values = {"min_frames": 50, "max_bad_fraction": 0.5, **limits}
    return inspect_recording(
        "r", paths, reading=Reading(axes), frame_rate_hz=20.0, threads=threads, progress=ignore, **values
    )


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(inspection, "CHUNK_BYTES", 7 * 24 * 31 * 2)


def test_good_recording_is_described_without_warnings(tmp_path):
    info, stats = look(tmp_path, MOVIE[:50], MOVIE[50:])
    assert (info.dims, info.n_frames, info.dtype, info.frame_rate_hz) == ((24, 31), 90, "uint16", 20.0)
    assert (info.value_min, info.value_max) == (MOVIE.min(), MOVIE.max())
    assert [f.n_frames for f in info.files] == [50, 40]
    assert [f.size_bytes for f in info.files] == [(tmp_path / f"m{i}.npy").stat().st_size for i in (0, 1)]
    assert info.border_px == ((0, 0), (0, 0))
    assert info.bad_frames == info.warnings == ()
    np.testing.assert_allclose(stats.mean, MOVIE.mean((1, 2)))
    np.testing.assert_array_equal(stats.maximum, MOVIE.max((1, 2)))
    np.testing.assert_array_equal(stats.minimum, MOVIE.min((1, 2)))


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("threads", [1, 3])
def test_threads_and_file_boundaries_change_nothing(tmp_path, small_chunks, dtype, threads):
    movie = MOVIE.astype(dtype)
    movie[41] = 7
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole, one = look(tmp_path / "a", movie)
    split, other = look(tmp_path / "b", movie[:13], movie[13:], threads=threads)
    assert whole.bad_frames == split.bad_frames == (41,)
    assert (whole.value_min, whole.value_max) == (split.value_min, split.value_max)
    for name in ("mean", "minimum", "maximum", "saturated"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_volume_is_described(tmp_path):
    info, _ = look(tmp_path, MOVIE.reshape(90, 2, 12, 31), axes="TZYX")
    assert info.dims == (2, 12, 31)
    assert info.border_px == ((0, 0),) * 3


def test_negative_values_are_kept(tmp_path):
    info, stats = look(tmp_path, MOVIE.astype(np.int16) - 500)
    assert info.value_min == int(MOVIE.min()) - 500 < 0
    assert stats.mean.min() == pytest.approx((MOVIE.astype(float) - 500).mean((1, 2)).min())


def test_full_unsigned_range_is_kept(tmp_path):
    ramp = np.linspace(0, 65535, 60 * 24 * 31).astype(np.uint16).reshape(60, 24, 31)
    info, _ = look(tmp_path, ramp)
    assert (info.value_min, info.value_max) == (0, 65535)


@pytest.mark.parametrize("ceiling", [4095, 65535, 255])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_share_of_saturated_pixels_is_found_at_any_ceiling(tmp_path, small_chunks, ceiling, dtype):
    values = RNG.normal(ceiling * 0.5, ceiling * 0.266, MOVIE.shape)
    movie = np.clip(values, 0, ceiling).astype(dtype)
    share = (movie == ceiling).mean()
    assert 0.02 < share < 0.05
    info, _ = look(tmp_path, movie)
    assert info.saturated_fraction == pytest.approx(share)
    assert any("saturated" in w and f"{ceiling}" in w for w in info.warnings)


def test_a_chance_maximum_is_no_saturation(tmp_path):
    info, _ = look(tmp_path, RNG.poisson(8, MOVIE.shape).astype(np.uint8))
    assert info.saturated_fraction < 1e-4
    assert info.warnings == ()


def _bright(shape, scale, seed=4):
    """Photon noise about a scene with bright cells, whose largest values are ``scale`` times the darkest."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape[1:])
    scene = 40 + 900 * np.exp(-(((y - 9) / 4) ** 2) - ((x - 20) / 5) ** 2)
    return rng.poisson(scene, shape) * scale


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("together", [True, False])
def test_hot_pixels_are_no_saturation(tmp_path, dtype, together):
    movie = _bright((90, 24, 31), 3).astype(dtype)
    places = np.unravel_index(np.random.default_rng(1).choice(24 * 31, 9, replace=False), (24, 31))
    movie[(slice(None), slice(3, 6), slice(4, 7)) if together else (slice(None), *places)] = 4095
    info, _ = look(tmp_path, movie)
    assert info.value_max == 4095
    assert info.saturated_fraction == 0
    assert info.ceiling is None
    assert info.warnings == ()


@pytest.mark.parametrize(("scale", "ceiling"), [(3, 1800), (4.37, 4095), (4.37, 4080), (75, 65535)])
def test_a_ceiling_below_the_brightest_cells_is_saturation_also_beside_hot_pixels(tmp_path, scale, ceiling):
    movie = np.minimum(_bright((90, 24, 31), scale) * (1 if scale == 3 else 1.2), ceiling)
    movie = (movie // 16 * 16 if ceiling == 4080 else movie).astype(np.uint16)
    share = (movie == ceiling).mean()
    assert 1e-3 < share < 0.2
    movie[:, 2, 2:5] = ceiling
    info, _ = look(tmp_path, movie)
    assert info.saturated_fraction == pytest.approx(share, rel=0.02)
    assert info.ceiling == ceiling


def test_a_place_that_is_always_saturated_counts_and_a_soft_limit_does_not(tmp_path):
    movie = _bright((90, 24, 31), 3).astype(np.uint16)
    movie[:, 6:12, 17:24] = 4095
    info, _ = look(tmp_path, movie)
    assert info.saturated_fraction == pytest.approx(42 / (24 * 31))
    soft = (60_000 * np.tanh(_bright((90, 24, 31), 60) / 40_000)).astype(np.uint16)
    info, _ = look(tmp_path, soft)
    assert info.ceiling is None
    assert info.warnings == ()


def test_listed_frames_count_for_nothing(tmp_path):
    movie = _bright((90, 24, 31), 3).astype(np.uint16)
    movie[70:72, 4:15] = 65535
    movie[12] = 0
    spoiled, _ = look(tmp_path, movie)
    assert spoiled.value_max == 65535
    info, _ = look(tmp_path, movie, listed=("70", "71"))
    good = np.setdiff1d(np.arange(90), [12, 70, 71])
    assert (info.value_min, info.value_max) == (movie[good].min(), movie[good].max())
    assert info.saturated_fraction == 0
    assert info.bad_frames == (12,)


def test_frames_beyond_the_end_are_refused_with_the_length(tmp_path):
    with pytest.raises(PipelineError, match="85-90 lies beyond the end, the recording has 90 frames, 0 to 89"):
        look(tmp_path, MOVIE[:40], MOVIE[40:], listed=("3", "85-90"))
    with pytest.raises(PipelineError, match=r"m1.npy has 50 frames, 0 to 49"):
        look(tmp_path, MOVIE[:40], MOVIE[40:], listed=("m1.npy:50",))


def test_too_few_frames_left_are_refused(tmp_path):
    movie = MOVIE.copy()
    movie[80:] = 0
    with pytest.raises(PipelineError, match=r"49 of 90 frames are left .*\(31, `motion.bad_frames`\).*\(10\)"):
        look(tmp_path, movie, listed=("0-30",))


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_blank_constant_and_black_frames_are_flagged(tmp_path, small_chunks, dtype):
    movie = MOVIE.astype(dtype)
    movie[[0, 30]] = 0
    movie[50:62] = 93
    bad = (0, 30, *range(50, 62))
    if dtype == "float32":
        movie[80] = np.nan
        bad = (*bad, 80)
    info, stats = look(tmp_path, movie)
    assert info.bad_frames == bad
    assert any(w.startswith(f"{len(bad)} frames are constant, black or not finite: 0, 30, 50") for w in info.warnings)
    assert np.isfinite([info.value_min, info.value_max]).all()
    good = np.setdiff1d(np.arange(90), bad)
    np.testing.assert_allclose(stats.mean[good], movie[good].mean((1, 2)), rtol=1e-6)


@pytest.mark.filterwarnings("error")
def test_a_file_from_the_future_is_refused(tmp_path):
    """Snakemake would throw away what is made from it, as older than its input."""
    np.save(tmp_path / "m.npy", MOVIE)
    os.utime(tmp_path / "m.npy", (time.time() + 3600,) * 2)
    with pytest.raises(PipelineError, match=r"m\.npy: its time stamp is in the future.*touch"):
        inspect_recording(
            "r",
            [str(tmp_path / "m.npy")],
            reading=Reading("TYX"),
            frame_rate_hz=20.0,
            min_frames=50,
            max_bad_fraction=0.5,
            threads=1,
            progress=ignore,
        )


@pytest.mark.parametrize("value", [0, 93, np.nan, np.inf])
def test_movie_of_nothing_is_refused(tmp_path, value):
    with pytest.raises(PipelineError, match=r"m0\.npy: 90 of 90 frames are constant.*max_bad_fraction"):
        look(tmp_path, np.full(MOVIE.shape, value, np.float32))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_movie_without_a_number_is_refused_whatever_is_allowed(tmp_path, value):
    with pytest.raises(PipelineError, match=r"m0\.npy: no pixel of any frame is a finite number"):
        look(tmp_path, np.full(MOVIE.shape, value, np.float32), max_bad_fraction=1.0)


@pytest.mark.parametrize("n_frames", [1, 2, 31, 49])
def test_too_few_frames_are_refused_with_the_fewest_allowed(tmp_path, n_frames):
    with pytest.raises(PipelineError, match=rf"{n_frames} frames of \(24, 31\), at least 50 .*`inspect\.min_frames`"):
        look(tmp_path, MOVIE[:n_frames])


def test_just_enough_frames_in_files_of_one_are_accepted(tmp_path):
    info, _ = look(tmp_path, *(MOVIE[i : i + 1] for i in range(50)))
    assert info.n_frames == 50
    assert {f.n_frames for f in info.files} == {1}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_border_without_numbers_is_measured(tmp_path, small_chunks, value):
    movie = MOVIE.astype(np.float32)
    movie[:, :2] = value
    movie[3:9, :5] = value
    movie[20:, :, -3:] = value
    info, _ = look(tmp_path, movie)
    assert info.border_px == ((5, 0), (0, 3))
    assert np.isfinite([info.value_min, info.value_max]).all()


@pytest.mark.parametrize("where", [(40, 10, 12), (slice(None), 10, 12), (0, slice(8, 12), slice(9, 15))])
def test_hole_inside_the_image_is_refused(tmp_path, where):
    movie = MOVIE.astype(np.float32)
    movie[where] = np.nan
    with pytest.raises(PipelineError, match=r"m0\.npy: \d+ pixels inside the image are NaN or infinite"):
        look(tmp_path, movie)


def test_border_of_a_volume_is_measured_per_axis():
    always = np.ones((4, 9, 13), bool)
    always[0] = always[:, -2:] = always[..., :3] = False
    assert finite_border("m", always, always) == ((1, 0), (0, 2), (3, 0))


def test_files_that_do_not_fit_are_refused_before_frames_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(inspection, "scan_frames", lambda *a, **k: pytest.fail("frames were read"))
    with pytest.raises(PipelineError, match=r"m1\.npy: frames of \(24, 30\)"):
        look(tmp_path, MOVIE, MOVIE[:, :, :30])
    with pytest.raises(PipelineError, match=r"m1\.npy: pixels of type int16"):
        look(tmp_path, MOVIE, MOVIE.astype(np.int16))


def test_progress_ends_with_all_frames(tmp_path, small_chunks):
    np.save(tmp_path / "m.npy", MOVIE)
    seen = []
    scan_frames(
        open_movie_files([tmp_path / "m.npy"], Reading("TYX")), threads=2, progress=lambda *done: seen.append(done)
    )
    assert len(seen) > 5
    assert seen[-1] == (90, 90)
    assert seen == sorted(seen)


def arguments(folder, files):
    recording = {"frame_rate_hz": 20.0, "axes": None, "dataset": None}
    settings = {"min_frames": 50, "max_bad_fraction": 0.5, "recording": recording}
    return [
        "--recording",
        "r",
        "--files",
        *map(str, files),
        "--movie-info",
        str(folder / "movie_info.json"),
        "--frames",
        str(folder / "frames.h5"),
        "--log",
        str(folder / "logs/inspect.log"),
        "--settings",
        json.dumps(settings),
        "--threads",
        "1",
    ]


def test_verb_writes_results_and_nothing_beside_the_raw_files(tmp_path):
    raw, results = tmp_path / "raw data", tmp_path / "results"
    raw.mkdir()
    files = [raw / "trial_2.tif", raw / "trial_10.tif"]
    for path, frames in zip(files, (MOVIE[:33], MOVIE[33:]), strict=True):
        tifffile.imwrite(path, frames)
    run_verb("inspect", arguments(results, files))
    assert sorted(p.name for p in raw.iterdir()) == ["trial_10.tif", "trial_2.tif"]
    info = load_movie_info(results / "movie_info.json")
    assert [f.n_frames for f in info.files] == [33, 57]
    np.testing.assert_allclose(load_result(results / "frames.h5", "inspect")["mean"], MOVIE.mean((1, 2)))
    log = (results / "logs/inspect.log").read_text()
    assert log.index("trial_2.tif") < log.index("trial_10.tif")
    assert json.loads((results / "logs/inspect.job.json").read_text())["state"] == "done"


@pytest.mark.parametrize("content", [None, b"", b"II*\0 and no more"])
def test_verb_records_why_a_file_was_refused_and_writes_no_result(tmp_path, content):
    path = tmp_path / "m.tif"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"m\.tif"):
        run_verb("inspect", arguments(tmp_path, [path]))
    record = json.loads((tmp_path / "logs/inspect.job.json").read_text())
    assert record["state"] == "failed"
    assert record["stage"] == "inspect"
    assert "m.tif" in record["reason"]
    assert not (tmp_path / "movie_info.json").exists()
    assert not (tmp_path / "frames.h5").exists()


def test_a_frame_rate_that_the_file_contradicts_is_a_warning(tmp_path):
    frames = np.random.default_rng(0).integers(0, 99, (60, 20, 31)).astype(np.uint16)
    first, path = tmp_path / "a.tif", tmp_path / "m.tif"
    tifffile.imwrite(first, frames)
    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "TYX", "finterval": 1 / 7.5})
    given = {"reading": Reading(), "min_frames": 10, "max_bad_fraction": 0.5, "threads": 1, "progress": ignore}
    for rate, n_warnings in ((30.0, 1), (7.6, 0)):
        info, _ = inspect_recording("m", [str(first), str(path)], frame_rate_hz=rate, **given)
        assert len([w for w in info.warnings if "m.tif says 7.5" in w]) == n_warnings


def stepped(factor, offset=0, n=60):
    rng = np.random.default_rng(5)
    first, second = rng.poisson(300, (2, n, 24, 31))
    return first.astype(np.uint16), (second * factor + offset).astype(np.uint16)


@pytest.mark.parametrize(("factor", "offset"), [(1.3, 0), (0.8, 0), (1, 50)])
def test_a_step_of_brightness_between_files_is_told_with_both_levels(tmp_path, factor, offset):
    info, _ = look(tmp_path, *stepped(factor, offset))
    (warning,) = info.warnings
    before, after = (float(v) for v in re.findall(r"[\d.]+", warning)[:2])
    assert (before, after) == (pytest.approx(300, abs=1), pytest.approx(300 * factor + offset, abs=1))
    assert "where m1.npy begins" in warning


def test_bleaching_single_frames_and_bad_ones_are_no_steps(tmp_path):
    first, second = stepped(1)
    fading = np.linspace(1, 0.8, 120)[:, None, None]
    info, _ = look(tmp_path, first * fading[:60], second * fading[60:])
    assert info.warnings == ()
    second[:20] = 0
    assert not any("steps" in w for w in look(tmp_path, first, second)[0].warnings)
    assert (
        look(tmp_path, *(first * 0 + np.arange(24 * 31).reshape(24, 31) + i * 90 for i in range(1)))[0].warnings == ()
    )
    assert inspection.brightness_steps([1] * 60, np.arange(60.0) % 2 * 100, ()) == []


def test_channel_planes_and_what_is_missing_are_kept_with_the_inspection(tmp_path):
    """Later stages open the files as the inspection did."""
    pages = images(60 * 4 * 2 - 3)
    text = header(channels="[1 4]", fast="true", slices=3, per_volume=4, back=1, discard="true", volumes=90, frames=1)
    paths = [tmp_path / f"m_{i}.tif" for i in range(3)]
    for path, part in zip(paths, np.split(pages, [101, 333]), strict=True):
        write_scanimage(path, part, text)
    info, _ = inspect_recording(
        "r",
        [str(p) for p in paths],
        reading=Reading(channel="4", planes="1-2"),
        frame_rate_hz=6.0,
        min_frames=50,
        max_bad_fraction=0.5,
        threads=2,
        progress=ignore,
    )
    assert (info.n_frames, info.dims, [f.n_frames for f in info.files]) == (60, (2, 5, 7), [13, 29, 18])
    assert any("720 images are announced by ScanImage's header, 477 are there" in w for w in info.warnings)
    expected = images(60 * 4 * 2).reshape(60, 4, 2, 5, 7)[:, :2, 1]
    save_movie_info(tmp_path / "info.json", info)
    np.testing.assert_array_equal(open_inspected(load_movie_info(tmp_path / "info.json")).read(0, 60), expected)


@pytest.mark.parametrize(("pixel_axes", "ok"), [(0, True), (2, False), (3, True)])
def test_a_volume_whose_planes_are_at_an_unknown_distance_is_refused_where_pixels_have_a_size(tmp_path, pixel_axes, ok):
    np.save(tmp_path / "v.npy", np.random.default_rng(0).integers(0, 99, (60, 4, 9, 11)).astype(np.uint16))
    plain = arguments(tmp_path, [tmp_path / "v.npy"])
    given = [*(w.replace('"axes": null', '"axes": "TZYX"') for w in plain), "--pixel-axes", str(pixel_axes)]
    if ok:
        run_verb("inspect", given)
    else:
        with pytest.raises(PipelineError, match="set `plane_spacing_um`"):
            run_verb("inspect", given)
    assert (tmp_path / "movie_info.json").exists() == ok
