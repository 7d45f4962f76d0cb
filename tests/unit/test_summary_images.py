"""Summary images against their plain definitions, whatever the parts and threads."""

from pathlib import Path

import numpy as np
import pytest
from planted import plant, store

from caiman_pipeline.movies.store import bounds as store_module
from caiman_pipeline.movies.store.parts import MovieStore
from caiman_pipeline.numerics.noise import noise_power
from caiman_pipeline.summary_images import SummaryImages, summarise

DIMS = (20, 33)


def images(movie: MovieStore, threads: int = 1, bin_frames: int = 1) -> SummaryImages:
    return summarise(
        movie,
        bin_frames=bin_frames,
        noise_band=(0.25, 0.5),
        noise_method="mean",
        threads=threads,
        progress=lambda done, total: None,
    )


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return plant(DIMS, [(8.0, 9.0), (12.0, 24.0)], n_frames=300).movie + 4000


def test_mean_deviation_and_maximum_are_exact(tmp_path: Path, frames: np.ndarray) -> None:
    made = images(store(tmp_path, frames))
    np.testing.assert_allclose(made.mean, frames.mean(-1, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(made.std, frames.std(-1, dtype=np.float64), rtol=1e-3)
    np.testing.assert_array_equal(made.max, frames.max(-1))


def test_correlation_is_the_mean_over_eight_neighbours(tmp_path: Path, frames: np.ndarray) -> None:
    made = images(store(tmp_path, frames))
    y, x = 8, 9
    around = [(y + a, x + b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]
    expected = np.mean([np.corrcoef(frames[y, x], frames[q])[0, 1] for q in around])
    assert made.correlation[y, x] == pytest.approx(expected, abs=2e-3)
    corner = [np.corrcoef(frames[0, 0], frames[q])[0, 1] for q in [(0, 1), (1, 0), (1, 1)]]
    assert made.correlation[0, 0] == pytest.approx(np.mean(corner), abs=2e-3)


def test_cells_stand_out(tmp_path: Path) -> None:
    quiet = plant(DIMS, [(8.0, 9.0), (12.0, 24.0)], n_frames=300, neuropil=0.03)
    made = images(store(tmp_path, quiet.movie), bin_frames=3)
    for image in (made.correlation, made.peak_to_noise):
        assert image[8, 9] > 2 * np.median(image)


def test_noise_is_that_of_the_movie(tmp_path: Path, frames: np.ndarray) -> None:
    assert np.median(images(store(tmp_path, frames)).noise) == pytest.approx(0.35, rel=0.1)


def test_parts_and_threads_change_nothing(tmp_path: Path, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    movie = store(tmp_path / "a", frames)
    one, many = images(movie), images(movie, threads=3)
    for name in vars(one):
        np.testing.assert_array_equal(getattr(one, name), getattr(many, name))
    monkeypatch.setattr(store_module, "PART_BYTES", 4 * 20 * 33 * 32)
    split = images(store(tmp_path / "b", frames))
    np.testing.assert_allclose(split.correlation, one.correlation, atol=1e-4)


def test_a_constant_movie_gives_finite_images(tmp_path: Path) -> None:
    made = images(store(tmp_path, np.full((*DIMS, 64), 7.0, np.float32)))
    assert all(np.isfinite(getattr(made, name)).all() for name in vars(made))
    assert (made.noise == 0).all()
    assert (made.correlation == 0).all()


def test_volumes_correlate_across_planes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    movie = rng.normal(size=(3, 8, 9, 200)).astype(np.float32)
    movie[:, 4, 4] += 3 * rng.normal(size=200)
    made = images(store(tmp_path, movie))
    assert made.correlation.shape == (3, 8, 9)
    assert made.correlation[1, 4, 4] > 0.15


@pytest.mark.parametrize("method", ["mean", "median", "logmexp"])
@pytest.mark.parametrize("length", [64, 65, 1000])
def test_every_way_of_averaging_recovers_white_noise(method: str, length: int) -> None:
    signals = np.random.default_rng(1).normal(scale=3.0, size=(2000, length)).astype(np.float32)
    power = noise_power(signals, band=(0.25, 0.5), method=method)
    assert power.mean() == pytest.approx(9.0, rel=0.05 if method == "mean" else 0.12)


def test_slow_signals_do_not_count_as_noise() -> None:
    t = np.arange(600)
    slow = (np.random.default_rng(2).normal(size=(5, 600)) + 20 * np.sin(t / 40)).astype(np.float32)
    assert np.sqrt(noise_power(slow, band=(0.25, 0.5), method="mean")).max() < 1.3


def test_what_is_no_number_is_left_out_and_is_nobodys_neighbour(tmp_path: Path, frames: np.ndarray) -> None:
    holes = frames.copy()
    holes[0, :, 40] = np.nan
    holes[:, 0, :7] = np.nan
    holes[-1] = np.nan
    made, whole = images(store(tmp_path / "a", holes)), images(store(tmp_path / "b", frames))
    for name, expected in (("mean", np.nanmean), ("std", np.nanstd), ("max", np.nanmax)):
        found = getattr(made, name)
        np.testing.assert_allclose(found[:-1], expected(holes[:-1].astype(np.float64), axis=-1), rtol=1e-3)
        assert np.isnan(found[-1]).all()
    assert (made.noise[-1] == 0).all()
    assert np.isfinite(made.peak_to_noise).all()
    assert (made.correlation[[0, -1]] == 0).all()
    np.testing.assert_array_equal(made.correlation[2:-2, 2:], whole.correlation[2:-2, 2:])
    # Next to the border, the neighbours that there are.
    y, x = 1, 9
    around = [(y + a, x + b) for a in (0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]
    expected = np.mean([np.corrcoef(frames[y, x], frames[q])[0, 1] for q in around])
    assert made.correlation[y, x] == pytest.approx(expected, abs=2e-3)


def test_a_dead_pixel_is_nobodys_neighbour(tmp_path: Path, frames: np.ndarray) -> None:
    dead = frames.copy()
    dead[8, 10] = 0
    made = images(store(tmp_path, dead))
    around = [(8 + a, 9 + b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) not in ((0, 0), (0, 1))]
    expected = np.mean([np.corrcoef(frames[8, 9], frames[q])[0, 1] for q in around])
    assert made.correlation[8, 9] == pytest.approx(expected, abs=2e-3)
    assert made.correlation[8, 10] == 0
