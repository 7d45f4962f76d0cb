"""Coordinate descent: to the solution of least squares, with what is frozen or bounded left where it has to be."""

import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.sparse import csr_matrix

from caiman_pipeline.numerics.nonnegative import descend, sparse_rows, sweep_rows

RNG = np.random.default_rng(7)
REGRESSORS = RNG.normal(size=(30, 4)) + 0.4
GRAM = REGRESSORS.T @ REGRESSORS
OBSERVED = REGRESSORS @ RNG.normal(size=(4, 9)) + 0.1 * RNG.normal(size=(30, 9))
TARGET = REGRESSORS.T @ OBSERVED
NONE = np.zeros(4, bool)


def swept(*, frozen=NONE, nonnegative=NONE, columns=(0, 9), rounds=2000, start=0.0, dtype=np.float64):
    x = np.full((4, 9), start, dtype)
    sweep_rows(*columns, sparse_rows(csr_matrix(GRAM)), TARGET.astype(dtype), frozen, nonnegative, rounds, x)
    return x


def bounded(observed):
    return np.stack([nnls(REGRESSORS, column)[0] for column in observed.T], axis=1)


def test_without_bounds_rows_are_those_of_least_squares():
    np.testing.assert_allclose(swept(), np.linalg.lstsq(REGRESSORS, OBSERVED, rcond=None)[0], atol=1e-9)
    np.testing.assert_allclose(swept(dtype=np.float32), swept(), atol=1e-4)


def test_with_bounds_rows_are_those_of_non_negative_least_squares():
    found = swept(nonnegative=~NONE, start=1.0)
    assert (found == 0).any()
    np.testing.assert_allclose(found, bounded(OBSERVED), atol=1e-9)


def test_frozen_rows_and_other_columns_stay_as_they_are():
    frozen = np.array([False, False, True, False])
    found = swept(frozen=frozen, columns=(3, 8), start=0.5)
    np.testing.assert_array_equal(found[2], 0.5)
    np.testing.assert_array_equal(found[:, [0, 1, 2, 8]], 0.5)
    rest = OBSERVED[:, 3:8] - 0.5 * REGRESSORS[:, [2]]
    expected = np.linalg.lstsq(REGRESSORS[:, ~frozen], rest, rcond=None)[0]
    np.testing.assert_allclose(found[~frozen, 3:8], expected, atol=1e-9)


def test_a_row_that_nothing_is_known_of_stays_as_it_is():
    gram = GRAM.copy()
    gram[1], gram[:, 1] = 0, 0
    x = np.full((4, 2), 0.25)
    sweep_rows(0, 2, sparse_rows(csr_matrix(gram)), TARGET[:, :2].copy(), NONE, NONE, 3, x)
    np.testing.assert_array_equal(x[1], 0.25)
    assert np.isfinite(x).all()


@pytest.mark.parametrize("column", [0, 4])
def test_one_target_is_solved_to_its_minimum(column):
    x = np.zeros(4)
    descend(GRAM, TARGET[:, column].copy(), ~NONE, 2000, 0.0, x)
    np.testing.assert_allclose(x, bounded(OBSERVED[:, [column]])[:, 0], atol=1e-9)


def test_what_is_not_free_stays_as_it_is():
    free, x = np.array([True, False, True, True]), np.array([0.0, 0.3, 0.0, 0.0])
    descend(GRAM, TARGET[:, 1].copy(), free, 2000, 0.0, x)
    assert x[1] == 0.3
    rest = OBSERVED[:, 1] - 0.3 * REGRESSORS[:, 1]
    np.testing.assert_allclose(x[free], nnls(REGRESSORS[:, free], rest)[0], atol=1e-9)


def test_it_ends_once_the_model_hardly_changes():
    exact, early, once = np.zeros(4), np.zeros(4), np.zeros(4)
    target = TARGET[:, np.argmax((bounded(OBSERVED) > 0).sum(0))].copy()
    descend(GRAM, target, ~NONE, 2000, 0.0, exact)
    descend(GRAM, target, ~NONE, 2000, 0.5, early)
    descend(GRAM, target, ~NONE, 1, 0.0, once)
    assert 1e-9 < np.linalg.norm(REGRESSORS @ (early - exact)) < np.linalg.norm(REGRESSORS @ (once - exact))
