"""Sessions of one field: what each brings, where it lies in a common frame, and which components are one cell.

Axes: D planes, H rows, W columns, P pixels in C order, K components, S sessions. ``dims`` is (H, W) or (D, H, W).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.model.checks import require
from caiman_pipeline.model.movie import Dims

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix


@dataclass(frozen=True)
class Session:
    """The components of one recording, as they take part in registration.

    Attributes
    ----------
    name : the recording
    dims : (H, W) or (D, H, W)
    ids : int64 (K,), the components' ids in the recording
    footprints : sparse (P, K), not negative
    image : float32 dims, what tissue and vessels look like (mean or template); None where there is none
    pixel_um : size of a pixel along each axis, micrometres; None where it is not known
    """

    name: str
    dims: Dims
    ids: IntArray
    footprints: csc_matrix
    image: FloatArray | None = None
    pixel_um: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        require(self.footprints.shape == (prod(self.dims), len(self.ids)), "footprints must be (P, K)")
        require(self.image is None or self.image.shape == self.dims, "the image must have the field's size")
        require(self.pixel_um is None or len(self.pixel_um) == len(self.dims), "one pixel size per axis")

    @property
    def n_components(self) -> int:
        """Number of components, K."""
        return len(self.ids)


@dataclass(frozen=True)
class Placement:
    """Where the points of one session lie in the frame: an affine map and a smooth bend.

    Attributes
    ----------
    matrix : float64 (N, N), shift : float64 (N,), of N axes: ``points @ matrix.T + shift``
    centres : float64 (G, N), pixels of the session from which the bend spreads
    weights : float64 (G, N), how far each moves what is around it
    width : float64 (N,), how far each reaches (standard deviation of a Gaussian)
    """

    matrix: FloatArray
    shift: FloatArray
    centres: FloatArray
    weights: FloatArray
    width: FloatArray

    @classmethod
    def identity(cls, ndim: int) -> Placement:
        """Return the placement that leaves everything where it is."""
        nothing = np.zeros((0, ndim))
        return cls(np.eye(ndim), np.zeros(ndim), nothing, nothing, np.ones(ndim))

    def __call__(self, points: FloatArray) -> FloatArray:
        """Return where points (K, N) in pixels of the session lie in the frame."""
        straight = points @ self.matrix.T + self.shift
        return straight + self._reach(points) @ self.weights if len(self.centres) else straight

    def jacobian(self, points: FloatArray) -> FloatArray:
        """Return the local linear map (K, N, N) at points (K, N): rows are axes of the frame."""
        local = np.repeat(self.matrix[None], len(points), 0)
        if len(self.centres):
            slope = -(points[:, None] - self.centres) / self.width**2 * self._reach(points)[..., None]
            local = local + np.einsum("kgn,gm->kmn", slope, self.weights)
        return local

    def followed_by(self, matrix: FloatArray, shift: FloatArray) -> Placement:
        """Return this placement with an affine map of the frame after it."""
        return Placement(
            matrix @ self.matrix, matrix @ self.shift + shift, self.centres, self.weights @ matrix.T, self.width
        )

    def _reach(self, points: FloatArray) -> FloatArray:
        far = (points[:, None] - self.centres) / self.width
        return np.exp(-0.5 * (far**2).sum(-1))


@dataclass(frozen=True)
class Alignment:
    """How well the place of one session in the frame is known.

    Attributes
    ----------
    placed : it has a place; without one, none of its components is tracked
    by : ``footprints``, ``images``, ``given`` (the frame itself, or no alignment asked for) or ``nothing``
    n_agreeing : components that have a counterpart where the alignment says
    n_by_chance : the same for mirrored components, which have none
    confidence : 0 to 1
    image_agreement : correlation of its image with the other sessions' there; NaN where it has none
    reason : in words, where it is not placed or in doubt
    """

    placed: bool
    by: str
    n_agreeing: int
    n_by_chance: float
    confidence: float
    image_agreement: float
    reason: str = ""


@dataclass(frozen=True)
class Registration:
    """Which components of several sessions are one cell.

    Attributes
    ----------
    sessions : names, S in the order given
    cells : for each session int64 (K,), the number of the cell that each component is, from 0; -1 in sessions without a
        place
    probability : for each session float64 (K,), that the component is that cell and no other; NaN for cells found once
    runner_up : for each session int64 (K,), the cell that it would be otherwise, -1 if none is near
    runner_up_probability : for each session float64 (K,), that it is that one; 0 if none
    n_cells : number of cells
    alignments : for each session how well its place is known
    placements : for each session its pixels in the frame; None without a place
    reference : number of the session whose pixels the frame's are; -1 where nothing is placed
    canvas_low : the frame's first pixel along each axis, counted in the reference's pixels
    canvas_dims : size of the frame
    union : sparse float32 (P of the frame, cells), the mean footprint of each cell, unit Euclidean norm
    pairs : for each two sessions that are placed, components (M, 2) that lie near each other and the probability
        (M,) that they are one cell, judged by these two alone
    """

    sessions: tuple[str, ...]
    cells: tuple[IntArray, ...]
    probability: tuple[FloatArray, ...]
    runner_up: tuple[IntArray, ...]
    runner_up_probability: tuple[FloatArray, ...]
    n_cells: int
    alignments: tuple[Alignment, ...]
    placements: tuple[Placement | None, ...]
    reference: int
    canvas_low: tuple[int, ...]
    canvas_dims: Dims
    union: csc_matrix
    pairs: dict[tuple[int, int], tuple[IntArray, FloatArray]]

    @property
    def n_found(self) -> IntArray:
        """In how many sessions each cell was found, int64 (cells,)."""
        every = np.concatenate([c[c >= 0] for c in self.cells] or [np.zeros(0, np.int64)])
        return np.bincount(every, minlength=self.n_cells)

    @property
    def n_tracked(self) -> int:
        """Number of cells found in two sessions or more."""
        return int((self.n_found > 1).sum())
