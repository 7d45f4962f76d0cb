"""Where displacement may change and where it is measured: the nodes and squares of a field of view, over any axes.

The displacement field is given by its values at the nodes of a regular grid and interpolated between them. It is
measured in squares about half as large as the distance between nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, IntArray, NumberArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.numerics.cubic import cubic_weights

# Nodes of a field: the modes are eigenvectors of matrices of that size, times the axes.
MAX_NODES = 400
# Sizes of squares, pixels, and squares along an axis: in smaller ones offset and slope take all that a template says,
# larger ones no longer move as a whole.
SMALLEST_SQUARE_PX, LARGEST_SQUARE_PX, FEWEST_SQUARES = 4.0, 32.0, 4


@dataclass(frozen=True)
class Grid:
    """Nodes and squares.

    Attributes
    ----------
    dims : (H, W) or (D, H, W)
    nodes : one float32 array per axis, pixel coordinates of the nodes
    edges : one int64 array per axis, borders of the squares, from 0 to the axis length
    """

    dims: Dims
    nodes: tuple[FloatArray, ...]
    edges: tuple[IntArray, ...]

    @property
    def node_shape(self) -> Dims:
        """Number of nodes along each axis."""
        return tuple(len(n) for n in self.nodes)

    @property
    def square_shape(self) -> Dims:
        """Number of squares along each axis."""
        return tuple(len(e) - 1 for e in self.edges)

    @property
    def square_centres(self) -> tuple[FloatArray, ...]:
        """Pixel coordinates of the squares' centres along each axis."""
        return tuple((e[1:] + e[:-1] - 1) / 2 for e in self.edges)

    def binned(self, bins: tuple[int, ...]) -> Grid:
        """Return the same squares in frames binned by ``bins`` pixels along each axis, what fills no bin left out.

        Parameters
        ----------
        bins : tuple of int
            Pixels per bin along each axis.

        Returns
        -------
        Grid
            With edges in bins; nodes keep their places in pixels.
        """
        dims = tuple(n // b for n, b in zip(self.dims, bins, strict=True))
        return Grid(dims, self.nodes, tuple(e // b for e, b in zip(self.edges, bins, strict=True)))


def make_grid(dims: Dims, *, spacing: tuple[float, ...], local: bool, bins: tuple[int, ...]) -> Grid:
    """Lay out nodes about ``spacing`` pixels apart along each axis, or a single one where the axis is short.

    Parameters
    ----------
    dims : tuple of int
        (H, W) or (D, H, W) of a frame.
    spacing : tuple of float
        Pixels between nodes along each axis; more where there would be over 400 nodes.
    local : bool
        Whether the field may vary; otherwise there is a single node.
    bins : tuple of int
        Squares begin at multiples of so many pixels along each axis.

    Returns
    -------
    Grid
        Nodes and squares.
    """
    factor = 1.0 if local else np.inf
    while np.prod(counts := _node_counts(dims, spacing, factor)) > MAX_NODES:
        factor *= 1.05
    sizes = [
        np.clip(min(s * factor / 2, n / FEWEST_SQUARES), SMALLEST_SQUARE_PX, LARGEST_SQUARE_PX)
        for s, n in zip(spacing, dims, strict=True)
    ]
    return Grid(
        dims=tuple(dims),
        nodes=tuple(_line_of_nodes(n, k if local else 1) for n, k in zip(dims, counts, strict=True)),
        edges=tuple(_line_of_edges(n, s, b) for n, s, b in zip(dims, sizes, bins, strict=True)),
    )


def _line_of_nodes(size: int, count: int) -> FloatArray:
    if count == 1:
        return np.array([(size - 1) / 2], np.float32)
    return np.linspace(0, size - 1, count, dtype=np.float32)


def middle_nodes(dims: Dims) -> tuple[FloatArray, ...]:
    """Return the nodes of a field that is the same everywhere: one, in the middle.

    Parameters
    ----------
    dims : tuple of int
        (H, W) or (D, H, W) of a frame.

    Returns
    -------
    tuple of float32 (1,)
        Its pixel coordinate along each axis.
    """
    return tuple(_line_of_nodes(n, 1) for n in dims)


def _line_of_edges(size: int, square: float, multiple: int) -> IntArray:
    edges = np.linspace(0, size / multiple, max(1, round(size / square)) + 1).round() * multiple
    edges[-1] = size
    return edges.astype(np.int64)


def _node_counts(dims: Dims, spacing: tuple[float, ...], factor: float) -> list[int]:
    steps = [s * factor for s in spacing]
    return [round((n - 1) / s) + 1 if n >= 1.5 * s else 1 for n, s in zip(dims, steps, strict=True)]


def interpolation_weights(points: NumberArray, nodes: FloatArray) -> FloatArray:
    """Return weights of nodes at points between them: Catmull-Rom, the nodes going on linearly by one at either end.

    Parameters
    ----------
    points : array (n,)
        Pixel coordinates along one axis, from the first node to the last.
    nodes : float32 (k,)
        Pixel coordinates of the nodes, evenly spaced.

    Returns
    -------
    float64 (n, k)
        Each row adds up to 1.

    References
    ----------
    Keys 1981, Cubic convolution interpolation for digital image processing. doi:10.1109/TASSP.1981.1163711

    Examples
    --------
    >>> import numpy as np
    >>> interpolation_weights(np.array([10.0, 15.0]), np.array([0.0, 10.0, 20.0], np.float32)).tolist()
    [[0.0, 1.0, 0.0], [-0.0625, 0.625, 0.4375]]
    """
    count = len(nodes)
    if count == 1:
        return np.ones((len(points), 1))
    position = (np.asarray(points, np.float64) - nodes[0]) / (nodes[-1] - nodes[0]) * (count - 1)
    base = np.clip(np.floor(position), 0, count - 2).astype(int)
    taps = cubic_weights(position - base)
    extended = np.zeros((len(points), count + 2))
    for tap in range(4):
        extended[np.arange(len(points)), base + tap] = taps[tap]
    weights = extended[:, 1:-1].copy()
    weights[:, 0] += 2 * extended[:, 0]
    weights[:, 1] -= extended[:, 0]
    weights[:, -1] += 2 * extended[:, -1]
    weights[:, -2] -= extended[:, -1]
    return weights


def nodes_to_squares(grid: Grid) -> FloatArray:
    """Return what gives a field at the squares' centres from its values at the nodes, both in C order.

    Parameters
    ----------
    grid : Grid
        Nodes and squares.

    Returns
    -------
    float64 (squares, nodes)
        Each row adds up to 1.
    """
    weights = [interpolation_weights(c, n) for c, n in zip(grid.square_centres, grid.nodes, strict=True)]
    return reduce(np.kron, weights)


def mean_of_nodes(grid: Grid) -> FloatArray:
    """Return the weights of nodes that give a field's mean over all pixels.

    Parameters
    ----------
    grid : Grid
        Nodes and size of a frame.

    Returns
    -------
    float64 (nodes,)
        They add up to 1; nodes in C order.
    """
    weights = [interpolation_weights(np.arange(n), k).mean(0) for n, k in zip(grid.dims, grid.nodes, strict=True)]
    return reduce(np.kron, weights)


def roughness(grid: Grid) -> FloatArray:
    """Return the quadratic form of a field's bending, zero for a constant alone.

    Parameters
    ----------
    grid : Grid
        Nodes of the field.

    Returns
    -------
    float64 (nodes, nodes)
        Symmetric, for node values in C order.
    """
    slope, bend = zip(*(_differences(k) for k in grid.node_shape), strict=True)
    identity: list[FloatArray] = [np.eye(k) for k in grid.node_shape]
    total: FloatArray = np.zeros((np.prod(grid.node_shape),) * 2)
    for i in range(len(grid.nodes)):
        total += _place(identity, {i: bend[i]}) + 1e-3 * _place(identity, {i: slope[i]})
        for j in range(i):
            total += 2 * _place(identity, {i: slope[i], j: slope[j]})
    return total


def _differences(count: int) -> tuple[FloatArray, FloatArray]:
    first = np.diff(np.eye(count), axis=0)
    second = np.diff(np.eye(count), 2, axis=0) if count > 2 else np.zeros((0, count))
    return first.T @ first, second.T @ second


def _place(identity: list[FloatArray], terms: dict[int, FloatArray]) -> FloatArray:
    return reduce(np.kron, [terms.get(i, matrix) for i, matrix in enumerate(identity)])
