"""Edges of movies that were moved before: found however they were filled, never where an image is dark or sparse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from caiman_pipeline.cli.main import run_verb
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Reading
from caiman_pipeline.movies import inspect as inspection
from caiman_pipeline.movies.borders import beyond_border, confirmed_border, filled_depths
from caiman_pipeline.movies.inspect import inspect_recording
from caiman_pipeline.movies.store.parts import open_store
from caiman_pipeline.results.records import load_movie_info

REAL = Path("/work/shared/data/movies")
RNG = np.random.default_rng(5)
T, H, W = 120, 36, 47
SCENE = RNG.integers(80, 3000, (T, H + 20, W + 20), dtype=np.uint16)
# dy and dx of every frame: the scene goes up to 4 px down, 2 up, 3 right; never left.
DY, DX = RNG.integers(-2, 5, T), RNG.integers(0, 4, T)
MOVED = ((4, 2), (3, 0))


def moved(mode, *, dtype=np.uint16, fill=0, dy=DY, dx=DX):
    """Return a movie of frames that were moved by whole pixels, and filled at the edge."""
    source = SCENE[:, 10 : 10 + H, 10 : 10 + W].astype(dtype)
    shifts = np.stack([dy, dx], axis=1)
    return np.stack([ndimage.shift(f, s, order=0, mode=mode, cval=fill) for f, s in zip(source, shifts, strict=True)])


def border(movie, chunk=7):
    depths = np.concatenate([filled_depths(movie[i : i + chunk]) for i in range(0, len(movie), chunk)])
    return confirmed_border(lambda indices: movie[indices], depths)


@pytest.mark.parametrize("mode", ["constant", "nearest", "reflect", "mirror"])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_moving_edge_is_found_however_it_was_filled(mode, dtype):
    assert border(moved(mode, dtype=dtype)) == MOVED


def test_a_moving_edge_of_any_value_is_found_at_any_end():
    assert border(moved("constant", fill=913, dy=-DY, dx=-DX)) == ((2, 4), (0, 3))
    per_frame = moved("constant", fill=0).astype(np.float32)
    per_frame[per_frame == 0] = np.repeat(np.arange(T), (per_frame == 0).sum((1, 2)))  # each frame's own value
    assert border(per_frame) == MOVED


def test_an_edge_that_one_frame_in_many_shows_counts_where_it_carries_on_the_others():
    dy = np.zeros(T, int)
    dy[[5, 60, 61]], dy[80] = 2, 4
    assert border(moved("constant", dy=dy, dx=0 * dy)) == ((4, 0), (0, 0))


def test_a_frame_that_was_thrown_off_costs_no_field_and_is_told():
    dy = DY.copy()
    dy[33] = 20
    movie = moved("constant", dy=dy)
    assert border(movie) == MOVED
    assert beyond_border(filled_depths(movie), MOVED).tolist() == [33]


def test_frames_without_an_edge_have_none():
    movie = SCENE[:, :H, :W]
    assert not filled_depths(movie).any()
    assert border(movie) == ((0, 0), (0, 0))


def test_an_edge_that_ends_within_a_pixel_is_left_out_with_the_line_it_is_mixed_into():
    movie = SCENE[:, :H, :W].astype(np.float32)
    movie[:, :, :2] = 0
    movie[:, :, 2] *= 0.2
    assert border(movie) == ((0, 0), (3, 0))


@pytest.mark.parametrize("rate", [1e-4, 0.003, 0.01, 0.03, 0.1, 0.5])
def test_a_movie_of_few_photons_keeps_its_edges(rate):
    """Lines of 47 pixels are empty in 99.5% to 0.0% of the frames, at the edge as inside."""
    assert border(RNG.poisson(rate, (1500, H, W)).astype(np.uint16)) == ((0, 0), (0, 0))


@pytest.mark.parametrize("rate", [0.005, 0.02, 0.06])
def test_an_edge_darker_than_the_field_is_kept_where_it_holds_photons(rate):
    movie = RNG.poisson(4, (1500, H, W)).astype(np.uint8)
    movie[:, :3] = RNG.poisson(rate, (1500, 3, W))
    assert border(movie) == ((0, 0), (0, 0))


def test_an_edge_filled_in_a_movie_of_few_photons_is_found():
    movie = RNG.poisson(0.5, (600, H, W)).astype(np.uint8)
    movie[::3, :, -2:] = 0
    assert border(movie) == ((0, 0), (0, 2))


def test_dark_corners_and_enlarged_images_are_no_edge():
    movie = SCENE[:, :H, :W].copy()
    movie[:, :12, :15] = movie[:, -9:, -20:] = 0
    assert border(movie) == ((0, 0), (0, 0))
    assert border(SCENE[:, : H // 2, : W // 2].repeat(2, 1).repeat(2, 2)) == ((0, 0), (0, 0))


def test_lines_lost_inside_hide_no_edge_and_make_none():
    movie = moved("constant")
    movie[:, 17] = 0
    assert border(movie) == MOVED
    lost = SCENE[:, :H, :W].copy()
    for frame, line in enumerate(RNG.integers(0, H, (T, 5))):
        lost[frame, line] = 0
    assert border(lost) == ((0, 0), (0, 0))


def test_planes_rows_and_columns_of_a_volume_are_told_apart():
    movie = RNG.integers(5, 900, (40, 5, 18, 23), dtype=np.uint16)
    movie[::4, :1] = 0
    movie[1::3, 2, -2:] = 0  # of one plane: the others are left out with it
    movie[::5, :, :, :3] = 7
    assert border(movie) == ((1, 0), (0, 2), (3, 0))


def look(folder, movie):
    np.save(folder / "m.npy", movie)
    return inspect_recording(
        "r",
        [str(folder / "m.npy")],
        reading=Reading("TYX"),
        frame_rate_hz=20.0,
        min_frames=50,
        max_bad_fraction=0.5,
        threads=2,
        progress=lambda done, total: None,
    )


def test_inspect_leaves_the_edge_out_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(inspection, "CHUNK_BYTES", 7 * H * W * 2)
    info, stats = look(tmp_path, moved("constant"))
    assert info.border_px == MOVED
    assert stats.depths.shape == (T, 2, 2)
    [told] = info.warnings
    assert "top 4, bottom 2, left 3 px" in told


def test_lines_that_are_empty_by_chance_are_not_told_of(tmp_path):
    rows, columns = np.mgrid[:H, :W]
    light = 2 * np.exp(-(((rows - H / 2) / 9) ** 2) - ((columns - W / 2) / 11) ** 2)
    info, stats = look(tmp_path, np.random.default_rng(3).poisson(light, (400, H, W)).astype(np.uint8))
    assert beyond_border(stats.depths, ((0, 0), (0, 0))).size > 20
    assert info.border_px == ((0, 0), (0, 0))
    assert info.warnings == ()


def test_frames_of_which_nothing_is_left_are_refused(tmp_path):
    movie = SCENE[:, :H, :W].copy()
    movie[::2, :20] = 0
    movie[1::2, 19:] = 0
    with pytest.raises(PipelineError, match=r"leave nothing of frames of \(36, 47\)"):
        look(tmp_path, movie)


def test_a_corrected_movie_is_not_valid_where_its_edge_was_filled(tmp_path):
    """Through motion correction: no pixel of the edge is valid, nor mixed into one that is."""
    movie = moved("constant", fill=0)
    np.save(tmp_path / "m.npy", movie)
    facts = {"frame_rate_hz": 20.0, "decay_time_s": 0.5, "cell_diameter": "9 px", "axes": "TYX"}
    info, template, block = tmp_path / "info.json", tmp_path / "template.h5", tmp_path / "block"
    settings = json.dumps({"recording": facts})
    run_verb(
        "inspect",
        [
            "--recording",
            "r",
            "--files",
            str(tmp_path / "m.npy"),
            "--movie-info",
            str(info),
            "--frames",
            str(tmp_path / "frames.h5"),
            "--settings",
            settings,
        ],
    )
    assert load_movie_info(info).border_px == MOVED
    motion = ["--movie-info", str(info), "--settings", json.dumps({"recording": facts, "method": "none"})]
    run_verb("motion-template", [*motion, "--template", str(template)])
    run_verb("motion-correct", [*motion, "--template", str(template), "--block", "1-of-1", "--output", str(block)])
    outputs = ["--movie", str(tmp_path / "movie.json"), "--motion", str(tmp_path / "motion.h5")]
    run_verb("memmap-join", [*motion, "--template", str(template), "--blocks", str(block), *outputs])

    expected = np.zeros((H, W), bool)
    expected[4:-2, 3:] = True
    np.testing.assert_array_equal(open_store(tmp_path / "movie.json").valid, expected)


@pytest.mark.real_data
@pytest.mark.skipif(not REAL.exists(), reason="development recordings are not here")
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("mouse_2p_small_500x64x64.tif", ((3, 0), (0, 0))),
        ("mouse_2p_labelled_600x256x256.tif", ((2, 0), (0, 0))),
        ("mouse_2p_raw_2000x128x128.tif", ((0, 0), (0, 0))),
        ("fly_2p_159x260x348.tif", ((0, 0), (0, 0))),
        ("neurites_2p_8000x13x12.tif", ((0, 0), (0, 0))),
        ("fish_lightsheet_240x2x87x76.tif", ((0, 0), (0, 0), (0, 0))),
    ],
)
def test_edges_of_real_movies(name, found):
    """Two of them were moved before and have black rows on top, 2 and 3 of them with the mixed one below."""
    assert border(tifffile.imread(REAL / name), chunk=64) == found
