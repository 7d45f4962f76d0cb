"""Border, saturation, elongation, likeness and nesting of footprints planted for it."""

import numpy as np
import pytest
from planted import disc
from scipy.sparse import csc_matrix

from caiman_pipeline.quality.shape import border_share, elongation, likeness, nesting, saturated_share

DIMS = (37, 53)


def footprints(*shapes: np.ndarray) -> csc_matrix:
    columns = [s.ravel() / max(float(np.linalg.norm(s)), 1e-12) for s in shapes]
    return csc_matrix(np.stack(columns, axis=1).astype(np.float32))


def round_at(row: int, column: int, radius: float) -> np.ndarray:
    y, x = np.indices(DIMS)
    return (np.hypot(y - row, x - column) <= radius).astype(float)


def test_weight_next_to_the_end_of_the_field_counts_as_at_the_border() -> None:
    inside, cut = disc(DIMS, (18, 26)), np.zeros(DIMS)
    cut[:4, 20:24] = 1
    usable = np.ones(DIMS, bool)
    found = border_share(footprints(inside, cut, np.zeros(DIMS)), DIMS, usable=usable.ravel())
    assert list(found) == pytest.approx([0, 0.25, 0])
    usable[:, :30] = False
    shifted = border_share(footprints(np.eye(*DIMS, k=10), cut), DIMS, usable=usable.ravel())
    assert shifted[1] == 1


def test_borders_of_volumes_lie_in_the_plane() -> None:
    shape = np.zeros((2, *DIMS))
    shape[0, 10:14, 20:24] = 1
    assert border_share(footprints(shape), (2, *DIMS), usable=np.ones(shape.size, bool))[0] == 0


def test_pixels_at_the_ceiling_count_by_their_weight() -> None:
    shape, peaks = np.zeros(DIMS), np.full(DIMS, 100.0)
    shape[10, 10:14] = 1
    peaks[10, 10] = 3990
    assert saturated_share(footprints(shape), peaks.ravel(), ceiling=4000.0)[0] == pytest.approx(0.25)
    assert saturated_share(footprints(shape), peaks.ravel(), ceiling=None)[0] == 0


@pytest.mark.parametrize("tilt", [0.0, 0.5, 2.0])
def test_elongation_is_length_over_width_in_any_direction(tilt: float) -> None:
    y, x = np.indices(DIMS) - np.array([18, 26])[:, None, None]
    along, across = x * np.cos(tilt) + y * np.sin(tilt), y * np.cos(tilt) - x * np.sin(tilt)
    long, round_one = (along / 12) ** 2 + (across / 4) ** 2 < 1, np.hypot(y, x) < 6
    found = elongation(footprints(long.astype(float), round_one.astype(float), np.zeros(DIMS)), DIMS, cell_px=(9, 9))
    assert found[0] == pytest.approx(3, rel=0.1)
    assert found[1] == pytest.approx(1, abs=0.05)
    assert found[2] == 1


@pytest.mark.parametrize("tilt", [0.0, 0.5, 2.0])
def test_elongation_is_that_of_the_cell_and_not_of_its_pixels(tilt: float) -> None:
    """Of pixels 2.5 times as high as wide, a cell covers fewer rows than columns."""
    y, x = (np.indices(DIMS) - np.array([18, 26])[:, None, None]) * np.array([2.5, 1.0])[:, None, None]
    along, across = x * np.cos(tilt) + y * np.sin(tilt), y * np.cos(tilt) - x * np.sin(tilt)
    long, round_one = (along / 24) ** 2 + (across / 8) ** 2 < 1, np.hypot(y, x) < 12
    found = elongation(footprints(long.astype(float), round_one.astype(float)), DIMS, cell_px=(9.6, 24))
    assert found[0] == pytest.approx(3, rel=0.1)
    assert found[1] == pytest.approx(1, abs=0.08)


def test_of_two_views_of_a_cell_the_weaker_repeats_the_stronger() -> None:
    rng = np.random.default_rng(0)
    trace, other = rng.random((2, 500))
    traces = np.stack([trace + 0.1 * other, trace, other])
    shapes = footprints(disc(DIMS, (18, 26)), disc(DIMS, (18, 27)), disc(DIMS, (18, 26)))
    found = likeness(shapes, traces, np.array([3.0, 8.0, 9.0]))
    assert found[0] > 0.85
    assert found[1] < 0.1, "the stronger of the pair stays"
    assert likeness(shapes, traces, np.array([np.nan, 8.0, 9.0]))[0] == found[0]


def test_a_ring_around_a_core_and_a_piece_of_a_whole_are_nested() -> None:
    core, whole, beside = round_at(18, 16, 3), round_at(18, 16, 6), round_at(18, 40, 6)
    ring = np.where(core > 0, 0.0, whole)
    shapes = footprints(core, ring, beside)
    np.testing.assert_allclose(nesting(shapes, DIMS, np.array([5.0, 4.0, 3.0])), [0, 1, 0])
    np.testing.assert_allclose(nesting(shapes, DIMS, np.array([4.0, 5.0, 3.0])), [1, 0, 0])
    piece = np.where(np.arange(DIMS[1]) < 16, whole, 0.0)
    assert nesting(footprints(piece, whole), DIMS, np.array([1.0, 2.0])) == pytest.approx([1, 0])


def test_neighbours_that_touch_are_nested_by_what_they_share() -> None:
    left, right = round_at(18, 20, 6), round_at(18, 28, 6)
    shared = float((left * right).sum() / left.sum())
    assert 0 < shared < 0.4
    found = nesting(footprints(left, right), DIMS, np.array([1.0, 1.0]))
    np.testing.assert_allclose(found, [0, shared], rtol=1e-6)
    assert nesting(footprints(left, right), DIMS, np.array([np.nan, np.nan])) == pytest.approx(found)


def test_no_components_have_no_likeness() -> None:
    nothing = csc_matrix((37 * 53, 0), dtype=np.float32)
    assert likeness(nothing, np.zeros((0, 10)), np.zeros(0)).shape == (0,)
    assert nesting(nothing, DIMS, np.zeros(0)).shape == (0,)
    assert (
        elongation(nothing, DIMS, cell_px=(9, 9)).shape
        == border_share(nothing, DIMS, usable=np.ones(37 * 53, bool)).shape
        == (0,)
    )


def test_components_with_traces_of_their_own_are_not_nested() -> None:
    whole, piece = round_at(18, 26, 6), round_at(17, 25, 3)
    shapes, strength = footprints(whole, piece), np.array([2.0, 1.0])
    rng = np.random.default_rng(0)
    own = rng.normal(size=(2, 800))
    tied = np.stack([own[0], 0.6 * own[0] + own[1]])
    assert nesting(shapes, DIMS, strength, traces=own) == pytest.approx([0, 0])
    assert nesting(shapes, DIMS, strength, traces=tied) == pytest.approx([0, 1])
    assert nesting(shapes, DIMS, strength, traces=tied * [[1], [-1]]) == pytest.approx([0, 1])
