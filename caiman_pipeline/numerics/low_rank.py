"""The leading part of a matrix, and how many of its components stand out of white noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.numerics.threads import row_slabs


@dataclass(frozen=True)
class LowRank:
    """``left * values @ right`` approximates a matrix (P, T): left (P, R), values (R,) falling, right (R, T).

    ``energy`` is the sum of the whole matrix's squares.
    """

    left: FloatArray
    values: FloatArray
    right: FloatArray
    energy: float


def leading_part(matrix: FloatArray, *, rank: int) -> LowRank:
    """Return the leading singular components of a float32 (P, T) matrix, at most ``rank`` of them.

    Parameters
    ----------
    matrix : float32 (P, T)
        Any unit.
    rank : int
        How many components at most; never more than the shorter side.

    Returns
    -------
    LowRank
        Singular vectors float32 and values float64, the largest first.

    Notes
    -----
    From the eigenvectors of the product of the matrix with itself along its shorter side, in float64.

    Examples
    --------
    >>> import numpy as np
    >>> matrix = np.outer(np.ones(4), np.arange(3)).astype(np.float32)    # of rank one
    >>> leading_part(matrix, rank=1).values.round(3).tolist()
    [4.472]
    """
    wide = matrix.shape[0] < matrix.shape[1]
    tall = matrix.T if wide else matrix
    n = tall.shape[1]
    rank = min(rank, n)
    if rank == 0:
        n_rows, n_columns = matrix.shape
        return LowRank(np.zeros((n_rows, 0), np.float32), np.zeros(0), np.zeros((0, n_columns), np.float32), 0.0)
    gram = _product(tall)
    energy = float(np.trace(gram))
    squares, vectors = eigh(gram, subset_by_index=(n - rank, n - 1), overwrite_a=True)
    values = np.sqrt(np.maximum(squares[::-1], 0))
    short = vectors[:, ::-1].astype(np.float32)
    long = tall @ short
    long *= np.divide(1, values, out=np.zeros_like(values), where=values > 0).astype(np.float32)
    if wide:
        return LowRank(short, values, np.ascontiguousarray(long.T), energy)
    return LowRank(long, values, np.ascontiguousarray(short.T), energy)


def _product(tall: FloatArray) -> FloatArray:
    """Return ``tall.T @ tall`` in float64, slab by slab."""
    total = np.zeros((tall.shape[1],) * 2)
    for start, stop in row_slabs(len(tall), 1024):
        piece = tall[start:stop].astype(np.float64)
        total += piece.T @ piece
    return total


def signal_rank(part: LowRank, *, margin: float) -> int:
    """Count the components above what white noise has.

    Parameters
    ----------
    part : LowRank
        Of a matrix whose noise has unit variance.
    margin : float
        Factor on the edge of the noise's singular values.

    Returns
    -------
    int
        Components above the edge, at most as many as ``part`` holds.

    Notes
    -----
    The noise is what the components counted so far leave, at least of unit variance: where noise is larger than was
    thought, or heavy-tailed, fewer components stand out.

    References
    ----------
    Marchenko and Pastur 1967, 10.1070/SM1967v001n04ABEH001994
    """
    n_rows, n_columns = len(part.left), part.right.shape[1]
    rest = part.energy
    for rank, value in enumerate(part.values):
        left, right = n_rows - rank, n_columns - rank
        noise = max(rest / (left * right), 1.0) ** 0.5
        if value <= margin * noise * (left**0.5 + right**0.5):
            return rank
        rest = max(rest - value**2, 0.0)
    return len(part.values)
