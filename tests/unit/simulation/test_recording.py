"""The simulator: what it says is true of a movie is true, and nothing but the settings decides it."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import tifffile
from scipy.sparse import csc_matrix

from caiman_pipeline.cli.main import run_verb
from caiman_pipeline.config.root import load_config
from caiman_pipeline.config.sheet import load_sheet
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.readers.open import open_file
from caiman_pipeline.movies.writers.open import movie_writer
from caiman_pipeline.results.files import load_result, save_result
from caiman_pipeline.results.records import shifts_from_result
from caiman_pipeline.simulation.activity import ar_coefficients
from caiman_pipeline.simulation.detector import Detector
from caiman_pipeline.simulation.motion import displacement, spline_matrix
from caiman_pipeline.simulation.planted import load_footprints
from caiman_pipeline.simulation.recording import build_simulation, render_movie, simulate
from caiman_pipeline.simulation.settings import SimulationSettings

FLAT = SimulationSettings(frames=120, dims=(48, 72), n_cells=8, seed=3)
DEEP = SimulationSettings(
    frames=20, dims=(4, 40, 56), n_cells=6, n_dendrites=2, cell_diameter_px=9, frame_rate_hz=5, decay_time_s=1.2, seed=4
)
STILL = {"rigid_px": 0.0, "nonrigid_px": 0.0, "rigid_planes": 0.0}


def movie_of(settings, **options):
    simulation = build_simulation(settings)
    return simulation, np.concatenate([block for *_, block in render_movie(simulation, threads=1, **options)])


def changed(settings, **values):
    return SimulationSettings(**{**vars(settings), **values})


@pytest.mark.parametrize("settings", [FLAT, DEEP], ids=["plane", "volume"])
def test_chunk_length_and_threads_change_nothing(settings):
    _, one = movie_of(settings, chunk_frames=7)
    simulation = build_simulation(settings)
    other = np.concatenate([b for *_, b in render_movie(simulation, threads=3, chunk_frames=64)])
    assert one.shape == (settings.frames, *settings.dims)
    np.testing.assert_array_equal(one, other)


def test_seed_decides_the_movie():
    _, one = movie_of(changed(FLAT, frames=5))
    _, again = movie_of(changed(FLAT, frames=5))
    _, other = movie_of(changed(FLAT, frames=5, seed=99))
    np.testing.assert_array_equal(one, again)
    assert (one != other).mean() > 0.5


def test_pixel_values_follow_the_brightness_and_its_shot_noise():
    settings = changed(FLAT, bleach=0.0, smear=0.0, dff_per_spike=0.0, neuropil=0.3, frames=400, **STILL)
    simulation, movie = movie_of(settings)
    found = (movie.mean(0) - settings.offset) / (settings.photons * settings.gain)
    expected = simulation.mean_image()
    assert np.abs(found - expected).max() < 0.12
    assert np.abs(found - expected).mean() < 0.015
    steps = np.diff(movie.astype(float), axis=0)
    variance = (steps**2).mean(0) / 2
    slope, floor = np.polyfit(found.ravel() * settings.photons, variance.ravel(), 1)
    assert slope == pytest.approx(settings.gain**2 * (1 + settings.gain_spread**2), rel=0.06)
    assert floor == pytest.approx(settings.read_noise**2, abs=0.35 * settings.gain**2)


def test_calcium_is_autoregressive_in_the_spikes():
    activity = build_simulation(FLAT).activity
    g1, g2, scale = ar_coefficients(FLAT)
    c = activity.calcium.astype(float)
    np.testing.assert_allclose(c[:, 2:] - g1 * c[:, 1:-1] - g2 * c[:, :-2], scale * activity.spikes[:, 2:], atol=1e-4)
    assert activity.spikes.sum() > 10
    impulse = np.zeros(60)
    impulse[0] = scale
    impulse[1] = g1 * impulse[0]
    for t in range(2, 60):
        impulse[t] = g1 * impulse[t - 1] + g2 * impulse[t - 2]
    assert impulse.max() == pytest.approx(1.0)


def test_fluorescence_bleaches_by_the_share_asked_for():
    settings = changed(FLAT, spike_rate_hz=0.0, bleach=0.4)
    light = build_simulation(settings).activity.fluorescence
    np.testing.assert_allclose(light[:, -1] / light[:, 0], 0.6, rtol=1e-5)
    assert (np.diff(light, axis=1) <= 0).all()


@pytest.mark.parametrize("settings", [FLAT, DEEP], ids=["plane", "volume"])
def test_each_footprint_is_one_bright_shape_of_a_cells_size(settings):
    simulation = build_simulation(settings)
    footprints = simulation.footprints
    assert footprints.shape == (np.prod(settings.dims), len(simulation.is_dendrite))
    assert settings.ndim == 3 or len(simulation.is_dendrite) == settings.n_cells + settings.n_dendrites
    assert simulation.is_dendrite.sum() == settings.n_dendrites
    size = np.asarray((footprints > 0.15 * footprints.max()).sum(0)).ravel()[~simulation.is_dendrite]
    whole = np.prod(settings.cell_shape) * np.pi / (4 if settings.ndim == 2 else 6)
    assert (size < 2.5 * whole).all()
    assert np.median(size) > 0.5 * whole
    assert footprints.min() >= 0
    assert simulation.scene.max(axis=0).toarray() == pytest.approx(1.0)


def test_scene_is_displaced_by_the_true_shifts():
    settings = changed(FLAT, frames=60, photons=500.0, nonrigid_px=0.0, rigid_px=4.0, vessels=0)
    simulation, movie = movie_of(settings)
    rigid = simulation.motion.rigid
    assert np.abs(rigid).max() == pytest.approx(4.0)
    still = simulation.mean_image()
    inner = (slice(8, -8), slice(8, -8))
    rows, columns = np.mgrid[: settings.dims[0], : settings.dims[1]].astype(np.float32)
    right, wrong, neither = [], [], []
    for t in range(60):
        frame = movie[t].astype(np.float32)
        for sign, scores in ((1, right), (-1, wrong), (0, neither)):
            dy, dx = (float(v) * sign for v in rigid[t])
            aligned = cv2.remap(frame, columns + dx, rows + dy, cv2.INTER_CUBIC)
            scores.append(np.corrcoef(aligned[inner].ravel(), still[inner].ravel())[0, 1])
    assert np.mean(right) > np.mean(neither) + 0.02
    assert np.mean(right) > np.mean(wrong) + 0.05
    assert np.min(right) > 0.9


def test_field_holds_rigid_and_bounded_nonrigid_part_on_its_grid():
    motion = build_simulation(changed(FLAT, frames=600, rigid_px=3.0, nonrigid_px=2.0)).motion
    local = motion.field - motion.rigid[:, None, None, :]
    assert np.abs(local).max() == pytest.approx(2.0, rel=1e-4)
    np.testing.assert_allclose(local.mean(axis=(1, 2)), 0, atol=1e-5)
    matrices = tuple(spline_matrix(g, n) for g, n in zip(motion.grid, FLAT.dims, strict=True))
    dense = displacement(motion.field[100], matrices)
    assert dense.shape == (2, *FLAT.dims)
    np.testing.assert_allclose(dense[:, 0, -1], motion.field[100, 0, -1], atol=1e-4)


def test_volume_moves_across_planes_without_emptying_any():
    simulation, movie = movie_of(changed(DEEP, rigid_planes=1.0))
    assert np.abs(simulation.motion.rigid[:, 0]).max() == pytest.approx(1.0)
    assert movie.mean(axis=(0, 2, 3)).min() > 0.5 * movie.mean()


def _plane_light(columns, dims):
    return np.stack([np.asarray(c.sum(1)).ravel() for c in columns.T.toarray().reshape(-1, dims[0], dims[1] * dims[2])])


def test_the_truth_of_a_volume_are_the_cells_that_show_clearly():
    """Planes 2.5 cells apart see few of the cells between them; those beside and between are the faint ones."""
    settings = changed(DEEP, dims=(5, 60, 70), n_cells=90, n_dendrites=0, cell_planes=0.4, axial_planes=0.1)
    simulation = build_simulation(settings)
    assert 0.3 * 90 < simulation.n_components < 0.7 * 90
    assert simulation.footprints.max(axis=0).toarray().min() > 0.25
    assert simulation.footprints.max(axis=0).toarray().max() > 0.95
    light, faint = (_plane_light(m, settings.dims) for m in (simulation.footprints, simulation.faint))
    assert ((light > 0.2 * light.max(1, keepdims=True)).sum(1) == 1).all()
    assert faint.shape[0] > 20
    assert np.median(faint.max(1)) < 0.2 * np.median(light.max(1))
    assert build_simulation(FLAT).faint.shape == (48 * 72, 0)


@pytest.mark.parametrize("axial", [0.0, 1.5])
def test_a_wide_point_spread_shows_cells_in_the_planes_beside(axial):
    settings = changed(DEEP, dims=(7, 60, 70), n_dendrites=0, n_cells=12, cell_planes=1.5, axial_planes=axial)
    light = _plane_light(build_simulation(settings).footprints, settings.dims)
    spans = (light > 0.15 * light.max(1, keepdims=True)).sum(1)
    assert (np.median(spans) <= 2) if axial == 0 else (np.median(spans) >= 3)


def test_the_scene_of_a_volume_moves_in_steps_smaller_than_its_planes():
    """A displacement by a whole plane shows each plane what the next one showed, drawn in sub-planes as it is."""
    settings = changed(DEEP, frames=1, **STILL, photons=2000.0, read_noise=0.0, smear=0.0, gain_spread=0.0)
    simulation = build_simulation(settings)
    assert simulation.window.step > 1
    moved = replace(
        simulation, motion=replace(simulation.motion, field=simulation.motion.field + np.array([1.0, 0, 0]))
    )
    still, down = (next(render_movie(s, threads=1))[2][0].astype(float) for s in (simulation, moved))
    for plane in range(3):
        assert np.corrcoef(still[plane].ravel(), down[plane + 1].ravel())[0, 1] > 0.99
    assert np.corrcoef(still[1].ravel(), down[1].ravel())[0, 1] < 0.95


@pytest.mark.parametrize("share", [0.0, 0.03])
def test_saturation_cuts_off_the_share_asked_for(share):
    simulation, movie = movie_of(changed(FLAT, saturated=share))
    top = (movie >= simulation.detector.ceiling).mean()
    assert top == pytest.approx(share, abs=0.01)


def test_a_soft_detector_bends_towards_its_ceiling_and_is_straight_below():
    detector = Detector(changed(FLAT, soft_range=0.5), ceiling=1000.0)
    given = np.array([0, 300, 500, 600, 800, 1000, 5000], np.float32)
    shown = detector.digitise(given).astype(int)
    assert list(shown[:3]) == [0, 300, 500]
    assert (np.diff(shown) >= 0).all()
    assert (shown[3:6] < given[3:6]).all()
    assert shown[-1] == 1000
    assert shown[5] == round(500 + 500 * np.tanh(1.0))


def test_neighbours_in_a_row_share_noise_when_the_detector_smears():
    _, movie = movie_of(changed(FLAT, smear=0.2, **STILL))
    steps = np.diff(movie.astype(float), axis=0)
    along = (steps[:, :, 1:] * steps[:, :, :-1]).mean() / (steps**2).mean()
    across = (steps[:, 1:] * steps[:, :-1]).mean() / (steps**2).mean()
    assert along == pytest.approx(0.2 * 0.8 / (0.2**2 + 0.8**2), abs=0.03)
    assert abs(across) < 0.03


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"frames": 0}, "frames"),
        ({"n_cells": -1}, "n_cells"),
        ({"bleach": 1.5}, "bleach"),
        ({"decay_time_s": 0.02}, "rise_time_s"),
        ({"dims": (8, 40)}, "dims"),
        ({"photons": float("nan")}, "photons"),
        ({"n_cells": 2.5}, "n_cells"),
    ],
)
def test_bad_settings_are_named(values, name):
    with pytest.raises(PipelineError, match=f"^{name}"):
        changed(FLAT, **values)


def test_too_many_cells_are_refused_with_the_number_that_fits():
    with pytest.raises(PipelineError, match=r"only \d+ of 500 somata fit"):
        build_simulation(changed(FLAT, n_cells=500))


@pytest.mark.parametrize("dims", [(48, 72), (1, 48, 72)])
def test_single_frame_or_plane_is_a_movie(dims):
    _, movie = movie_of(changed(FLAT, frames=1, dims=dims))
    assert movie.shape == (1, *dims)
    assert movie.std() > 0


def test_movie_without_cells_is_tissue_only():
    simulation, movie = movie_of(changed(FLAT, n_cells=0, frames=6))
    assert simulation.footprints.shape == (48 * 72, 0)
    assert movie.std() > 0


@pytest.mark.parametrize("name", ["m.tif", "m.npy", "m.h5", "m.zarr"])
@pytest.mark.parametrize("settings", [changed(FLAT, frames=9), changed(DEEP, frames=5)], ids=["plane", "volume"])
def test_every_format_holds_the_same_movie(tmp_path, name, settings):
    simulate(tmp_path / name, settings, truth=tmp_path / "truth.h5", threads=2)
    _, expected = movie_of(settings)
    reader = open_file(tmp_path / name, axes={2: "TYX", 3: "TZYX"}[settings.ndim] if name == "m.npy" else None)
    np.testing.assert_array_equal(reader.read(0, settings.frames), expected)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "truth.h5"])


def test_tiff_can_be_mapped(tmp_path):
    simulate(tmp_path / "m.tif", changed(FLAT, frames=4), truth=tmp_path / "truth.h5")
    with tifffile.TiffFile(tmp_path / "m.tif") as file:
        assert file.is_bigtiff
    assert tifffile.memmap(tmp_path / "m.tif", mode="r").shape == (4, 48, 72)


def test_unknown_movie_format_is_refused(tmp_path):
    with pytest.raises(PipelineError, match="movies are written as"):
        simulate(tmp_path / "m.png", changed(FLAT, frames=4), truth=tmp_path / "truth.h5")


def test_movie_that_does_not_fit_on_the_disk_is_refused_before_it_is_made(tmp_path):
    shape = (10**9, 4096, 4096)
    with (
        pytest.raises(PipelineError, match=r"m\.tif: needs 33554432000.0 MB, but only .* MB are free"),
        movie_writer(tmp_path / "new" / "m.tif", shape, np.dtype(np.uint16)),
    ):
        pytest.fail("the movie was begun")
    assert list(tmp_path.iterdir()) == []


def test_truth_file_says_what_was_simulated(tmp_path):
    simulation = simulate(tmp_path / "m.npy", FLAT, truth=tmp_path / "truth.h5")
    truth = load_result(tmp_path / "truth.h5", "truth")
    assert tuple(truth["dims"]) == FLAT.dims
    assert truth["frame_rate_hz"] == 30
    assert (truth["footprints"] != simulation.footprints).nnz == 0
    for name in ("calcium", "spikes", "fluorescence"):
        assert truth[name].shape == (8, 120)
    np.testing.assert_array_equal(shifts_from_result(truth).field, simulation.motion.field)
    assert truth["mean_image"].shape == FLAT.dims
    assert truth.settings["seed"] == 3


def test_planted_footprints_of_fortran_pixel_order_keep_their_shape(tmp_path):
    image = np.zeros((20, 30), np.float32)
    image[3:6, 10:18] = 5.0
    matrix = csc_matrix(image.ravel(order="F")[:, None])
    parts = {f"A_{n}": getattr(matrix, n) for n in ("data", "indices", "indptr", "shape")}
    np.savez(tmp_path / "f.npz", **parts, dims=(20, 30), order="F")
    planted = load_footprints(tmp_path / "f.npz")
    np.testing.assert_array_equal(planted.matrix.toarray().reshape(20, 30), image / 5)
    settings = SimulationSettings(frames=3, dims=(20, 30), n_cells=50)
    simulation = build_simulation(settings, planted)
    assert simulation.settings.n_cells == 1
    np.testing.assert_array_equal(simulation.footprints.toarray(), planted.matrix.toarray())
    with pytest.raises(PipelineError, match=r"frames of \(20, 30\)"):
        build_simulation(SimulationSettings(frames=3, dims=(30, 20)), planted)


def test_footprints_are_planted_from_a_result_file(tmp_path):
    matrix = csc_matrix(np.eye(600, 2, -40, dtype=np.float32))
    arrays = {"dims": np.array([20, 30]), "footprints": matrix}
    save_result(tmp_path / "components.h5", kind="refine", arrays=arrays, settings={}, source={})
    planted = load_footprints(tmp_path / "components.h5")
    assert planted.dims == (20, 30)
    assert (planted.matrix != matrix).nnz == 0


def test_archive_with_several_footprints_asks_which(tmp_path):
    matrix = csc_matrix(np.ones((6, 1), np.float32))
    parts = {f"{a}_{n}": getattr(matrix, n) for a in ("full", "patch") for n in ("data", "indices", "indptr", "shape")}
    np.savez(tmp_path / "f.npz", **parts, dims=(2, 3))
    with pytest.raises(PipelineError, match="one of: full, patch"):
        load_footprints(tmp_path / "f.npz")
    assert load_footprints(tmp_path / "f.npz", "full").matrix.shape == (6, 1)


def test_damaged_footprints_file_is_named(tmp_path):
    (tmp_path / "f.npz").write_bytes(b"nothing")
    (tmp_path / "f.h5").write_bytes(b"nothing")
    for name in ("f.npz", "f.h5"):
        with pytest.raises(PipelineError, match=name):
            load_footprints(tmp_path / name)


def test_verb_writes_movie_truth_sheet_and_config_that_the_workflow_takes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--frames", "6", "--dims", "32x48", "--n-cells", "3", "--seed", "5", "--sheet", "demo"]
    run_verb("simulate", ["demo/movie.tif", *options])
    config = load_config("demo/config.yaml")
    recording = load_sheet(config.paths.recordings, config)["movie"]
    assert recording.files() == ["demo/movie.tif"]
    assert json.loads(json.dumps(recording.settings("inspect")))["recording"]["frame_rate_hz"] == 30
    assert open_file("demo/movie.tif").dims == (32, 48)
    assert config.paths.results == "demo/results"
    assert load_result("demo/truth.h5", "truth").settings["seed"] == 5


def test_nothing_is_written_over_unless_told_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--frames", "6", "--dims", "32x48", "--n-cells", "3"]
    run_verb("simulate", ["a.tif", *options])
    with pytest.raises(PipelineError, match=r"truth.h5 would be written over"):
        run_verb("simulate", ["b.tif", *options])
    with pytest.raises(PipelineError, match=r"a.tif would be written over"):
        run_verb("simulate", ["a.tif", *options, "--truth", "other.h5"])
    assert not (tmp_path / "b.tif").exists()
    run_verb("simulate", ["a.tif", *options, "--frames", "9", "--overwrite"])
    assert open_file("a.tif").n_frames == 9
