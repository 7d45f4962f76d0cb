"""The verbs of the motion stage: files in, files out, given shifts, mismatches refused, every key of use."""

from __future__ import annotations

import json

import numpy as np
import pytest
from moving import DIMS, film, make_scene, wander

from caiman_pipeline.cli.main import run_verb
from caiman_pipeline.config.motion import MotionSettings
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.motion.records import load_shifts
from caiman_pipeline.movies.store.parts import open_store
from caiman_pipeline.results.files import load_result
from caiman_pipeline.results.records import save_movie_info

T = 60
TRUE = wander(T, size=4.0)
MOVIE = film(make_scene(), lambda t: TRUE[t], T)
OTHER = film(make_scene(seed=12), lambda t: TRUE[t], T, seed=3)


@pytest.fixture
def chain(tmp_path, record, monkeypatch):
    """Run the three verbs as the rules do; return the folder that they wrote to."""
    monkeypatch.setattr("caiman_pipeline.cli.stage.limit_library_threads", lambda threads: None)
    monkeypatch.setattr("caiman_pipeline.cli.stage._open_log", lambda path: None)

    def run(movie=MOVIE, *, name="movie", blocks=2, **keys):
        folder = tmp_path / name
        folder.mkdir()
        info, settings = folder / "info.json", json.dumps(keys)
        save_movie_info(info, record(movie, name=name))
        common = ["--movie-info", str(info), "--settings", settings, "--threads", "2"]
        template = str(folder / "template.h5")
        run_verb("motion-template", [*common, "--template", template])
        items = [f"{k + 1}-of-{blocks}" for k in range(blocks)]
        for item in items:
            out = str(folder / "blocks" / item)
            run_verb("motion-correct", [*common, "--template", template, "--block", item, "--output", out])
        paths = [str(folder / "blocks" / item) for item in reversed(items)]
        run_verb(
            "memmap-join",
            [
                *common,
                "--template",
                template,
                "--blocks",
                *paths,
                "--movie",
                str(folder / "movie" / "movie.json"),
                "--motion",
                str(folder / "motion.h5"),
            ],
        )
        return folder

    return run


def stored(folder):
    return np.concatenate([part.read() for part in open_store(folder / "movie" / "movie.json").parts], axis=-1)


def test_the_chain_leaves_a_movie_that_stands_still_and_its_shifts(chain):
    folder = chain()
    movie = open_store(folder / "movie" / "movie.json")
    assert (movie.n_frames, movie.dims) == (T, DIMS)
    assert movie.valid.mean() > 0.8
    found = load_shifts(folder / "motion.h5").rigid - TRUE
    assert (found - found.mean(0)).std() < 0.1
    motion = load_result(folder / "motion.h5", "motion")
    still = stored(folder)[10:-10, 10:-10].mean(-1)
    np.testing.assert_allclose(motion["mean_after"][10:-10, 10:-10], still, rtol=1e-4)
    np.testing.assert_allclose(motion["mean_before"], MOVIE.mean(0), rtol=1e-4)
    assert motion["flagged"].shape == motion["correlation_after"].shape == (T,)
    assert motion.settings["method"] == "piecewise"


def test_a_missing_part_is_named(chain, tmp_path):
    folder = chain(blocks=1)
    next((folder / "blocks" / "1-of-1").glob("part-*")).unlink()
    with pytest.raises(PipelineError, match=r"part-00000\.npy"):
        run_verb(
            "memmap-join",
            [
                "--movie-info",
                str(folder / "info.json"),
                "--template",
                str(folder / "template.h5"),
                "--settings",
                "{}",
                "--blocks",
                str(folder / "blocks" / "1-of-1"),
                "--movie",
                str(folder / "m.json"),
                "--motion",
                str(folder / "again.h5"),
            ],
        )
    assert not (folder / "again.h5").exists()


@pytest.mark.parametrize("block", ["0-of-2", "3-of-2", "two", "1-of-0"])
def test_a_block_that_is_none_is_refused(chain, tmp_path, block):
    with pytest.raises(PipelineError, match="not a share of the work"):
        run_verb(
            "motion-correct",
            [
                "--movie-info",
                str(tmp_path / "info.json"),
                "--template",
                "t.h5",
                "--block",
                block,
                "--output",
                "o",
                "--settings",
                "{}",
            ],
        )


def test_shifts_of_one_channel_correct_another(chain, tmp_path, record):
    reference = chain()
    followed = chain(OTHER, name="other", shifts_from=str(reference / "motion.h5"))
    assert load_result(followed / "motion.h5", "motion")["method"] == "given"
    first, second = load_shifts(reference / "motion.h5"), load_shifts(followed / "motion.h5")
    np.testing.assert_array_equal(first.rigid, second.rigid)
    rest = (TRUE - first.rigid).mean(0)
    still = film(make_scene(seed=12), lambda t: rest, 1, noise=0)[0][10:-10, 10:-10]
    mean = stored(followed)[10:-10, 10:-10].mean(-1)
    assert np.corrcoef(mean.ravel(), still.ravel())[0, 1] > 0.98
    run_verb(
        "apply-shifts",
        [
            "--movie-info",
            str(followed / "info.json"),
            "--motion",
            str(reference / "motion.h5"),
            "--output",
            str(tmp_path / "parts"),
            "--movie",
            str(tmp_path / "applied" / "movie.json"),
            "--threads",
            "1",
        ],
    )
    applied = open_store(tmp_path / "applied" / "movie.json")
    np.testing.assert_array_equal(np.concatenate([p.read() for p in applied.parts], -1), stored(followed))
    np.testing.assert_array_equal(applied.valid, open_store(followed / "movie" / "movie.json").valid)


