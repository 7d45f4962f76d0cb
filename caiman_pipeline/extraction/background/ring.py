"""Background as what is seen on a ring around each pixel: least squares of the residual movie on its neighbours.

The background of CNMF-E (Zhou et al. 2018, 10.7554/eLife.28728): light from out of focus changes over distances larger
than a cell, so that a ring around a pixel, just beyond the cell that may lie there, sees the same light. Weights are
learned per block of pixels, from Gram matrices of the binned movie less its components, in one pass; then each pixel
follows the blocks around it with a gain, like the nodes of a grid. The background is linear in the movie: it is taken
off by the readouts of traces and never made as a movie.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, diags, identity

from caiman_pipeline.extraction.background.nodes import Static, outer
from caiman_pipeline.extraction.background.protocol import Fitted, Observe, Piece
from caiman_pipeline.extraction.temporal import Projection, fold_projection
from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.background import Background, Follower, RingBackground
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.threads import row_slabs, run_parallel

# Of the mean power on the ring, added to each of its blocks: where blocks show the same (borders, vessels, no light)
# their weights are shared out evenly, and fewer bins than blocks on the ring are no harm.
RIDGE = 0.01
# Radius in blocks that is fine enough: the Gram matrices grow with its square.
FINE_BLOCKS = 4
SOLVED_AT_ONCE = 1024
# Of the largest variance: what changes less than rounding does says nothing.
STILL = 1e-9


@dataclass(frozen=True)
class Ring(Static):
    """The model of a ring.

    Attributes
    ----------
    radius_px : of the ring, along rows and columns
    block_px : side of the blocks whose averages it works on; None chooses
    """

    radius_px: tuple[float, ...]
    block_px: int | None

    @property
    def passes(self) -> tuple[int, int]:
        """One pass each round, to learn the weights."""
        return 0, 1

    def lay_out(self, dims: Dims, *, use: BoolArray) -> Follower:
        """Return blocks and how pixels lie between them; there are no weights yet."""
        sides = self._sides(dims)
        sums = [_axis_sums(n, side) for n, side in zip(dims, sides, strict=True)]
        blocks = outer(sums) @ diags(use.astype(np.float32))
        total = np.asarray(blocks.sum(1)).ravel()
        blocks = diags(np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)) @ blocks
        between = outer([_axis_between(n, side) for n, side in zip(dims, sides, strict=True)])
        n_blocks = blocks.shape[0]
        matrices = blocks, csr_matrix((n_blocks, n_blocks)), between
        return Follower(*(csr_matrix(m, dtype=np.float32) for m in matrices))

    def learn(self, follower: Follower, dims: Dims, observe: Observe) -> Follower:
        """Return the same blocks with weights learned from the movie less its components."""
        n_blocks = follower.blocks.shape[0]
        coarse = tuple(ceil(n / side) for n, side in zip(dims, self._sides(dims), strict=True))
        offsets = ring_offsets(self._radius_blocks(dims))
        own = Follower(follower.blocks, identity(n_blocks, np.float32, format="csr"), follower.interpolation)
        products = ring_products(observe(own), coarse, offsets)
        return Follower(follower.blocks, solve_ring(products, coarse, offsets), follower.interpolation)

    def project(
        self, footprints: csc_matrix, follower: Follower, *, gain: FloatArray, static: FloatArray, noise: FloatArray
    ) -> Projection:
        """Return the projection whose readout takes the background off."""
        return fold_projection(footprints, follower, gain=gain, static=static, noise=noise)

    def stored(self, fitted: Fitted) -> Background:
        """Return the operator, the light under each footprint, and their means as parts of what is static."""
        follower = fitted.follower
        return RingBackground(
            static=fitted.level + fitted.static,
            level=fitted.level,
            rest=-(fitted.footprints @ fitted.means).astype(np.float32),
            blocks=follower.blocks.tocsc(),
            weights=follower.weights.tocsc(),
            interpolation=follower.map(fitted.gain),
            readers=fitted.footprints,
            signals=fitted.signals,
        )

    def _sides(self, dims: Dims) -> tuple[int, ...]:
        """Return the sides of a block along each axis: one plane of a volume."""
        chosen = self.block_px or max(1, floor(min(self.radius_px) / FINE_BLOCKS))
        return (1,) * (len(dims) - 2) + (min(chosen, dims[-2]), min(chosen, dims[-1]))

    def _radius_blocks(self, dims: Dims) -> tuple[float, ...]:
        return tuple(r / side for r, side in zip(self.radius_px, self._sides(dims)[-2:], strict=True))


def _axis_sums(length: int, side: int) -> csr_matrix:
    """Return which block along one axis each pixel is in, (blocks, length)."""
    owner = np.arange(length) // side
    return csr_matrix((np.ones(length, np.float32), (owner, np.arange(length))), shape=(owner[-1] + 1, length))


def _axis_between(length: int, side: int) -> csr_matrix:
    """Return how pixels lie between the centres of blocks along one axis, (length, blocks)."""
    pixels, count = np.arange(length), -(-length // side)
    centres = np.array([(block * side + min(block * side + side, length) - 1) / 2 for block in range(count)])
    position = np.interp(pixels, centres, np.arange(count))
    low = np.minimum(position.astype(int), max(count - 2, 0))
    between = np.zeros((length, count))
    between[pixels, low] = 1 - (position - low)
    if count > 1:
        between[pixels, low + 1] += position - low
    return csr_matrix(between)


def ring_offsets(radius: tuple[float, ...]) -> IntArray:
    """Return the blocks on a ring, whose inner edge has the given radius along rows and columns, as int64 (n, 2)."""
    reach = [int(r) + 1 for r in radius]
    steps = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1).reshape(-1, 2)
    inner, outer_edge = (np.hypot(*(steps / (np.array(radius) + wider)).T) for wider in (0.0, 1.0))
    return steps[(inner >= 1.0) & (outer_edge < 1.0)]


@dataclass(frozen=True)
class RingProducts:
    """Sums over time of the products of blocks with each other.

    Attributes
    ----------
    steps : int64 (D, 2), from one block to the other: rows, columns
    values : float64 (Q, D), covariance times the number of bins; 0 where the other lies outside
    """

    steps: IntArray
    values: FloatArray


def pair_steps(offsets: IntArray) -> IntArray:
    """Return the steps between any two blocks of a ring and its centre, int64 (D, 2), of each and its reverse one."""
    points = np.concatenate([np.zeros((1, 2), np.int64), offsets])
    steps = (points[:, None] - points[None]).reshape(-1, 2)
    forward = (steps[:, 0] > 0) | ((steps[:, 0] == 0) & (steps[:, 1] >= 0))
    return np.unique(steps[forward], axis=0)


def ring_products(pieces: Iterator[Piece], coarse: Dims, offsets: IntArray) -> RingProducts:
    """Sum the products of all pairs of blocks that lie on a ring together, or on one and in its centre.

    Parameters
    ----------
    pieces : averages of the blocks (Q, b), in turn
    coarse : blocks along each axis; rings lie within planes
    """
    steps, n_blocks = pair_steps(offsets), int(np.prod(coarse))
    values, sums, weight = np.zeros((n_blocks, len(steps))), np.zeros(n_blocks), 0.0
    for piece in pieces:
        scaled = np.ascontiguousarray(piece.averages * np.sqrt(piece.weights), dtype=np.float32)
        run_parallel(_add_pairs, n_blocks, scaled, coarse[-2], coarse[-1], steps, values)
        sums += piece.averages @ piece.weights.astype(np.float64)
        weight += float(piece.weights.sum())
    run_parallel(_take_means, n_blocks, sums / max(weight, 1.0), sums, coarse[-2], coarse[-1], steps, values)
    return RingProducts(steps, values)


@compiled(fastmath={"contract", "reassoc"})
def _add_pairs(
    start: int, stop: int, averages: FloatArray, height: int, width: int, steps: IntArray, values: FloatArray
) -> None:
    n_bins = averages.shape[1]
    for q in range(start, stop):
        row, column = (q // width) % height, q % width
        own = averages[q]
        for d in range(len(steps)):
            down, right = row + steps[d, 0], column + steps[d, 1]
            if down >= height or right < 0 or right >= width:
                continue
            other, total = averages[q + steps[d, 0] * width + steps[d, 1]], np.float32(0.0)
            for t in range(n_bins):
                total += own[t] * other[t]
            values[q, d] += total


@compiled
def _take_means(
    start: int,
    stop: int,
    means: FloatArray,
    sums: FloatArray,
    height: int,
    width: int,
    steps: IntArray,
    values: FloatArray,
) -> None:
    """Take what the means contribute out of the products, in place."""
    for q in range(start, stop):
        row, column = (q // width) % height, q % width
        for d in range(len(steps)):
            down, right = row + steps[d, 0], column + steps[d, 1]
            if not (down >= height or right < 0 or right >= width):
                values[q, d] -= means[q] * sums[q + steps[d, 0] * width + steps[d, 1]]


def solve_ring(products: RingProducts, coarse: Dims, offsets: IntArray) -> csr_matrix:
    """Return each block's least-squares weights on those of its ring, sparse float32 (Q, Q).

    Notes
    -----
    Blocks that lie outside, or never change, take no part. A block whose ring has none follows nothing.
    """
    n_blocks, found = int(np.prod(coarse)), []
    numbers = {tuple(step): d for d, step in enumerate(products.steps.tolist())}
    pairs = _pair_places(offsets, coarse[-1], numbers)
    to_centre = _pair_places(offsets, coarse[-1], numbers, centre=True)
    changes = products.values[:, numbers[0, 0]]
    for start, stop in row_slabs(n_blocks, SOLVED_AT_ONCE):
        here = np.arange(start, stop)
        inside = _inside(here, coarse, offsets)
        others = np.where(inside, here[:, None] + offsets @ np.array([coarse[-1], 1]), 0)
        inside &= changes[others] > STILL * changes.max()
        gram = _gather(products.values, here[:, None, None], *pairs)
        gram *= inside[:, :, None] & inside[:, None, :]
        target = np.where(inside, _gather(products.values, here[:, None], *to_centre), 0.0)
        weights = _solved(gram, target, inside)
        rows, columns = np.nonzero(inside)
        entries = weights[rows, columns].astype(np.float32), (here[rows], others[rows, columns])
        found.append(csr_matrix(entries, shape=(n_blocks, n_blocks)))
    return sum(found[1:], found[0]).tocsr()


def _pair_places(
    offsets: IntArray, width: int, numbers: dict[tuple[int, int], int], *, centre: bool = False
) -> tuple[IntArray, IntArray]:
    """Return, for all pairs on a ring (or with its centre), the first block less the centre, and the step's number."""
    others = np.zeros((1, 2), np.int64) if centre else offsets
    steps = others[None] - offsets[:, None]
    forward = (steps[..., 0] > 0) | ((steps[..., 0] == 0) & (steps[..., 1] >= 0))
    first = np.where(forward[..., None], offsets[:, None], others[None]) @ np.array([width, 1])
    step = np.where(forward[..., None], steps, -steps)
    number = np.array([[numbers[tuple(s)] for s in row] for row in step.tolist()])
    return (first[:, 0], number[:, 0]) if centre else (first, number)


def _gather(values: FloatArray, centres: IntArray, first: IntArray, number: IntArray) -> FloatArray:
    """Return the products of pairs around each centre; what lies outside is any number."""
    return values[np.clip(centres + first, 0, len(values) - 1), number]


def _inside(here: IntArray, coarse: Dims, offsets: IntArray) -> BoolArray:
    """Return which blocks of the rings around ``here`` lie in its plane, bool (n, ring)."""
    height, width = coarse[-2:]
    down, right = (here // width % height)[:, None] + offsets[:, 0], (here % width)[:, None] + offsets[:, 1]
    return (down >= 0) & (down < height) & (right >= 0) & (right < width)


def _solved(gram: FloatArray, target: FloatArray, inside: BoolArray) -> FloatArray:
    """Return ridge-regression weights (n, ring) from Gram matrices (n, ring, ring); 0 where not ``inside``."""
    count = np.maximum(inside.sum(1), 1)
    power = np.einsum("nii->n", gram) / count
    diagonal = np.where(inside, RIDGE * power[:, None], 1.0)
    place = np.arange(gram.shape[1])
    gram[:, place, place] += np.where(diagonal > 0, diagonal, 1.0)
    return np.linalg.solve(gram, target[..., None])[..., 0]
