"""The functions on arrays, in the shape of CaImAn's."""

import numpy as np
import pytest

import caiman_pipeline as cp
from caiman_pipeline.sessions.register import register
from tests.unit.sessions.fields import DIMS, make_field, similarity

MOVES = (similarity(0, (0, 0)), similarity(3, (7, -6)), similarity(-2, (-5, 4)))


@pytest.fixture(scope="module")
def field():
    return make_field(MOVES, seed=12)


def _dense(session, order="C"):
    cube = session.footprints.toarray().reshape(*session.dims, -1)
    return cube.reshape(-1, cube.shape[-1]) if order == "C" else cube.transpose(1, 0, 2).reshape(-1, cube.shape[-1])


def test_pairs_of_two_sessions_and_the_second_in_the_firsts_field(field):
    one, other = field.sessions[:2]
    before = _dense(one).copy()
    first = _dense(one)
    found = cp.register_rois(first, other.footprints, DIMS, template1=one.image, template2=other.image)
    np.testing.assert_array_equal(first, before)
    same = field.owners[0][found.matched_1] == field.owners[1][found.matched_2]
    assert same.mean() > 0.95
    n_1, n_2, m = one.n_components, other.n_components, len(found.matched_1)
    assert sorted([*found.matched_1, *found.non_matched_1]) == list(range(n_1))
    assert sorted([*found.matched_2, *found.non_matched_2]) == list(range(n_2))
    assert found.performance["recall"] == m / n_1
    assert found.performance["f1_score"] == pytest.approx(2 * m / (n_1 + n_2))
    there, here = cp.com(found.aligned, *DIMS), cp.com(first, *DIMS)
    assert np.median(np.linalg.norm(there[found.matched_2] - here[found.matched_1], axis=1)) < 1.0
    assert found.probability.min() > 0.5


def test_pixels_in_the_other_order_give_the_same(field):
    c = cp.register_rois(_dense(field.sessions[0]), _dense(field.sessions[1]), DIMS)
    f = cp.register_rois(_dense(field.sessions[0], "F"), _dense(field.sessions[1], "F"), DIMS, order="F")
    np.testing.assert_array_equal(c.matched_1, f.matched_1)
    np.testing.assert_array_equal(c.matched_2, f.matched_2)
    cube = c.aligned.toarray().reshape(*DIMS, -1).transpose(1, 0, 2).reshape(-1, c.aligned.shape[1])
    np.testing.assert_array_equal(cube, f.aligned.toarray())
    np.testing.assert_allclose(
        cp.com(_dense(field.sessions[0], "F"), *DIMS, order="F"), cp.com(_dense(field.sessions[0]), *DIMS)
    )


def test_several_sessions_in_the_shape_of_the_reference(field):
    footprints = [s.footprints for s in field.sessions]
    found = cp.register_multisession(footprints, DIMS, templates=[s.image for s in field.sessions])
    assert found.assignments.shape == (found.union.shape[1], 3)
    assert found.union.shape[0] == np.prod(DIMS)
    for s, matching in enumerate(found.matchings):
        np.testing.assert_array_equal(found.assignments[matching, s], np.arange(len(matching)))
    named = register(field.sessions, cp_settings())
    for a, b in zip(found.matchings, named.cells, strict=True):
        np.testing.assert_array_equal(a, b)


def cp_settings():
    from caiman_pipeline.config.sessions import SessionsSettings

    return SessionsSettings()


def test_distances_of_the_callers_own_are_assigned_as_a_whole(field):
    one, other = field.sessions[0].footprints[:, :2], field.sessions[1].footprints[:, :3]
    distances = np.array([[0.1, 0.2, 0.9], [0.15, 0.6, 0.9]])
    found = cp.register_rois(one, other, DIMS, D=distances, thresh_cost=0.7)
    assert list(zip(found.matched_1.tolist(), found.matched_2.tolist(), strict=True)) == [(0, 1), (1, 0)]
    assert np.isnan(found.probability).all()
    assert found.non_matched_2.tolist() == [2]
    with pytest.raises(cp.PipelineError, match="needs `thresh_cost`"):
        cp.register_rois(one, other, DIMS, D=distances)
    with pytest.raises(cp.PipelineError, match="shape"):
        cp.register_rois(one, other, DIMS, D=distances.T, thresh_cost=0.7)


def test_alignment_by_images_or_none_as_the_reference_has_it(field):
    one, other = field.sessions[:2]
    unmoved = cp.register_rois(one.footprints, other.footprints, DIMS, align_flag=False)
    assert len(unmoved.matched_1) < 20
    with pytest.raises(cp.PipelineError, match="image is missing"):
        cp.register_rois(one.footprints, other.footprints, DIMS, use_opt_flow=True)
    images = {"template1": one.image, "template2": other.image}
    flown = cp.register_rois(one.footprints, other.footprints, DIMS, use_opt_flow=True, **images)
    assert len(flown.matched_1) > 20


def test_sizes_that_do_not_fit_are_refused(field):
    one, other = (s.footprints for s in field.sessions[:2])
    with pytest.raises(cp.PipelineError, match="do not fit a field of"):
        cp.register_rois(one, other, (DIMS[0], DIMS[1] + 1))
    with pytest.raises(cp.PipelineError, match="3 sizes for 2"):
        cp.register_rois(one, other, [DIMS] * 3)
    with pytest.raises(cp.PipelineError, match="1 templates for 2"):
        cp.register_multisession([one, other], DIMS, templates=[np.zeros(DIMS)])
    with pytest.raises(cp.PipelineError, match="template has the shape"):
        cp.register_rois(one, other, DIMS, template1=np.zeros((3, 4)), template2=None)


def test_unrelated_sessions_have_no_pair_and_say_so():
    one, other = (make_field(MOVES[:1], seed=s).sessions[0] for s in (31, 32))
    found = cp.register_rois(one.footprints, other.footprints, DIMS)
    assert len(found.matched_1) == len(found.probability) == 0
    assert "not the same field" in found.alignments[0].reason
    many = cp.register_multisession([one.footprints, other.footprints], DIMS)
    assert many.assignments.shape == (0, 2)
    assert all((m == -1).all() for m in many.matchings)


def test_centres_of_volumes_and_of_nothing():
    volume = np.zeros((2, 3, 4, 2))
    volume[1, 2, 3, 0] = 2.0
    centres = cp.com(volume.reshape(-1, 2), 2, 3, 4)
    assert centres[0].tolist() == [1, 2, 3]
    assert np.isnan(centres[1]).all()
