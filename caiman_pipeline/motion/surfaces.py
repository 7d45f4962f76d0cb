"""How well each square of a frame agrees with the template at every small displacement.

A frame, moved back by whole pixels, is modelled in each square as the displaced template, an unknown offset and slope,
and noise of known variance: ``f = T(x - d) + N b + e``. With ``P`` the inverse variance from which offset and slope are
projected out, the log-likelihood of a displacement is ``f'P T_d - T_d'P T_d / 2``, up to a constant. Its first term is
one matrix product per square, over all frames and displacements.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.motion.nodes import Grid
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.threads import run_parallel

U = np.uint64


def as_volume(dims: Dims) -> tuple[int, int, int]:
    """Return ``dims`` with a single plane where there is none.

    Parameters
    ----------
    dims : tuple of int
        (H, W) or (D, H, W).

    Returns
    -------
    tuple of int
        (D, H, W).

    Examples
    --------
    >>> as_volume((96, 128))
    (1, 96, 128)
    """
    return (1,) * (3 - len(dims)) + tuple(dims)  # type: ignore[return-value]


class TemplateInSquares(NamedTuple):
    """A template prepared for comparison with frames, square by square; arrays have three spatial axes.

    Attributes
    ----------
    image, weight : float32 (D, H, W), template, and inverse variance of the noise
    basis : float32 (3, D, H, W), offset and slopes in each square, orthonormal under the weight
    edges : int64 arrays, borders of the squares along each axis
    lags : displacements compared along each axis are -lag ... lag, pixels
    projection : float32 (squares, 3, displacements), basis' weight x template at each displacement
    own : float32 (squares, displacements), template'P template at each displacement
    energy : float32 (squares, displacements), displaced template'P displaced template
    across : float32 (squares, 2 lag + 1, 2 lag + 1), the same of templates displaced across planes by different lags
    information : float64 (squares, 3, 3), expected curvature of the log-likelihood, 1 / px^2
    """

    image: FloatArray
    weight: FloatArray
    basis: FloatArray
    edges: tuple[IntArray, IntArray, IntArray]
    lags: tuple[int, int, int]
    projection: FloatArray
    own: FloatArray
    energy: FloatArray
    across: FloatArray
    information: FloatArray

    @property
    def n_squares(self) -> int:
        """Number of squares."""
        return len(self.own)


def prepare_squares(
    template: FloatArray, weight: FloatArray, grid: Grid, *, lags: tuple[int, ...]
) -> TemplateInSquares:
    """Prepare a template for comparison at displacements along each axis.

    Parameters
    ----------
    template : float32 (*dims)
        As registration sees it.
    weight : float32 (*dims)
        Inverse variance of the noise; 0 for pixels that do not count.
    grid : Grid
        Where the squares are.
    lags : tuple of int
        Largest displacement along each axis, pixels.

    Returns
    -------
    TemplateInSquares
        What ``square_agreement`` compares frames with.
    """
    shape = as_volume(grid.dims)
    image = np.ascontiguousarray(template.reshape(shape), np.float32)
    lead = 3 - len(grid.dims)
    ez, ey, ex = (np.array([0, 1]),) * lead + grid.edges
    rz, ry, rx = (0,) * lead + tuple(lags)
    weights = np.ascontiguousarray(weight.reshape(shape), np.float32)
    squares, displacements = int(np.prod(grid.square_shape)), int(np.prod([2 * r + 1 for r in (rz, ry, rx)]))
    basis = np.zeros((3, *shape), np.float32)
    projection = np.zeros((squares, 3, displacements), np.float32)
    own, energy = np.zeros((2, squares, displacements))
    across, information = np.zeros((squares, 2 * rz + 1, 2 * rz + 1)), np.zeros((squares, 3, 3))
    edges, reach = (ez, ey, ex), (rz, ry, rx)
    summed = TemplateInSquares(image, weights, basis, edges, reach, projection, own, energy, across, information)
    run_parallel(_prepare, len(own), _slopes(image), summed)
    single = {name: getattr(summed, name).astype(np.float32) for name in ("own", "energy", "across")}
    return summed._replace(**single)


def _slopes(image: FloatArray) -> FloatArray:
    """Return float32 (3, D, H, W), the derivative along each axis, fourth order."""
    slopes = np.zeros((3, *image.shape), np.float32)
    for axis, size in enumerate(image.shape):
        if size > 1:
            at = [np.take(image, np.clip(np.arange(size) + k, 0, size - 1), axis) for k in (-2, -1, 1, 2)]
            slopes[axis] = (8 * (at[2] - at[1]) - (at[3] - at[0])) / 12
    return slopes


@compiled
def _gather_template(
    image: FloatArray, low: IntArray, high: IntArray, lz: int, ly: int, lx: int, out: FloatArray
) -> None:
    """Fill ``out`` (displacements, pixels) with a square of the template at each displacement, edges repeated."""
    depth, height, width = image.shape
    size = high[2] - low[2]
    row = 0
    for dz in range(-lz, lz + 1):
        for dy in range(-ly, ly + 1):
            for dx in range(-lx, lx + 1):
                column = 0
                inside = low[2] - dx >= 0 and high[2] - dx <= width
                for z in range(low[0], high[0]):
                    sz = min(max(z - dz, 0), depth - 1)
                    for y in range(low[1], high[1]):
                        sy = min(max(y - dy, 0), height - 1)
                        if inside:
                            _copy(image, U(sz), U(sy), U(low[2] - dx), U(size), U(row), U(column), out)
                        else:
                            for x in range(size):
                                out[row, column + x] = image[sz, sy, min(max(low[2] + x - dx, 0), width - 1)]
                        column += size
                row += 1


@compiled
def _copy(image: FloatArray, z: int, y: int, first: int, size: int, row: int, column: int, out: FloatArray) -> None:
    """Copy part of a line; unsigned numbers spare the check for indices from the end."""
    for x in range(size):
        out[row, column + x] = image[z, y, first + x]


@compiled
def square_bounds(square: int, edges: tuple[IntArray, IntArray, IntArray], low: IntArray, high: IntArray) -> int:
    """Write where a square begins and ends along each axis, and return its pixels."""
    ez, ey, ex = edges
    ny, nx = len(ey) - 1, len(ex) - 1
    i, j, k = square // (ny * nx), square // nx % ny, square % nx
    low[0], low[1], low[2] = ez[i], ey[j], ex[k]
    high[0], high[1], high[2] = ez[i + 1], ey[j + 1], ex[k + 1]
    return (high[0] - low[0]) * (high[1] - low[1]) * (high[2] - low[2])


@compiled
def widest(edges: IntArray) -> int:
    """Return the size of the largest square along an axis."""
    most = 0
    for k in range(len(edges) - 1):
        most = max(most, edges[k + 1] - edges[k])
    return most


@compiled
def cut(image: FloatArray, low: IntArray, high: IntArray, out: FloatArray) -> None:
    """Write the pixels of one square of an image (D, H, W) in C order."""
    column = 0
    for z in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            for x in range(low[2], high[2]):
                out[column] = image[z, y, x]
                column += 1


@compiled
def _paste(values: FloatArray, low: IntArray, high: IntArray, image: FloatArray) -> None:
    """Write pixels in C order into one square of an image (D, H, W)."""
    column = 0
    for z in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            for x in range(low[2], high[2]):
                image[z, y, x] = values[column]
                column += 1


@compiled(fastmath={"reassoc", "contract", "nsz"}, forceinline=True)
def _inner(a: FloatArray, weight: FloatArray, b: FloatArray) -> float:
    total = 0.0
    for p in range(len(weight)):
        total += a[p] * weight[p] * b[p]
    return total


@compiled(forceinline=True)
def _nuisance(weight: FloatArray, low: IntArray, high: IntArray, out: FloatArray) -> None:
    """Fill ``out`` (3, pixels) with an offset and two slopes made orthonormal under the weight (Gram-Schmidt)."""
    rows, columns, pixels = high[1] - low[1], high[2] - low[2], len(weight)
    heaviest = 0.0
    for p in range(pixels):
        out[0, p] = 1.0
        out[1, p] = p // columns % rows - 0.5 * (rows - 1)
        out[2, p] = p % columns - 0.5 * (columns - 1)
        heaviest = max(heaviest, weight[p])
    for k in range(3):
        for j in range(k):
            along = _inner(out[j], weight, out[k])
            for p in range(pixels):
                out[k, p] -= along * out[j, p]
        norm = _inner(out[k], weight, out[k])
        scale = 1.0 / np.sqrt(norm) if norm > 1e-9 * pixels * heaviest else 0.0
        for p in range(pixels):
            out[k, p] *= scale


@compiled(forceinline=True)
def _across_planes(lagged: FloatArray, weight: FloatArray, along: FloatArray, reach: int, out: FloatArray) -> None:
    """Write the products of one square's template at all pairs of displacements across planes alone."""
    per_plane = len(lagged) // (2 * reach + 1)
    for j in range(2 * reach + 1):
        for k in range(2 * reach + 1):
            a, b = j * per_plane + per_plane // 2, k * per_plane + per_plane // 2
            out[j, k] = _inner(lagged[a], weight, lagged[b])
            for m in range(3):
                out[j, k] -= along[m, a] * along[m, b]


