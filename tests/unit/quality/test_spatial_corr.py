"""Spatial correlation: high for planted cells, low where the movie shows something else."""

import numpy as np
import pytest
from planted import DECAY_S, RATE_HZ, merged, plant, refined, search, store

from caiman_pipeline.io.store import MovieStore
from caiman_pipeline.quality.evaluate import evaluate
from caiman_pipeline.types import Components, Quality

DIMS = (40, 52)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[MovieStore, Components]:
    cells = plant(DIMS, [(10.0, 12.0), (13.0, 19.0), (28.0, 40.0)])
    movie = store(tmp_path_factory.mktemp("movie"), cells.movie)
    return movie, refined(movie, merged(search(movie, cells.noise)), cells.noise)


def measure(movie: MovieStore, components: Components, threads: int = 1) -> Quality:
    return evaluate(
        movie, components, transient_frames=round(RATE_HZ * DECAY_S), transients=5, margin_px=(2.5, 2.5), network=None,
        cell_px=(8.0, 8.0), ceiling=None, threads=threads, progress=lambda done, total: None,
    )  # fmt: skip


def changed(components: Components, footprints: object) -> Components:
    from dataclasses import replace

    return replace(components, footprints=footprints)


def test_planted_cells_look_like_their_footprints(case: tuple[MovieStore, Components]) -> None:
    quality = measure(*case)
    assert (quality.r_value > 0.9).all()
    assert (quality.snr > 3).all()
    assert ((quality.size_px > 25) & (quality.size_px < 80)).all()


def test_threads_change_nothing(case: tuple[MovieStore, Components]) -> None:
    np.testing.assert_array_equal(measure(*case).r_value, measure(*case, threads=3).r_value)


def test_a_footprint_at_the_wrong_place_does_not_fit(case: tuple[MovieStore, Components]) -> None:
    from scipy.sparse import csc_matrix

    movie, components = case
    shifted = np.roll(components.footprints.toarray().reshape(*DIMS, -1), 6, axis=0).reshape(np.prod(DIMS), -1)
    quality = measure(movie, changed(components, csc_matrix(shifted)))
    assert (quality.r_value < 0.5).all()


def test_a_footprint_of_one_pixel_has_no_correlation(case: tuple[MovieStore, Components]) -> None:
    from scipy.sparse import csc_matrix

    movie, components = case
    one = np.zeros(components.footprints.shape, np.float32)
    one[[500, 501, 502], [0, 1, 2]] = 1
    quality = measure(movie, changed(components, csc_matrix(one)))
    assert (quality.r_value == 0).all()
    assert (quality.size_px == 1).all()
