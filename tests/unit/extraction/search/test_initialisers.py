"""Every way of finding components: planted cells and dendrites, noise, numbers, volumes; and every key of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import DECAY_S, RATE_HZ, Planted, calcium, matches, plant, search, store

from caiman_pipeline.config.patch_cnmf import PatchSettings
from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.extraction.tiles.in_pixels import plan_search
from caiman_pipeline.model.components import Candidates
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.store.parts import MovieStore

CENTRES = [(10.0, 12.0), (14.0, 17.5), (13.0, 38.0), (24.0, 24.0), (33.0, 50.0), (38.0, 9.0)]
DIMS = (48, 60)
METHODS = ("evidence", "greedy_roi", "corr_pnr", "sparse_nmf", "graph_nmf", "pca_ica")
FACTORS = ("sparse_nmf", "graph_nmf")


def found(movie: MovieStore, noise: float, cell: str = "8 px", **changes: Any) -> Candidates:
    """Search as the stage does, from settings of the config."""
    values = dict(changes)
    values["tile_overlap"] = "16 px" if "x" not in cell else "4.8 x 16 x 16 px"
    facts = RecordingSettings(frame_rate_hz=RATE_HZ, decay_time_s=DECAY_S, cell_diameter=cell)
    settings = PatchSettings(**{"bin_decay_times": 0.5, **values})
    plan = plan_search(settings, facts, movie.dims, movie.n_frames)
    return search(movie, noise, tile=plan.tile, shapeless=plan.shapeless, bin_frames=plan.bin_frames)


def store_of(planted: Planted, factory: pytest.TempPathFactory) -> tuple[MovieStore, Planted]:
    return store(factory.mktemp("movie"), planted.movie), planted


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> tuple[MovieStore, Planted]:
    return store_of(plant(DIMS, CENTRES), tmp_path_factory)


@pytest.fixture(scope="module")
def dim(tmp_path_factory: pytest.TempPathFactory) -> tuple[MovieStore, Planted]:
    return store_of(plant(DIMS, CENTRES, noise=1.0), tmp_path_factory)


@pytest.fixture(scope="module")
def dendrites(tmp_path_factory: pytest.TempPathFactory) -> tuple[MovieStore, Planted]:
    """Three long thin processes, one of them in two parts."""
    rng = np.random.default_rng(4)
    images = np.zeros((3, 40, 56))
    for column in range(4, 52):
        images[0, 8 + column // 6 : 10 + column // 6, column] = 1
        images[1, 34 - column // 3 : 36 - column // 3, column] = 1
    images[2, 3:37, 44:46] = 1
    images[2, 15:22] = 0
    footprints, traces = images.reshape(3, -1).T, calcium(rng, 3, 600)
    movie = (footprints @ traces + 10 + 0.5 * rng.normal(size=(2240, 600))).reshape(40, 56, 600).astype(np.float32)
    return store_of(Planted(movie, footprints, traces, 0.5), tmp_path_factory)


def cosines(candidates: Candidates, planted: Planted) -> list[float]:
    return [c for _, _, c in matches(candidates.footprints.toarray(), planted)]


@pytest.mark.parametrize("init", METHODS)
@pytest.mark.parametrize("strength", ["bright", "dim"])
def test_evidence_finds_all_cells_and_nothing_else(init: str, strength: str, request: pytest.FixtureRequest) -> None:
    movie, planted = request.getfixturevalue(strength)
    candidates = found(movie, planted.noise, init=init)
    # Where two cells overlap, a factor may be left over.
    assert candidates.footprints.shape[1] - len(CENTRES) in ((0, 1) if init in FACTORS else (0,))
    assert min(cosines(candidates, planted)) > (0.95 if strength == "bright" else 0.85)


@pytest.mark.parametrize("init", METHODS)
def test_noise_has_no_components(init: str, tmp_path: Path) -> None:
    empty = plant(DIMS, [])
    assert found(store(tmp_path, empty.movie), empty.noise, init=init).footprints.shape[1] == 0


@pytest.mark.parametrize("init", METHODS)
@pytest.mark.parametrize("components", ["3 per tile", "0.05 per cell"])
def test_a_number_or_a_density_decides_how_many(init: str, components: str, bright: tuple[MovieStore, Planted]) -> None:
    movie, planted = bright
    # 2880 pixels, 50.3 to a cell: 2.9 components.
    candidates = found(movie, planted.noise, init=init, components=components)
    assert candidates.footprints.shape[1] == 3


@pytest.mark.parametrize("init", [m for m in METHODS if m != "corr_pnr"])
def test_volumes_take_the_same_path(init: str, tmp_path: Path) -> None:
    planted = plant((5, 30, 42), [(1.0, 10.0, 12.0), (3.0, 20.0, 30.0)])
    candidates = found(store(tmp_path, planted.movie), planted.noise, cell="2.4 x 8 x 8 px", init=init)
    assert candidates.footprints.shape[1] == 2
    assert min(cosines(candidates, planted)) > 0.9


def test_correlation_and_peak_to_noise_are_for_planes(tmp_path: Path) -> None:
    planted = plant((5, 30, 42), [])
    with pytest.raises(PipelineError, match="corr_pnr` works on planes"):
        found(store(tmp_path, planted.movie), planted.noise, cell="2.4 x 8 x 8 px", init="corr_pnr")


@pytest.mark.parametrize("init", METHODS)
def test_unit_and_offset_of_the_movie_do_not_matter(
    init: str, bright: tuple[MovieStore, Planted], tmp_path: Path
) -> None:
    movie, planted = bright
    plain = found(movie, planted.noise, init=init)
    other = store(tmp_path, planted.movie * np.float32(1e-6) + np.float32(3e-4))
    scaled = found(other, planted.noise * 1e-6, init=init)
    assert scaled.footprints.shape == plain.footprints.shape
    assert abs(scaled.footprints - plain.footprints).max() < 0.02


@pytest.mark.parametrize("init", METHODS)
def test_the_same_movie_gives_the_same_components(init: str, dim: tuple[MovieStore, Planted]) -> None:
    movie, planted = dim
    first, second = (found(movie, planted.noise, init=init) for _ in range(2))
    assert (first.footprints != second.footprints).nnz == 0
    np.testing.assert_array_equal(first.traces, second.traces)


@pytest.mark.parametrize("init", FACTORS)
def test_dendrites_are_found_whole_also_in_two_parts(init: str, dendrites: tuple[MovieStore, Planted]) -> None:
    movie, planted = dendrites
    candidates = found(movie, planted.noise, init=init, min_size=0.1)
    assert candidates.shapeless
    assert candidates.footprints.shape[1] == 3
    assert min(cosines(candidates, planted)) > 0.93


def test_one_connected_part_can_be_asked_for(dendrites: tuple[MovieStore, Planted]) -> None:
    movie, planted = dendrites
    whole = found(movie, planted.noise, init="sparse_nmf", min_size=0.1)
    parted = found(movie, planted.noise, init="sparse_nmf", min_size=0.1, footprints={"connected": True})
    assert cosines(whole, planted)[2] > 0.93
    assert cosines(parted, planted)[2] < 0.9


CHANGES = {
    "greedy_roi": {
        "kernel_sd": 0.8,
        "box": 0.4,
        "rolling_s": None,
        "iterations": 1,
        "min_energy": 1e4,
    },
    "corr_pnr": {
        "smooth_sd": 0.5,
        "box": 0.4,
        "min_corr": 0.98,
        "min_pnr": 60.0,
        "noise_sd": 6.0,
        "trace_corr": 0.95,
        "footprint_corr": 0.9,
    },
    "sparse_nmf": {
        "smooth_px": 2.0,
        "smooth_bins": 4.0,
        "baseline_percentile": 20.0,
        "sparsity": 20.0,
        "iterations": 1,
        "tolerance": 0.5,
        "rank_margin": 3.0,
        "min_coherence": 20.0,
    },
    "graph_nmf": {
        "sparsity": 20.0,
        "weight": 5.0,
        "kernel": "binary",
        "width": 3.0,
        "iterations": 1,
        "min_coherence": 20.0,
    },
    "pca_ica": {
        "time_weight": 1.0,
        "iterations": 1,
        "tolerance": 0.5,
        "smooth_px": 4.0,
        "threshold_sd": 8.0,
        "split": False,
        "rank_margin": 3.0,
    },
}


@pytest.mark.parametrize(("init", "name"), [(i, n) for i, names in CHANGES.items() for n in names])
def test_every_key_makes_a_difference(init: str, name: str, request: pytest.FixtureRequest) -> None:
    movie, planted = request.getfixturevalue("dendrites" if name == "split" else "dim")
    values = {"init": init, "searches": 1, "min_size": 0.1, "max_gain": 2.0}
    plain = found(movie, planted.noise, **values)
    changed = found(movie, planted.noise, **values, **{init: {name: CHANGES[init][name]}})
    different = changed.footprints.shape != plain.footprints.shape
    assert different or (changed.footprints != plain.footprints).nnz > 0


def test_every_key_of_every_way_is_tested() -> None:
    fields = PatchSettings.model_fields
    for init, names in CHANGES.items():
        keys = set(fields[init].annotation.model_fields)
        shared = set(fields["sparse_nmf"].annotation.model_fields) if init == "graph_nmf" else set()
        assert keys - shared <= set(names) <= keys


SHARED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"bin_decay_times": 2.0}),
    ({}, {"max_bins": 100}),
    ({}, {"baseline_s": 3.0}),
    ({}, {"threshold": 6.0}),
    ({}, {"min_evidence": 1e4}),
    ({}, {"significance": 30.0}),
    ({"min_evidence": 1.0}, {"searches": 3}),
    ({"searches": 1}, {"max_components": 2}),
    ({"significance": 20.0}, {"min_size": 1.0}),
    ({}, {"max_gain": 0.1}),
    ({"significance": 0.5}, {"grow": 1.0}),
    ({}, {"footprints": {"growth": "ellipse", "ellipse_factor": 1.2}}),
    ({"significance": 1.0, "grow": 1.0}, {"footprints": {"regression": "nnls_l0"}}),
    ({}, {"footprints": {"threshold": "max", "max_fraction": 0.5}}),
    ({}, {"footprints": {"median_px": 3}}),
    ({}, {"background": {"spacing": 1.0}}),
    ({}, {"background": {"model": "static"}}),
    ({}, {"background": {"model": "low_rank"}}),
    ({"background": {"model": "low_rank"}}, {"background": {"model": "low_rank", "components": 4}}),
]


@pytest.mark.parametrize(("base", "change"), SHARED, ids=str)
def test_keys_that_all_ways_share_make_a_difference(
    base: dict[str, Any], change: dict[str, Any], dim: tuple[MovieStore, Planted]
) -> None:
    movie, planted = dim
    plain, changed = found(movie, planted.noise, **base), found(movie, planted.noise, **{**base, **change})
    different = changed.footprints.shape != plain.footprints.shape
    assert different or (changed.footprints != plain.footprints).nnz > 0
