"""The probability of a cell: fitted to known truth, calibrated, and what its terms do."""

from __future__ import annotations

import numpy as np
import pytest

from caiman_pipeline.quality.probability import (
    TERMS,
    cell_probability,
    cell_terms,
    fit_cell_model,
    load_cell_model,
)

CELL = {"soma_score": 0.9, "snr": 6.0, "r_value": 0.9, "size_px": 60.0}


def probability(**changes: float) -> float:
    measures = {name: np.array([value], np.float32) for name, value in {**CELL, **changes}.items()}
    return float(cell_probability(load_cell_model(), cell_terms(**measures, cell_area_px=95.0))[0])


def test_a_clear_cell_is_one_and_each_measure_counts() -> None:
    assert probability() > 0.9
    for change in ({"soma_score": 0.02}, {"snr": 1.0}, {"r_value": 0.1}, {"size_px": 6.0}, {"size_px": 4000.0}):
        assert probability(**change) < probability() - 0.05, change


def test_measures_that_are_no_numbers_give_none_and_extremes_stay_finite() -> None:
    assert np.isnan(probability(soma_score=np.nan))
    for change in ({"soma_score": 0.0}, {"soma_score": 1.0}, {"r_value": 1.0}, {"r_value": -1.0}, {"snr": 0.0}):
        assert 0 <= probability(**change) <= 1


def test_a_fit_recovers_the_weights_and_is_calibrated() -> None:
    rng = np.random.default_rng(4)
    terms = rng.normal(size=(8000, len(TERMS))) * [3.0, 0.5, 0.4, 0.7, 1.0] + [0.5, 1.8, 1.6, -1.0, 1.0]
    true = np.array([0.6, 1.1, 1.2, 0.9, -0.7])
    odds = 1 / (1 + np.exp(-(terms @ true - 4.5)))
    is_cell = (rng.random(len(terms)) < odds).astype(float)
    model = fit_cell_model(terms, is_cell, penalty=1.0)
    np.testing.assert_allclose(model.weights, true, atol=0.2)
    found = cell_probability(model, terms)
    for low in (0.0, 0.3, 0.7):
        here = (found >= low) & (found < low + 0.3)
        assert found[here].mean() == pytest.approx(is_cell[here].mean(), abs=0.04)