@compiled
def _prepare(begin: int, end: int, slopes: FloatArray, squares: TemplateInSquares) -> None:
    """Fill what is summed over the pixels of squares: all arrays but image and weight; sums are float64."""
    image, weight, basis, projection = squares.image, squares.weight, squares.basis, squares.projection
    own, energy, across, information = squares.own, squares.energy, squares.across, squares.information
    lz, ly, lx = squares.lags
    low, high = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for square in range(begin, end):
        pixels = square_bounds(square, squares.edges, low, high)
        w, u, values = np.empty(pixels), np.empty((3, pixels)), np.empty((4, pixels))
        cut(weight, low, high, w)
        cut(image, low, high, values[3])
        _nuisance(w, low, high, u)
        for m in range(3):
            _paste(u[m], low, high, basis[m])
        lagged = np.empty((own.shape[1], pixels), np.float32)
        _gather_template(image, low, high, lz, ly, lx, lagged)
        for d in range(own.shape[1]):
            own[square, d] = _inner(values[3], w, lagged[d])
            energy[square, d] = _inner(lagged[d], w, lagged[d])
            for m in range(3):
                along = _inner(u[m], w, lagged[d])
                projection[square, m, d] = along
                own[square, d] -= along * _inner(u[m], w, values[3])
                energy[square, d] -= along * along
        _across_planes(lagged, w, projection[square], lz, across[square])
        for a in range(3):
            cut(slopes[a], low, high, values[a])
            for b in range(a + 1):
                told = _inner(values[a], w, values[b])
                for m in range(3):
                    told -= _inner(u[m], w, values[a]) * _inner(u[m], w, values[b])
                information[square, a, b], information[square, b, a] = told, told