def test_a_second_channel_takes_the_scan_offset_of_the_first(chain, tmp_path):
    moved = [movie.copy() for movie in (MOVIE, OTHER)]
    for movie in moved:
        movie[:, 1::2] = np.roll(movie[:, 1::2], 2, axis=2)
    reference = chain(moved[0], scan_offset="auto")
    followed = chain(moved[1], name="other", scan_offset="auto", shifts_from=str(reference / "motion.h5"))
    offsets = [float(load_result(f / "motion.h5", "motion")["scan_offset_px"]) for f in (reference, followed)]
    assert offsets[0] == offsets[1]
    assert abs(offsets[0] - 2) < 0.15
    run_verb(
        "apply-shifts",
        [
            "--movie-info",
            str(followed / "info.json"),
            "--motion",
            str(reference / "motion.h5"),
            "--output",
            str(tmp_path / "parts"),
            "--movie",
            str(tmp_path / "applied" / "movie.json"),
            "--threads",
            "1",
        ],
    )
    applied = open_store(tmp_path / "applied" / "movie.json")
    np.testing.assert_array_equal(np.concatenate([p.read() for p in applied.parts], -1), stored(followed))


@pytest.mark.parametrize("other", [OTHER[:50], np.stack([OTHER, OTHER], axis=1)], ids=["frames", "axes"])
def test_shifts_of_another_length_or_number_of_axes_are_refused(chain, other):
    reference = chain()
    with pytest.raises(PipelineError, match=r"the given shifts are of 60 frames of \(72, 104\)"):
        chain(other, name="other", shifts_from=str(reference / "motion.h5"))


def test_shifts_of_another_frame_size_are_refused(chain):
    reference = chain()
    with pytest.raises(PipelineError, match=r"frames of \(72, 104\)"):
        chain(np.ascontiguousarray(OTHER[:, :60]), name="other", shifts_from=str(reference / "motion.h5"))


def test_a_template_of_another_size_or_with_holes_is_refused(chain, tmp_path):
    np.save(tmp_path / "small.npy", MOVIE[0, :50])
    with pytest.raises(PipelineError, match=r"small.npy: a template of \(50, 104\)"):
        chain(template=str(tmp_path / "small.npy"))
    holes = MOVIE[0].copy()
    holes[3, 3] = np.nan
    np.save(tmp_path / "holes.npy", holes)
    with pytest.raises(PipelineError, match="not finite"):
        chain(name="holes", template=str(tmp_path / "holes.npy"))


def test_another_recordings_template_can_be_used(chain):
    reference = chain()
    again = chain(name="again", template=str(reference / "motion.h5"))
    kept = [load_result(f / "motion.h5", "motion")["template"] for f in (reference, again)]
    np.testing.assert_array_equal(*kept)


KEYS = {
    "method": "rigid",
    "keep_better": False,
    "max_shift": "2 px",
    "max_deviation": "1 px",
    "patch_spacing": "30 px",
    "patch_size": "24 px",
    "smoothing_s": 0.0,
    "high_pass": "2 px",
    "template": "template",
    "template_frames": 16,
    "template_rounds": 1,
    "shifts_from": "shifts",
    "bad_frames": ["5"],
    "flag_deviations": 0.5,
    "scan_offset": 1.0,
    "max_unlike_fraction": 0.0,
    "region": [[0, 60], [0, 104]],
    "interpolation": "fourier",
    "border": "min",
    "max_outside_fraction": 0.4,
}


def test_all_keys_are_tried():
    assert set(KEYS) == set(MotionSettings.model_fields)


@pytest.fixture(scope="module")
def local_movie():
    """Frames that move as a whole and bend, over noise."""
    bend = np.sin(np.linspace(0, 3, DIMS[0]))[:, None] * np.cos(np.linspace(0, 4, DIMS[1]))

    def displacement(t):
        return TRUE[t] + np.stack([2 * bend * np.sin(t / 5), -bend * np.cos(t / 6)], axis=-1)

    return film(make_scene(), displacement, T, noise=25)


@pytest.mark.parametrize("key", KEYS)
def test_every_key_changes_the_result(key, record, run_motion, tmp_path, local_movie):
    movie = MOVIE + 0 if key == "keep_better" else local_movie
    base = {"patch_spacing": "20 px", "patch_size": "40 px"}
    value = KEYS[key]
    if key == "keep_better":
        movie = film(make_scene(), lambda t: np.zeros(2), T, noise=60)
    if key == "max_unlike_fraction":
        movie = local_movie.copy()
        movie[20] = np.random.default_rng(3).permutation(movie[20].ravel()).reshape(DIMS)
    if key == "template":
        value = str(tmp_path / "image.npy")
        np.save(value, local_movie[7])
    info = record(movie)
    if key == "shifts_from":
        from caiman_pipeline.model.motion import Shifts
        from caiman_pipeline.results.files import save_result
        from caiman_pipeline.results.records import shifts_to_arrays

        value = str(tmp_path / "given.h5")
        shifts = Shifts(np.ones((T, 2), np.float32))
        save_result(
            value,
            kind="motion",
            settings={},
            source={},
            arrays={**shifts_to_arrays(shifts), "template": movie[0], "scan_offset_px": 0.0},
        )
    plain, changed = run_motion(info, **base), run_motion(info, **{**base, key: value})
    names = set(plain.arrays) & set(changed.arrays)
    same = all(np.array_equal(plain[n], changed[n]) for n in names) and np.array_equal(plain.movie, changed.movie)
    assert not same, f"`motion.{key}` changes nothing"
