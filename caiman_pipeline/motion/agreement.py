"""How well each square of each frame agrees with the template at every small displacement: the stage's innermost loop.

A square of the template and its surroundings is copied once, line after line. A frame's square is copied with lines as
long, the pixels beyond the square zero. At every displacement the agreement is then one product of two long runs of
memory, without gathering; displacements along the line are taken eight at a time.
"""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.motion.surfaces import TemplateInSquares, square_bounds, widest
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.threads import run_parallel

U = np.uint64
# Displacements along a line that are taken at a time, and multiples of pixels to which a line is filled up with zeros;
# neither changes a result.
LANES, STEP = 8, 16


@compiled(fastmath={"reassoc", "contract", "nsz"}, forceinline=True)
def _eight(a: FloatArray, at: int, b: FloatArray, start: int, count: int, out: FloatArray) -> None:
    """Add to ``out`` (8,) the products of ``count`` values of ``a`` with those of ``b`` that lie 0 to 7 further on."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = np.float32(0.0)
    for i in range(count):
        v, j = a[at + i], start + i
        s0 += v * b[j]
        s1 += v * b[j + U(1)]
        s2 += v * b[j + U(2)]
        s3 += v * b[j + U(3)]
        s4 += v * b[j + U(4)]
        s5 += v * b[j + U(5)]
        s6 += v * b[j + U(6)]
        s7 += v * b[j + U(7)]
    out[0] += s0
    out[1] += s1
    out[2] += s2
    out[3] += s3
    out[4] += s4
    out[5] += s5
    out[6] += s6
    out[7] += s7


@compiled(fastmath={"reassoc", "contract", "nsz"}, forceinline=True)
def _four(a: FloatArray, at: int, b: FloatArray, start: int, count: int, out: FloatArray) -> None:
    """As ``_eight``, for the first four."""
    s0 = s1 = s2 = s3 = np.float32(0.0)
    for i in range(count):
        v, j = a[at + i], start + i
        s0 += v * b[j]
        s1 += v * b[j + U(1)]
        s2 += v * b[j + U(2)]
        s3 += v * b[j + U(3)]
    out[0] += s0
    out[1] += s1
    out[2] += s2
    out[3] += s3


@compiled(fastmath={"reassoc", "contract", "nsz"}, forceinline=True)
def _three(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray, count: int) -> tuple[float, float, float]:
    """Return the products of ``a`` with three others."""
    s0 = s1 = s2 = np.float32(0.0)
    for i in range(count):
        v = a[i]
        s0 += v * b[i]
        s1 += v * c[i]
        s2 += v * d[i]
    return s0, s1, s2  # type: ignore[return-value]  # numba's float32


@compiled
def _surroundings(image: FloatArray, low: IntArray, high: IntArray, reach: IntArray, out: FloatArray) -> None:
    """Copy a square of the template and ``reach`` pixels around it, line after line, edges repeated."""
    depth, height, width = image.shape
    at = 0
    for z in range(low[0] - reach[0], high[0] + reach[0]):
        for y in range(low[1] - reach[1], high[1] + reach[1]):
            row = image[min(max(z, 0), depth - 1), min(max(y, 0), height - 1)]
            for x in range(low[2] - reach[2], high[2] + reach[2]):
                out[at] = row[min(max(x, 0), width - 1)]
                at += 1


@compiled
def _lines(image: FloatArray, low: IntArray, high: IntArray, shape: IntArray, out: FloatArray) -> None:
    """Write one square of an image into lines as long as those of its surroundings, zero beyond the square."""
    out[:] = np.float32(0.0)
    for z in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            at = (z - low[0]) * shape[1] + (y - low[1]) * shape[2]
            for x in range(low[2], high[2]):
                out[at + x - low[2]] = image[z, y, x]


@compiled
def _residual(
    frames: FloatArray,
    t: int,
    offset: IntArray,
    low: IntArray,
    high: IntArray,
    shape: IntArray,
    still: FloatArray,
    weight: FloatArray,
    out: FloatArray,
) -> None:
    """Write weight x (frame - template) of one square of frame ``t``, moved back by its offset, in lines.

    Lines are filled in whole steps, for vectors; what is written beyond a line's end is zero, or overwritten by the
    line after it. No array is cut or handed on in the loop, which would cost more than the arithmetic.
    """
    _, depth, height, width = frames.shape
    size, first = high[2] - low[2], low[2] + offset[2]
    steps = (size + STEP - 1) // STEP * STEP
    inside = first >= 0 and first + steps <= width
    for z in range(low[0], high[0]):
        fz = U(min(max(z + offset[0], 0), depth - 1))
        for y in range(low[1], high[1]):
            fy = U(min(max(y + offset[1], 0), height - 1))
            target = (z - low[0]) * shape[1] + (y - low[1]) * shape[2]
            if inside:
                column, at = U(first), U(target)
                for k in range(U(steps)):
                    out[at + k] = weight[at + k] * (frames[t, fz, fy, column + k] - still[at + k])
            else:
                for x in range(size):
                    value = frames[t, fz, fy, U(min(max(first + x, 0), width - 1))]
                    out[target + x] = weight[target + x] * (value - still[target + x])


@compiled(forceinline=True)
def _all_lags(
    residual: FloatArray, around: FloatArray, shape: IntArray, reach: IntArray, few: FloatArray, out: FloatArray
) -> None:
    """Write the product of one square's residual with the template at every displacement, the last axis fastest."""
    planes, plane, line, used = shape
    lx = 2 * reach[2] + 1
    row = 0
    for dz in range(-reach[0], reach[0] + 1):
        for dy in range(-reach[1], reach[1] + 1):
            for first in range(0, lx, LANES):
                few[:] = np.float32(0.0)
                for z in range(planes):
                    start = (z + reach[0] - dz) * plane + (reach[1] - dy) * line + first
                    if lx - first > 4:
                        _eight(residual, U(z * plane), around, U(start), U(used), few)
                    else:
                        _four(residual, U(z * plane), around, U(start), U(used), few)
                for k in range(min(LANES, lx - first)):
                    out[row + lx - 1 - first - k] = few[k]
            row += lx


