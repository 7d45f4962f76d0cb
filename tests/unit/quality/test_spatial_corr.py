"""Spatial correlation: high for planted cells, low where the movie shows something else."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted import DECAY_S, RATE_HZ, merged, plant, refined, search, store

from caiman_pipeline.model.background import SummedBackground
from caiman_pipeline.model.components import Components
from caiman_pipeline.model.quality import Quality
from caiman_pipeline.movies.store import bounds as store_module
from caiman_pipeline.movies.store.parts import MovieStore
from caiman_pipeline.quality.evaluate import evaluate
from caiman_pipeline.quality.movement import Movement
from caiman_pipeline.results import long_tables
from caiman_pipeline.results.files import load_result, save_result
from caiman_pipeline.results.long_tables import in_memory, working_tables
from caiman_pipeline.results.records import LONG_TABLES, components_from_result, components_to_arrays

DIMS = (40, 52)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[MovieStore, Components]:
    cells = plant(DIMS, [(10.0, 12.0), (13.0, 19.0), (28.0, 40.0)])
    movie = store(tmp_path_factory.mktemp("movie"), cells.movie)
    return movie, refined(movie, merged(search(movie, cells.noise)), cells.noise)


def still(movie: MovieStore) -> Movement:
    return Movement(np.zeros((movie.n_frames, 2), np.float32), np.ones(movie.n_frames, bool), 30)


def measure(movie: MovieStore, components: Components, threads: int = 1, new_table: Callable | None = None) -> Quality:
    return evaluate(
        movie,
        components,
        transient_frames=round(RATE_HZ * DECAY_S),
        transients=5,
        margin_px=(2.5, 2.5),
        network=None,
        cell_px=(8.0, 8.0),
        scales=(1.0,),
        ceiling=None,
        movement=still(movie),
        new_table=new_table or in_memory().working,
        threads=threads,
        progress=lambda done, total: None,
    )


def changed(components: Components, footprints: object) -> Components:
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


def test_pieces_of_a_pixel_or_two_at_the_border_are_measured_and_rejected(case: tuple[MovieStore, Components]) -> None:
    from scipy.sparse import csc_matrix

    from caiman_pipeline.quality.accept import Thresholds, select

    movie, components = case
    pieces = np.zeros((*DIMS, 3), np.float32)
    pieces[0, 0, 0] = pieces[-1, -1, 1] = pieces[0, -2:, 2] = 1
    quality = measure(movie, changed(components, csc_matrix(pieces.reshape(-1, 3))))
    assert list(quality.border_share) == [1, 1, 1]
    assert np.isfinite(quality.r_value).all()
    limits = Thresholds(None, 2.5, 0.5, 0.8, 0.3, None, 0.1, 5.0, 200.0, None, None, None, None, None, None)
    selection = select(quality, limits)
    assert not selection.accepted.any()


def test_a_constant_trace_has_no_measures_and_is_rejected(case: tuple[MovieStore, Components]) -> None:
    from dataclasses import replace

    from caiman_pipeline.quality.accept import Thresholds, select

    movie, components = case
    denoised, residual = components.denoised.copy(), components.residual.copy()
    denoised[1], residual[1] = 3.0, 0.0
    quality = measure(movie, replace(components, denoised=denoised, residual=residual))
    selection = select(
        quality, Thresholds(None, 2.5, 0.5, 0.8, 0.3, None, 0.1, 5.0, 200.0, None, None, None, None, None, None)
    )
    assert list(selection.accepted) == [True, False, True]
    assert selection.reasons[1] == "snr is not a number"


def test_no_components_are_measured(case: tuple[MovieStore, Components]) -> None:
    from caiman_pipeline.quality.sets import take

    movie, components = case
    quality = measure(movie, take(components, np.zeros(0, np.int64)))
    assert all(len(values) == 0 for values in vars(quality).values())


def test_saturated_pixels_are_found_in_the_movie(case: tuple[MovieStore, Components]) -> None:
    movie, components = case
    peaks = np.concatenate([frames.max(1, keepdims=True) for _, _, frames in movie.read_parts()], axis=1).max(1)
    owner = components.footprints[:, 0].toarray().ravel()
    ceiling = float(np.sort(peaks[owner > 0])[len(peaks[owner > 0]) // 2])
    quality = evaluate(
        movie,
        components,
        transient_frames=6,
        transients=5,
        margin_px=(2.5, 2.5),
        network=None,
        cell_px=(8.0, 8.0),
        scales=(1.0,),
        ceiling=ceiling,
        movement=still(movie),
        new_table=in_memory().working,
        threads=2,
        progress=lambda done, total: None,
    )
    expected = (owner * (peaks >= 0.97 * ceiling)).sum() / owner.sum()
    assert quality.saturated_share[0] == pytest.approx(expected, rel=1e-4)
    assert 0.2 < quality.saturated_share[0] < 1


def in_file(components: Components, path: Path) -> Components:
    save_result(path, kind="components", arrays=components_to_arrays(components), settings={}, source={})
    return components_from_result(load_result(path, "components", stored=LONG_TABLES["components"]))


def test_tables_in_files_change_nothing(
    case: tuple[MovieStore, Components], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    movie, components = case
    whole = measure(*case)
    stored = in_file(components, tmp_path / "c.h5")
    again = measure(movie, stored, new_table=working_tables(tmp_path / "q.h5"))
    for name, values in vars(whole).items():
        np.testing.assert_array_equal(getattr(again, name), values, err_msg=name)
    monkeypatch.setattr(long_tables, "BLOCK_BYTES", 4 * components.n_components * 128)
    blocks = measure(movie, stored, new_table=working_tables(tmp_path / "q.h5"))
    np.testing.assert_allclose(blocks.r_value, whole.r_value, atol=1e-5)


def test_memory_does_not_grow_by_traces_times_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "PART_BYTES", 4 * 40 * 52 * 64)
    monkeypatch.setattr(long_tables, "BLOCK_BYTES", 2**15)
    cells = plant(DIMS, [(10.0, 12.0), (13.0, 19.0), (28.0, 40.0)], n_frames=90)
    small = store(tmp_path / "small", cells.movie)
    few = refined(small, merged(search(small, cells.noise)), cells.noise)
    rng, n, peaks, frames = np.random.default_rng(0), 150, [], (2000, 6000)
    for n_frames in frames:
        movie = store(tmp_path / f"{n_frames}", np.tile(cells.movie, n_frames // 90 + 1)[..., :n_frames])
        tables = [rng.normal(size=(rows, n_frames)).astype(np.float32) for rows in (n, n, 40)]
        background = SummedBackground(
            few.background.static, few.background.spatial[:, np.arange(40) % few.background.spatial.shape[1]], tables[2]
        )
        many = replace(
            few,
            ids=np.arange(n),
            footprints=few.footprints[:, np.arange(n) % few.n_components],
            denoised=tables[0],
            residual=tables[1],
            background=background,
        )
        stored = in_file(many, tmp_path / f"{n_frames}.h5")
        del tables, many, background
        tracemalloc.start()
        measure(movie, stored, new_table=working_tables(tmp_path / "q.h5"))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 4 * n * (frames[1] - frames[0]) / 2


def overlapping() -> tuple[np.ndarray, Components]:
    """Two cells that share pixels and transients, on a background that rises with the first; without noise.

    The movie, (*DIMS, T), is exactly what its components say.
    """
    from scipy.sparse import csc_matrix

    rng = np.random.default_rng(2)
    cells = plant(DIMS, [(14.0, 18.0), (16.0, 23.0)])
    footprints = (cells.footprints / np.linalg.norm(cells.footprints, axis=0)).astype(np.float32)
    pulse = np.exp(-np.arange(12) / 4)
    traces = np.zeros((2, 300), np.float32)
    for start in (30, 90, 150, 210):
        traces[0, start : start + 12] += 20 * pulse
        traces[1, start + 2 : start + 14] += 30 * pulse
    traces[1, 255:267] += 60 * pulse
    spatial = np.linspace(1, 3, np.prod(DIMS), dtype=np.float32)[:, None] * rng.uniform(0.5, 1.5, (np.prod(DIMS), 1))
    signal = (0.2 * traces[:1] + 0.3 * np.sin(np.arange(300) / 7)).astype(np.float32)
    background = SummedBackground(
        np.full(np.prod(DIMS), 50, np.float32), csc_matrix(spatial.astype(np.float32)), signal
    )
    components = Components(
        dims=DIMS,
        ids=np.arange(2),
        footprints=csc_matrix(footprints),
        denoised=traces,
        residual=np.zeros_like(traces),
        background=background,
        noise=np.ones(np.prod(DIMS), np.float32),
    )
    movie = footprints @ traces + background.static[:, None] + spatial @ signal
    return movie.reshape(*DIMS, -1).astype(np.float32), components


def test_neighbours_and_background_are_taken_out_before_a_footprint_is_compared(tmp_path: Path) -> None:
    movie, components = overlapping()
    shared = components.footprints[:, 0].multiply(components.footprints[:, 1]).nnz
    assert shared > 0.2 * components.footprints[:, 0].nnz
    opened = store(tmp_path, movie)
    np.testing.assert_allclose(measure(opened, components).r_value, 1, atol=1e-3)
    alone = replace(components, background=replace(components.background, signals=0 * components.background.signals))
    assert (measure(opened, alone).r_value < 0.99).all(), "what the background adds is seen if it is not taken out"
    still_there = replace(components, denoised=components.denoised * np.array([[1], [0]], np.float32))
    assert measure(opened, still_there).r_value[0] < 0.9, "and so is a neighbour"
