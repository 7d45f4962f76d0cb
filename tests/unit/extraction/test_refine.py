"""Updates over the full field: traces and background as planted, whatever the parts and threads."""

import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
from planted import Planted, background, disc, matches, merged, plant, refined, search, store
from scipy.sparse import csc_matrix

from caiman_pipeline.extraction.merge import Merged
from caiman_pipeline.model.components import Components
from caiman_pipeline.movies.store import bounds as store_module
from caiman_pipeline.results import long_tables
from caiman_pipeline.results.long_tables import on_disk

CENTRES = [(10.0, 12.0), (14.0, 17.5), (13.0, 38.0), (33.0, 50.0), (38.0, 9.0)]
DIMS = (48, 60)


@pytest.fixture(scope="module")
def cells() -> Planted:
    return plant(DIMS, CENTRES)


@pytest.fixture(scope="module")
def components(cells: Planted, tmp_path_factory: pytest.TempPathFactory) -> Components:
    movie = store(tmp_path_factory.mktemp("movie"), cells.movie)
    return refined(movie, merged(search(movie, cells.noise)), cells.noise)


def pairs(components: Components, cells: Planted) -> list[tuple[int, int]]:
    return [(k, j) for k, j, _ in matches(components.footprints.toarray(), cells)]


def test_overlapping_cells_are_told_apart(components: Components, cells: Planted) -> None:
    assert components.n_components == len(CENTRES)
    raw = components.denoised + components.residual
    correlations = [np.corrcoef(raw[j], cells.traces[k])[0, 1] for k, j in pairs(components, cells)]
    assert min(correlations) > 0.9
    overlapping = np.corrcoef(raw[pairs(components, cells)[0][1]], cells.traces[1])[0, 1]
    assert overlapping < 0.3


def test_denoised_traces_are_closer_to_the_truth_than_raw_ones(tmp_path: Path) -> None:
    cells = plant(DIMS, CENTRES[2:], noise=1.0)
    movie = store(tmp_path, cells.movie)
    components = refined(movie, merged(search(movie, cells.noise)), cells.noise)
    raw = components.denoised + components.residual
    for k, j in pairs(components, cells):
        better = np.corrcoef(components.denoised[j], cells.traces[k])[0, 1]
        assert better > np.corrcoef(raw[j], cells.traces[k])[0, 1]


def test_amplitudes_are_in_the_movies_unit(components: Components, cells: Planted) -> None:
    for k, j in pairs(components, cells):
        # A single peak is as good as its frame's noise: what counts is the slope of the whole trace on the true one.
        slope = np.polyfit(cells.traces[k], components.denoised[j], 1)[0]
        rebuilt = components.footprints[:, [j]].toarray() * slope
        assert rebuilt.max() == pytest.approx(cells.footprints[:, k].max(), rel=0.2)


def test_the_model_explains_all_but_the_noise(components: Components, cells: Planted) -> None:
    background = components.background
    model = components.footprints @ components.denoised + background.static[:, None]
    model += background.spatial @ background.signals
    rest = cells.movie.reshape(-1, cells.movie.shape[-1]) - model
    assert rest.std() == pytest.approx(cells.noise, rel=0.03)
    assert abs(rest.mean()) < 0.01


def test_parts_and_threads_do_not_change_the_result(
    components: Components, cells: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = store(tmp_path / "same", cells.movie)
    again = refined(movie, merged(search(movie, cells.noise)), cells.noise, threads=3)
    np.testing.assert_array_equal(again.denoised, components.denoised)
    assert (again.footprints != components.footprints).nnz == 0
    monkeypatch.setattr(store_module, "PART_BYTES", 4 * 48 * 60 * 64)
    short = store(tmp_path / "short", cells.movie)
    assert len(short.parts) > len(movie.parts)
    other = refined(short, merged(search(short, cells.noise)), cells.noise)
    np.testing.assert_allclose(other.denoised, components.denoised, atol=0.02 * components.denoised.max())


def test_a_component_that_does_not_hold_leaves_every_array_aligned(cells: Planted, tmp_path: Path) -> None:
    movie = store(tmp_path, cells.movie)
    found = merged(search(movie, cells.noise))
    ghost = csc_matrix(([1.0], ([20 * DIMS[1] + 30], [0])), shape=(found.footprints.shape[0], 1), dtype=np.float32)
    from scipy.sparse import hstack

    rng = np.random.default_rng(3)
    with_ghost = Merged(
        hstack([ghost, found.footprints]).tocsc(),
        np.concatenate([rng.normal(size=(1, found.traces.shape[1])).astype(np.float32), found.traces]),
        ((0,), *found.parents),
        (),
        0,
        np.arange(1 + len(CENTRES)),
    )
    components = refined(movie, with_ghost, cells.noise)
    assert 0 not in components.ids
    assert list(components.ids) == list(range(1, 1 + len(CENTRES)))
    assert len(components.denoised) == len(components.residual) == components.footprints.shape[1] == len(CENTRES)


def test_tables_in_files_change_nothing(components: Components, cells: Planted, tmp_path: Path) -> None:
    movie = store(tmp_path, cells.movie)
    found = merged(search(movie, cells.noise))
    with h5py.File(tmp_path / "c.h5", "w") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_tables, "BLOCK_BYTES", 4 * len(CENTRES) * 64)
        patch.setattr(long_tables, "TRACES_AT_ONCE", 2)
        patch.setattr(long_tables, "TRACE_VALUES", 1)
        filed = refined(movie, found, cells.noise, tables=on_disk(file, tmp_path / "c.h5"))
        np.testing.assert_array_equal(filed.denoised[:], components.denoised)
        np.testing.assert_array_equal(filed.residual[:], components.residual)
        np.testing.assert_array_equal(filed.background.signals[:], components.background.signals)
    assert (filed.footprints != components.footprints).nnz == 0


@pytest.mark.parametrize("model", ["nodes", "low_rank"])
def test_memory_does_not_grow_by_traces_times_frames(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "PART_BYTES", 4 * 48 * 60 * 64)
    monkeypatch.setattr(long_tables, "BLOCK_BYTES", 2**15)
    monkeypatch.setattr(long_tables, "TRACE_VALUES", 1)
    rng, n, peaks, frames = np.random.default_rng(5), 300, [], (1200, 3600)
    footprints = np.stack([disc(DIMS, tuple(rng.uniform(4, d - 4) for d in DIMS)) for _ in range(n)], axis=1)
    footprints = csc_matrix(footprints / np.linalg.norm(footprints, axis=0), dtype=np.float32)
    for n_frames in frames:
        traces = rng.normal(size=(n, n_frames)).astype(np.float32)
        noise = rng.normal(size=(np.prod(DIMS), n_frames)).astype(np.float32)
        movie = store(tmp_path / f"{n_frames}", (footprints @ traces + 10 + 0.1 * noise).reshape(*DIMS, -1))
        found = Merged(footprints, traces[:, ::60].copy(), tuple((k,) for k in range(n)), (), 0, np.arange(n))
        with h5py.File(tmp_path / f"{n_frames}.h5", "w") as file:
            tracemalloc.start()
            rules = background(model=model)
            filed = refined(movie, found, 0.1, bin_frames=60, model=rules, tables=on_disk(file, tmp_path / "c"))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert filed.n_components > n / 2
    table = 4 * n * (frames[1] - frames[0])
    assert peaks[1] - peaks[0] < table / 3
