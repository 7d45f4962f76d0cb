"""Searching in tiles: failures name their tile, memory does not grow with the movie."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from planted import merged, plant, refined, search, store

from caiman_pipeline.extraction.tiles import run
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.store import bounds as store_module
from caiman_pipeline.movies.store.parts import MovieStore

CENTRES = [(12.0, 12.0), (40.0, 60.0)]


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> MovieStore:
    return store(tmp_path_factory.mktemp("movie"), plant((64, 72), CENTRES).movie)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failure_names_its_tile(movie: MovieStore, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    original = run.fit_tile

    def broken(binned: np.ndarray, dims: tuple[int, ...], **rest: object) -> object:
        if broken.calls == 2:  # type: ignore[attr-defined]
            raise ZeroDivisionError("division by zero")
        broken.calls += 1  # type: ignore[attr-defined]
        return original(binned, dims, **rest)

    broken.calls = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(run, "fit_tile", broken)
    with pytest.raises(RuntimeError, match=r"tile \d of 4 \(pixels \d+-\d+ x \d+-\d+\): division by zero"):
        search(movie, 0.35, tile_px=44, threads=threads)


def test_a_foreseen_failure_stays_what_it_is(movie: MovieStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **rest: object) -> object:
        raise PipelineError("the disk is full")

    monkeypatch.setattr(run, "bin_tile", broken)
    with pytest.raises(PipelineError, match=r"^the disk is full$"):
        search(movie, 0.35)


def peak_bytes(folder: Path, n_frames: int) -> int:
    planted = plant((64, 72), CENTRES, n_frames=n_frames)
    movie, noise = store(folder, planted.movie), planted.noise
    del planted
    tracemalloc.start()
    refined(movie, merged(search(movie, noise, bin_frames=max(3, n_frames // 200))), noise)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "PART_BYTES", 4 * 64 * 72 * 64)
    peak_bytes(tmp_path / "warm", 600)
    short, long = peak_bytes(tmp_path / "short", 600), peak_bytes(tmp_path / "long", 3000)
    added = 4 * 64 * 72 * (3000 - 600)
    assert long - short < 0.1 * added
