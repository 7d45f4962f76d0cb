"""One calibrated probability that a component is a cell, from measures of its trace, its footprint and the movie.

A logistic regression (Cox 1958) on few measures, each turned so that equal steps count about the same. Its weights come
from simulated tissue and from cells planted in real recordings, where the truth is known; ``models/cell_2p.json`` says
which.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caiman_pipeline.model.arrays import FloatArray

MODEL = Path(__file__).parent / "models" / "cell_2p.json"
CERTAIN = 1e-3
TERMS = ("shape", "trace", "appearance", "size", "size_squared")


@dataclass(frozen=True)
class CellModel:
    """Weights of the terms of ``cell_terms``, and the logit where all of them are zero."""

    weights: FloatArray
    shift: float


def load_cell_model() -> CellModel:
    """Read the model that ships."""
    described = json.loads(MODEL.read_text(encoding="utf-8"))
    weights = np.array([described["weights"][name] for name in TERMS])
    return CellModel(weights, float(described["shift"]))


def cell_terms(
    *, soma_score: FloatArray, snr: FloatArray, r_value: FloatArray, size_px: FloatArray, cell_area_px: float
) -> FloatArray:
    """Return what the probability is made of, float64 (K, 5), NaN where a measure is.

    Notes
    -----
    The logit of the soma score, the logarithm of the signal to noise, Fisher's transformation of the correlation with
    the movie, and the logarithm of the size in cells with its square: cells have one size, what is smaller or larger is
    none.
    """
    score = np.clip(soma_score.astype(np.float64), CERTAIN, 1 - CERTAIN)
    size = np.log(np.maximum(size_px.astype(np.float64), 1.0) / cell_area_px)
    trace = np.log(np.maximum(snr.astype(np.float64), 0.1))
    appearance = np.arctanh(np.clip(r_value.astype(np.float64), -0.99, 0.99))
    return np.stack([np.log(score / (1 - score)), trace, appearance, size, size**2], axis=1)


def cell_probability(model: CellModel, terms: FloatArray) -> FloatArray:
    """Return the probability that each component is a cell, float32 (K,), NaN where a term (K, 5) is."""
    return (1 / (1 + np.exp(-(terms @ model.weights + model.shift)))).astype(np.float32)


def fit_cell_model(terms: FloatArray, is_cell: FloatArray, *, penalty: float) -> CellModel:
    """Fit the model to components with known truth by penalised maximum likelihood.

    Parameters
    ----------
    terms : (N, 5); is_cell : (N,), 1 for cells and 0 for others
    penalty : weight of the squared weights of the terms, each in units of its standard deviation
    """
    middle, spread = terms.mean(0), terms.std(0)
    design = np.column_stack([np.ones(len(terms)), (terms - middle) / spread])
    ridge = np.diag([1e-6, *[penalty] * terms.shape[1]])
    fitted = np.zeros(design.shape[1])
    for _ in range(50):
        expected = 1 / (1 + np.exp(-design @ fitted))
        slope = design.T @ (is_cell - expected) - ridge @ fitted
        curvature = (design * (expected * (1 - expected))[:, None]).T @ design + ridge
        fitted += np.linalg.solve(curvature, slope)
    weights = fitted[1:] / spread
    return CellModel(weights, float(fitted[0] - weights @ middle))
