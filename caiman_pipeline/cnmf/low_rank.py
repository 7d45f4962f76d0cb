"""The leading part of a matrix, and how many of its components stand out of white noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr, svd

from caiman_pipeline.types import FloatArray

SPARE, POWER_STEPS = 10, 3


@dataclass(frozen=True)
class LowRank:
    """``left * values @ right`` approximates a matrix (P, T): left (P, R), values (R,) falling, right (R, T)."""

    left: FloatArray
    values: FloatArray
    right: FloatArray


def leading_part(matrix: FloatArray, *, rank: int) -> LowRank:
    """Return the leading singular components of a float32 (P, T) matrix.

    Parameters
    ----------
    rank : most components

    Notes
    -----
    Subspace iteration from a fixed random start (seeded here, the global random state is not touched). The same matrix
    gives the same result.

    References
    ----------
    Halko, Martinsson, Tropp 2011, 10.1137/090771806
    """
    rank = min(rank, *matrix.shape)
    if rank == 0:
        n_rows, n_columns = matrix.shape
        return LowRank(np.zeros((n_rows, 0), np.float32), np.zeros(0), np.zeros((0, n_columns), np.float32))
    width = min(rank + SPARE, *matrix.shape)
    start = np.random.default_rng(0).standard_normal((matrix.shape[1], width), dtype=np.float32)
    basis = qr(matrix @ start, mode="economic")[0]
    for _ in range(POWER_STEPS):
        basis = qr(matrix @ (matrix.T @ basis), mode="economic")[0]
    inner, values, right = svd(basis.T @ matrix, full_matrices=False)
    return LowRank(
        (basis @ inner[:, :rank]).astype(np.float32), values[:rank].astype(np.float64), right[:rank].astype(np.float32)
    )


def signal_rank(values: FloatArray, shape: tuple[int, int], *, margin: float) -> int:
    """Count singular values above those of white noise of unit variance and the same shape.

    Parameters
    ----------
    margin : factor on the edge of the noise, at least 1

    References
    ----------
    Marchenko and Pastur 1967, 10.1070/SM1967v001n04ABEH001994
    """
    edge = margin * (np.sqrt(shape[0]) + np.sqrt(shape[1]))
    return int(np.count_nonzero(values > edge))
