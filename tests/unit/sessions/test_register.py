"""The same cells over sessions: found under shift, turn, magnification and bend, and not where there are none."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.sparse import csc_matrix, hstack

from caiman_pipeline.config.sessions import SessionsSettings
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.sessions import Session
from caiman_pipeline.sessions.register import register
from tests.unit.sessions.fields import DIMS, bent, make_field, similarity

STILL = similarity(0, (0, 0))
SETTINGS = SessionsSettings()


@cache
def three_days():
    moves = (STILL, bent(similarity(4, (9, -14))), bent(similarity(-3, (-12, 6)), -2.0))
    return make_field(moves, seed=3)


@cache
def registered():
    return register(three_days().sessions, SETTINGS)


def test_cells_are_found_again_after_shift_turn_and_bend():
    found = registered()
    assert three_days().f1(found) > 0.95
    assert all(a.placed for a in found.alignments)
    assert [a.by for a in found.alignments].count("given") == 1
    assert min(a.confidence for a in found.alignments) > 0.4
    assert min(a.image_agreement for a in found.alignments) > 0.8


def test_no_two_components_of_a_session_are_one_cell():
    for cells in registered().cells:
        assert len(np.unique(cells)) == len(cells)


def test_the_order_of_sessions_changes_nothing():
    found, field = registered(), three_days()
    order = [2, 0, 1]
    other = register([field.sessions[s] for s in order], SETTINGS)
    for i, s in enumerate(order):
        np.testing.assert_array_equal(other.cells[i], found.cells[s])
        np.testing.assert_array_equal(other.probability[i], found.probability[s])
        np.testing.assert_array_equal(other.runner_up[i], found.runner_up[s])
    assert order[other.reference] == found.reference
    assert (other.union != found.union).nnz == 0


def test_the_callers_arrays_are_left_alone():
    sessions = three_days().sessions
    before = [(s.footprints.copy(), s.image.copy()) for s in sessions]
    register(sessions, SETTINGS)
    for session, (footprints, image) in zip(sessions, before, strict=True):
        assert (session.footprints != footprints).nnz == 0
        np.testing.assert_array_equal(session.image, image)


def test_a_session_with_itself_is_the_same_cell_by_cell():
    one = three_days().sessions[0]
    found = register([one, replace(one, name="again")], SETTINGS)
    np.testing.assert_array_equal(found.cells[0], found.cells[1])
    assert found.probability[0].min() > 0.9
    assert found.n_tracked == one.n_components


@pytest.mark.parametrize("degrees", [90, 180, -37])
def test_any_turn(degrees):
    field = make_field((STILL, similarity(degrees, (5, -8))), seed=4)
    assert field.f1(register(field.sessions, SETTINGS)) > 0.9


@pytest.mark.parametrize("scale", [0.75, 1.4])
def test_another_magnification_and_size_of_field(scale):
    size = (95, 170)
    field = make_field((STILL, similarity(3, (2, 4), scale)), seed=5, scales=[1, scale], sizes=[DIMS, size])
    assert field.f1(register(field.sessions, SETTINGS)) > 0.9


def test_pixels_of_known_size_are_compared_in_micrometres():
    field = make_field((STILL, similarity(0, (6, 3), 1.5)), seed=5, scales=[1, 1.5])
    sized = [replace(s, pixel_um=(um, um)) for s, um in zip(field.sessions, (1.5, 1.0), strict=True)]
    assert field.f1(register(sized, SETTINGS)) > 0.9


def test_a_shift_beyond_half_the_field():
    field = make_field((STILL, similarity(2, (4, 82))), seed=6, n=130)
    found = register(field.sessions, SETTINGS)
    assert 15 < field.pairs(found, 0, 1)[0] < 70
    assert field.f1(found) > 0.9


def test_volumes():
    dims = (6, 80, 100)
    still, moved = similarity(0, (0, 0, 0), dims=dims), similarity(5, (1, 6, -9), dims=dims)
    field = make_field((still, moved), seed=7, n=90, dims=dims)
    assert field.f1(register(field.sessions, SETTINGS)) > 0.9


def _flipped(session):
    back = np.arange(np.prod(session.dims)).reshape(session.dims)[:, ::-1].ravel()
    return replace(session, footprints=session.footprints[back], image=session.image[:, ::-1])


def test_a_mirrored_field_gives_no_pair_and_says_so():
    first, second, _ = three_days().sessions
    found = register([first, _flipped(second)], SETTINGS)
    assert found.n_tracked == 0
    assert not any(a.placed for a in found.alignments)
    assert all("mirror" in a.reason for a in found.alignments)
    assert not found.pairs


def test_a_mirrored_session_is_left_out_and_named_while_the_others_are_tracked():
    first, second, third = three_days().sessions
    found = register([first, _flipped(second), third], SETTINGS)
    assert [a.placed for a in found.alignments] == [True, False, True]
    assert "mirror" in found.alignments[1].reason
    assert (found.cells[1] == -1).all()
    assert found.n_tracked > 30


@pytest.mark.parametrize("seed", [21, 22, 23])
def test_unrelated_fields_give_no_pair_and_say_so(seed):
    one, other = (make_field((STILL,), seed=s).sessions[0] for s in (seed, seed + 100))
    found = register([one, replace(other, name="elsewhere")], SETTINGS)
    assert found.n_tracked == 0
    assert all("not the same field" in a.reason for a in found.alignments)


def test_one_session_is_its_own_field():
    one = three_days().sessions[0]
    found = register([one], SETTINGS)
    np.testing.assert_array_equal(np.sort(found.cells[0]), np.arange(one.n_components))
    assert np.isnan(found.probability[0]).all()
    assert found.n_tracked == 0


def _few(session, n):
    return replace(session, ids=session.ids[:n], footprints=session.footprints[:, :n])


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_session_of_few_cells_is_placed_by_its_image(n):
    field = three_days()
    rows = np.flatnonzero(np.isin(field.owners[1], field.owners[0]) & (field.owners[1] >= 0))[:n]
    session = replace(
        field.sessions[1], ids=field.sessions[1].ids[rows], footprints=field.sessions[1].footprints[:, rows]
    )
    found = register([field.sessions[0], session, field.sessions[2]], SETTINGS)
    assert found.alignments[1].placed
    assert found.alignments[1].by == "images"
    assert "images" in found.alignments[1].reason
    owners = [np.flatnonzero(field.owners[0] == field.owners[1][r])[0] for r in rows]
    assert [found.cells[0][o] for o in owners] == list(found.cells[1])


def test_a_session_of_two_cells_and_no_image_is_left_out():
    field = three_days()
    session = replace(_few(field.sessions[1], 2), image=None)
    found = register([field.sessions[0], session, field.sessions[2]], SETTINGS)
    assert not found.alignments[1].placed
    assert "too few components (2)" in found.alignments[1].reason
    assert found.alignments[0].placed
    assert found.alignments[2].placed


def test_integer_and_constant_images_do_no_harm():
    field = three_days()
    whole = [replace(s, image=(s.image * 1000).astype(np.uint16)) for s in field.sessions]
    flat = [replace(s, image=np.full(s.dims, 7, np.uint16)) for s in field.sessions]
    for sessions in (whole, flat):
        found = register(sessions, SETTINGS)
        assert field.f1(found) > 0.95
        assert sessions[0].image.dtype == np.uint16
    assert np.isnan(found.alignments[0].image_agreement)


def test_empty_footprints_are_cells_of_their_own_without_a_place():
    first, second, _ = three_days().sessions
    blank = csc_matrix((first.footprints.shape[0], 1), dtype=np.float32)
    longer = replace(first, ids=np.append(first.ids, 999), footprints=hstack([first.footprints, blank]).tocsc())
    found = register([longer, second], SETTINGS)
    assert found.cells[0][-1] == -1
    assert found.n_tracked > 30


def test_footprints_that_are_not_numbers_are_refused():
    one = three_days().sessions[0]
    wrong = one.footprints.copy()
    wrong.data[3] = np.nan
    with pytest.raises(PipelineError, match="day_0: footprints have values that are not finite"):
        register([replace(one, footprints=wrong)], SETTINGS)


def test_names_must_differ_and_planes_and_volumes_do_not_mix():
    one = three_days().sessions[0]
    with pytest.raises(PipelineError, match="names of their own"):
        register([one, one], SETTINGS)
    volume = Session("deep", (2, 3, 4), np.zeros(0, int), csc_matrix((24, 0)))
    with pytest.raises(PipelineError, match="Planes and volumes"):
        register([one, volume], SETTINGS)
    with pytest.raises(PipelineError, match="No sessions"):
        register([], SETTINGS)


def test_probabilities_are_those_of_the_truth():
    field = make_field((STILL, bent(similarity(2, (6, -5))), bent(similarity(-2, (3, 8)))), seed=9, n=220, jitter=0.8)
    found = register(field.sessions, SETTINGS)
    said, true = [], []
    for (a, b), (rows, p) in found.pairs.items():
        one, other = field.owners[a][rows[:, 0]], field.owners[b][rows[:, 1]]
        said.append(p)
        true.append((one == other) & (one >= 0))
    said, true = np.concatenate(said), np.concatenate(true)
    assert np.mean((said - true) ** 2) < 0.02
    for low, high in ((0, 0.1), (0.9, 1)):
        part = (said >= low) & (said <= high)
        assert abs(said[part].mean() - true[part].mean()) < 0.05


@pytest.mark.parametrize(
    ("key", "value"),
    [("max_dist_px", 0.4), ("thresh_cost", 0.2), ("least_probability", 0.99), ("max_thr", 0.9)],
)
def test_every_limit_does_something(key, value):
    settings = SessionsSettings(**{key: value}, **({"thresh_cost": 0.4} if key == "max_thr" else {}))
    found = register(three_days().sessions, settings)
    assert not all(np.array_equal(a, b) for a, b in zip(found.cells, registered().cells, strict=True))


def test_an_enclosed_cell_costs_no_more_than_is_said():
    first, second, _ = three_days().sessions
    inner = second.footprints.copy()
    peak = inner.max(0).toarray().ravel()
    inner.data *= inner.data > 0.75 * np.repeat(peak, np.diff(inner.indptr))
    inner.eliminate_zeros()
    pair = [first, replace(second, footprints=inner)]
    strict = register(pair, SessionsSettings(thresh_cost=0.3))
    lenient = register(pair, SessionsSettings(thresh_cost=0.3, enclosed_thr=0.1))
    assert lenient.n_tracked > strict.n_tracked + 10


def test_the_methods_by_images_and_none():
    field = make_field((STILL, similarity(0, (5, -7))), seed=8)
    for method in ("phase_correlation", "optical_flow"):
        assert field.f1(register(field.sessions, SessionsSettings(align_by=method))) > 0.9
    assert field.f1(register(field.sessions, SessionsSettings(align_by="nothing"))) < 0.3
    still = make_field((STILL, STILL), seed=8)
    assert still.f1(register(still.sessions, SessionsSettings(align_by="nothing"))) > 0.9
    blind = [replace(s, image=np.full(s.dims, 3)) for s in field.sessions]
    with pytest.raises(PipelineError, match="shows nothing"):
        register(blind, SessionsSettings(align_by="phase_correlation"))
