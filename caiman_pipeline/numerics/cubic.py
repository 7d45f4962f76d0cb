"""Cubic convolution (Catmull-Rom): a value between samples, from the two on either side.

The formulas are for numbers of either precision: constants are float32, which a float64 position leaves exact.
"""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.numerics.kernels import compiled

HALF, ONE, TWO = np.float32(0.5), np.float32(1), np.float32(2)
THREE_HALVES, FIVE_HALVES = np.float32(1.5), np.float32(2.5)
FOUR, FOUR_AND_A_HALF, FIVE = np.float32(4), np.float32(4.5), np.float32(5)


@compiled(inline="always")
def catmull_rom(f):  # type: ignore[no-untyped-def]  # inlined: numba infers
    """Return the weights of the samples at -1, 0, 1 and 2 for the value at ``f``, 0 to 1.

    References
    ----------
    Keys 1981, Cubic convolution interpolation for digital image processing. doi:10.1109/TASSP.1981.1163711
    """
    return (
        ((-HALF * f + ONE) * f - HALF) * f,
        (THREE_HALVES * f - FIVE_HALVES) * f * f + ONE,
        ((-THREE_HALVES * f + TWO) * f + HALF) * f,
        (HALF * f - HALF) * f * f,
    )


@compiled(inline="always")
def catmull_rom_slopes(f):  # type: ignore[no-untyped-def]  # inlined: numba infers
    """Return the derivatives of ``catmull_rom`` by ``f``."""
    return (
        (-THREE_HALVES * f + TWO) * f - HALF,
        (FOUR_AND_A_HALF * f - FIVE) * f,
        (-FOUR_AND_A_HALF * f + FOUR) * f + HALF,
        (THREE_HALVES * f - ONE) * f,
    )


def cubic_weights(f: FloatArray) -> FloatArray:
    """Return ``catmull_rom`` of each ``f``, (4, ...).

    Parameters
    ----------
    f : float (...)
        Place between two samples, 0 at the first and 1 at the second.

    Returns
    -------
    float (4, ...)
        Weights of the samples at -1, 0, 1 and 2; they add up to 1.

    References
    ----------
    Keys 1981, Cubic convolution interpolation for digital image processing. doi:10.1109/TASSP.1981.1163711

    Examples
    --------
    >>> import numpy as np
    >>> cubic_weights(np.array([0.5, 0.25]))[:, 0].tolist()      # halfway between two samples
    [-0.0625, 0.5625, 0.5625, -0.0625]
    """
    return np.stack(catmull_rom.py_func(f))
