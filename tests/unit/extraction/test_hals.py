"""Alternating least squares: the same as by hand on small matrices, and closer to the movie on a large one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted import Planted, background, matches, merged, plant, refined, search, store
from scipy.sparse import csc_matrix, csr_matrix

from caiman_pipeline.extraction.hals import HalsSettings, hals, hals_footprints, hals_traces
from caiman_pipeline.extraction.refine import Field, prepare_field
from caiman_pipeline.model.components import Components

DIMS = (48, 60)
CENTRES = [(10.0, 12.0), (14.0, 17.5), (13.0, 38.0), (33.0, 50.0)]


def small(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    footprints = rng.random((12, 3)) * (rng.random((12, 3)) < 0.7)
    traces = rng.random((3, 40))
    return footprints, traces, footprints @ traces + 0.1 * rng.normal(size=(12, 40))


def test_sweeps_over_footprints_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    footprints, traces, movie = small(rng)
    start = csr_matrix(footprints * rng.uniform(0.2, 2, footprints.shape))
    frozen = np.array([False, True, False])
    rows = np.repeat(np.arange(12), np.diff(start.indptr))
    products = (movie @ traces.T)[rows, start.indices]
    fresh = hals_footprints(start, products, traces @ traces.T, iterations=3, frozen=frozen, threads=2)
    expected, support = start.toarray(), start.toarray() > 0
    for _ in range(3):
        for k in (0, 2):
            step = (movie @ traces[k] - expected @ traces @ traces[k]) / (traces[k] @ traces[k])
            expected[:, k] = np.maximum(expected[:, k] + step, 0) * support[:, k]
    np.testing.assert_allclose(fresh.toarray(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("clip", [False, True])
def test_sweeps_over_traces_are_those_of_the_definition(clip: bool) -> None:
    rng = np.random.default_rng(1)
    footprints, traces, movie = small(rng)
    nonnegative, frozen = np.array([clip, False, clip]), np.array([False, True, False])
    start = traces + rng.normal(size=traces.shape)
    gram, target = footprints.T @ footprints, (footprints.T @ movie - 1).astype(np.float32)
    fresh = hals_traces(
        csr_matrix(gram),
        target,
        start.astype(np.float32),
        iterations=4,
        frozen=frozen,
        nonnegative=nonnegative,
        threads=2,
    )
    expected = start.copy()
    for _ in range(4):
        for k in (0, 2):
            expected[k] += (target[k] - gram[k] @ expected) / gram[k, k]
            expected[k] = np.maximum(expected[k], 0) if nonnegative[k] else expected[k]
    np.testing.assert_allclose(fresh, expected, rtol=1e-4, atol=1e-4)
    assert (fresh[0].min() >= 0) == clip


@pytest.fixture(scope="module")
def cells() -> Planted:
    return plant(DIMS, CENTRES)


@pytest.fixture(scope="module")
def field(cells: Planted, tmp_path_factory: pytest.TempPathFactory) -> Field:
    movie = store(tmp_path_factory.mktemp("movie"), cells.movie)
    noise = np.full(DIMS, cells.noise, np.float32)
    return prepare_field(movie, mean=cells.movie.mean(-1), noise=noise, background=background(), threads=2)


@pytest.fixture(scope="module")
def components(cells: Planted, field: Field) -> Components:
    return refined(field.movie, merged(search(field.movie, cells.noise)), cells.noise)


def settings(**changes: object) -> HalsSettings:
    values = {
        "rounds": 2,
        "footprint_iterations": 2,
        "trace_iterations": 5,
        "nonnegative": False,
        "update_background": True,
    }
    return HalsSettings(**{**values, **changes})


def error(components: Components, cells: Planted) -> float:
    background = components.background
    model = components.footprints @ components.denoised + background.static[:, None]
    model += background.spatial @ background.signals
    return float(np.std(cells.movie.reshape(-1, cells.movie.shape[-1]) - model))


def disturbed(components: Components, cells: Planted) -> Components:
    rng = np.random.default_rng(2)
    footprints = components.footprints.copy()
    footprints.data *= rng.uniform(0.3, 1.5, len(footprints.data)).astype(np.float32)
    denoised = components.denoised + rng.normal(0, 6, components.denoised.shape).astype(np.float32)
    return replace(components, footprints=csc_matrix(footprints), denoised=denoised)


def run(field: Field, components: Components, **changes: object) -> Components:
    return hals(field, components, settings=settings(**changes), progress=lambda done, total: None)


def test_disturbed_components_find_back_to_the_movie(field: Field, components: Components, cells: Planted) -> None:
    rough = disturbed(components, cells)
    smooth = run(field, rough)
    assert error(rough, cells) > 1.1 * cells.noise
    assert error(smooth, cells) < 1.01 * cells.noise
    np.testing.assert_array_equal(smooth.ids, components.ids)
    for k, j, cosine in matches(smooth.footprints.toarray(), cells):
        assert cosine > 0.98
        assert np.corrcoef(smooth.denoised[j], cells.traces[k])[0, 1] > 0.95


def test_footprints_keep_their_support_and_unit_norm(field: Field, components: Components, cells: Planted) -> None:
    fresh = run(field, disturbed(components, cells))
    assert not ((fresh.footprints > 0).toarray() & ~(components.footprints > 0).toarray()).any()
    np.testing.assert_allclose(np.sqrt(fresh.footprints.multiply(fresh.footprints).sum(0)), 1, rtol=1e-5)


def test_without_iterations_footprints_stay(field: Field, components: Components) -> None:
    fresh = run(field, components, footprint_iterations=0)
    np.testing.assert_allclose(fresh.footprints.toarray(), components.footprints.toarray(), atol=1e-6)


def test_traces_stay_above_zero_if_asked(field: Field, components: Components, cells: Planted) -> None:
    fresh = run(field, components, nonnegative=True)
    assert fresh.denoised.min() >= 0
    assert error(fresh, cells) < 1.03 * cells.noise
    assert run(field, components).denoised.min() < 0


def test_signals_of_an_updated_background_stay_above_zero_if_asked(
    field: Field, components: Components, cells: Planted
) -> None:
    """What the lowest value of each was is in the static background, so that the movie's model is the same."""
    rough = disturbed(components, cells)
    assert rough.background.signals.min() < 0
    fresh = run(field, rough, nonnegative=True)
    assert fresh.background.signals.min() == 0
    assert error(fresh, cells) < 1.03 * cells.noise
    assert run(field, rough).background.signals.min() < 0
    kept = run(field, rough, nonnegative=True, update_background=False)
    np.testing.assert_array_equal(kept.background.signals, rough.background.signals)
    assert kept.denoised.min() == 0


def test_a_kept_background_does_not_change(field: Field, components: Components, cells: Planted) -> None:
    kept = run(field, disturbed(components, cells), update_background=False).background
    np.testing.assert_array_equal(kept.signals, components.background.signals)
    assert abs(kept.spatial - components.background.spatial).max() == 0
    changed = run(field, disturbed(components, cells)).background
    assert not np.array_equal(changed.signals, components.background.signals)


def test_threads_do_not_change_the_result(field: Field, components: Components) -> None:
    one, three = (run(replace(field, threads=n), components) for n in (1, 3))
    np.testing.assert_array_equal(one.denoised, three.denoised)
    assert (one.footprints != three.footprints).nnz == 0


def test_no_components_are_no_failure(field: Field, components: Components, tmp_path: Path) -> None:
    from caiman_pipeline.quality.sets import take

    assert run(field, take(components, np.zeros(0, np.int64))).n_components == 0