@compiled(fastmath={"reassoc", "contract", "nsz"}, forceinline=True)
def _project(slow: tuple[float, float, float], along: FloatArray, own: FloatArray, out: FloatArray) -> None:
    """Take away what offset and slopes explain, and add the template's own agreement."""
    s0, s1, s2 = slow
    for d in range(U(len(out))):
        out[d] += own[d] - (s0 * along[U(0), d] + s1 * along[U(1), d] + s2 * along[U(2), d])


@compiled
def _agreement(
    begin: int,
    end: int,
    frames: FloatArray,
    offsets: IntArray,
    reach: IntArray,
    squares: TemplateInSquares,
    out: FloatArray,
) -> None:
    low, high, shape, few = np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(4, np.int64), np.zeros(8, np.float32)
    ez, ey, ex = squares.edges
    most = (widest(ez) + 2 * reach[0]) * (widest(ey) + 2 * reach[1]) * (widest(ex) + 2 * reach[2]) + 2 * STEP
    around, residual = np.zeros(most, np.float32), np.empty(most, np.float32)
    still, w = np.empty(most, np.float32), np.empty(most, np.float32)
    u0, u1, u2 = np.empty(most, np.float32), np.empty(most, np.float32), np.empty(most, np.float32)
    for square in range(begin, end):
        square_bounds(square, squares.edges, low, high)
        shape[0], shape[2] = high[0] - low[0], high[2] - low[2] + 2 * reach[2]
        shape[1], shape[3] = (high[1] - low[1] + 2 * reach[1]) * shape[2], (high[1] - low[1]) * shape[2]
        _surroundings(squares.image, low, high, reach, around)
        _lines(squares.image, low, high, shape, still)
        _lines(squares.weight, low, high, shape, w)
        _lines(squares.basis[0], low, high, shape, u0)
        _lines(squares.basis[1], low, high, shape, u1)
        _lines(squares.basis[2], low, high, shape, u2)
        residual[:] = np.float32(0.0)
        along, alone = squares.projection[square], squares.own[square]
        for t in range(len(frames)):
            target = out[t, square]
            _residual(frames, U(t), offsets[square, t], low, high, shape, still, w, residual)
            slow = _three(residual, u0, u1, u2, U(shape[0] * shape[1]))
            _all_lags(residual, around, shape, reach, few, target)
            _project(slow, along, alone, target)


def square_agreement(frames: FloatArray, offsets: IntArray, squares: TemplateInSquares) -> FloatArray:
    """Return ``f'P T_d`` of every square and displacement, float32 (T, squares, displacements).

    Parameters
    ----------
    frames : float32 (T, *dims)
        Frames as registration sees them, any unit, finite.
    offsets : int64 (T, squares, 3)
        Whole pixels by which each square of each frame is moved back first.
    squares : TemplateInSquares
        The template, prepared for the displacements to compare.

    Returns
    -------
    float32 (T, squares, displacements)
        The part of the log-likelihood that depends on the frame.
    """
    volume = np.ascontiguousarray(frames.reshape(len(frames), *squares.image.shape))
    by_square = np.ascontiguousarray(np.swapaxes(np.asarray(offsets, np.int64), 0, 1))
    out = np.empty((len(frames), *squares.own.shape), np.float32)
    run_parallel(
        _agreement,
        squares.n_squares,
        volume,
        by_square,
        np.array(squares.lags),
        squares,
        out,
    )
    return out
