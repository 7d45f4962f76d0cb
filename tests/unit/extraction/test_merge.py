"""Merging: what is one cell becomes one component, and nothing else does."""

import numpy as np
from planted import disc, merged
from scipy.sparse import csc_matrix

from caiman_pipeline.model.components import Candidates

DIMS = (24, 40)


def candidates(
    footprints: list[np.ndarray],
    traces: list[np.ndarray],
    tiles: list[int],
    depth: list[float],
    seeds: list[int] | None = None,
) -> Candidates:
    matrix = np.stack(footprints, axis=1).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=0)
    return Candidates(
        DIMS,
        csc_matrix(matrix),
        np.stack(traces).astype(np.float32),
        np.array(tiles),
        np.array(depth, np.float32),
        3,
        np.array(seeds or [-1] * len(tiles)),
        False,
    )


def half(centre: tuple[float, float], side: int) -> np.ndarray:
    whole = disc(DIMS, centre).reshape(DIMS).copy()
    cut = int(centre[1]) + (1 if side == 0 else -1)
    if side == 0:
        whole[:, cut:] = 0
    else:
        whole[:, :cut] = 0
    return whole.ravel()


def bursts(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).exponential(size=200)


def test_two_halves_of_one_cell_become_one_component() -> None:
    trace = bursts(0)
    found = merged(candidates([half((12, 20), 0), half((12, 20), 1)], [trace, 1.1 * trace], [0, 0], [5, 5]))
    assert found.parents == ((0, 1),)
    assert np.corrcoef(found.traces[0], trace)[0, 1] > 0.999
    whole = disc(DIMS, (12, 20))
    cosine = float((found.footprints.T @ (whole / np.linalg.norm(whole)))[0])
    assert cosine > 0.93


def test_without_merging_the_number_stays() -> None:
    trace = bursts(0)
    pieces = candidates([half((12, 20), 0), half((12, 20), 1)], [trace, trace], [0, 0], [5, 5])
    assert merged(pieces, merge=False).footprints.shape[1] == 2


def test_overlapping_cells_that_fire_apart_stay_two() -> None:
    found = merged(candidates([disc(DIMS, (12, 17)), disc(DIMS, (12, 22))], [bursts(0), bursts(1)], [0, 0], [5, 5]))
    assert found.parents == ((0,), (1,))


def test_correlated_cells_above_the_area_limit_stay_apart() -> None:
    trace = bursts(2)
    cells = candidates([disc(DIMS, (12, 15)), disc(DIMS, (12, 21))], [trace, trace], [0, 0], [5, 5])
    assert merged(cells, max_pixels=60).footprints.shape[1] == 2
    assert merged(cells, max_pixels=400).footprints.shape[1] == 1


def test_of_one_cell_in_two_tiles_the_deeper_view_stays() -> None:
    rng, trace = np.random.default_rng(5), bursts(3)
    views = candidates(
        [disc(DIMS, (12, 20)), disc(DIMS, (12, 20.4))], [trace, trace + 0.1 * rng.normal(size=200)], [0, 1], [2, 9]
    )
    found = merged(views, merge=False)
    assert found.parents == ((1,),)
    assert found.dropped == ((0, 1),)


def test_no_components_merge_to_none() -> None:
    nothing = Candidates(
        DIMS,
        csc_matrix((960, 0), dtype=np.float32),
        np.zeros((0, 7), np.float32),
        np.zeros(0),
        np.zeros(0),
        3,
        np.zeros(0),
        False,
    )
    found = merged(nothing)
    assert found.footprints.shape == (960, 0)
    assert found.traces.shape == (0, 7)
