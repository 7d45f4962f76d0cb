"""The leading part of a matrix, and how many of its components stand out of white noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from caiman_pipeline.parallel import row_slabs
from caiman_pipeline.types import FloatArray


@dataclass(frozen=True)
class LowRank:
    """``left * values @ right`` approximates a matrix (P, T): left (P, R), values (R,) falling, right (R, T)."""

    left: FloatArray
    values: FloatArray
    right: FloatArray


def leading_part(matrix: FloatArray, *, rank: int) -> LowRank:
    """Return the leading singular components of a float32 (P, T) matrix, at most ``rank`` of them.

    Notes
    -----
    From the eigenvectors of the product of the matrix with itself along its shorter side, in float64.
    """
    wide = matrix.shape[0] < matrix.shape[1]
    tall = matrix.T if wide else matrix
    n = tall.shape[1]
    rank = min(rank, n)
    if rank == 0:
        n_rows, n_columns = matrix.shape
        return LowRank(np.zeros((n_rows, 0), np.float32), np.zeros(0), np.zeros((0, n_columns), np.float32))
    gram = _product(tall)
    squares, vectors = eigh(gram, subset_by_index=(n - rank, n - 1), overwrite_a=True)
    values = np.sqrt(np.maximum(squares[::-1], 0))
    short = vectors[:, ::-1].astype(np.float32)
    long = tall @ short
    long *= np.divide(1, values, out=np.zeros_like(values), where=values > 0).astype(np.float32)
    return LowRank(short, values, np.ascontiguousarray(long.T)) if wide else LowRank(long, values, short.T.copy())


def _product(tall: FloatArray) -> FloatArray:
    """Return ``tall.T @ tall`` in float64, slab by slab."""
    total = np.zeros((tall.shape[1],) * 2)
    for start, stop in row_slabs(len(tall)):
        piece = tall[start:stop].astype(np.float64)
        total += piece.T @ piece
    return total


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
