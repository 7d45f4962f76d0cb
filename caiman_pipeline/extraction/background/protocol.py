"""What every way to model the background can do, so that who calls it need not know which one it is.

A background has up to three parts: a constant of each pixel; local signals that pixels follow, each with a gain of its
own (a ``Follower``); and maps over the whole tile or field that are solved for together with the components. A model
says how these start and what of them is learned; the updates solve for all of them in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.background import Background, Follower
from caiman_pipeline.model.movie import Dims

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix

    from caiman_pipeline.extraction.temporal import Projection


@dataclass(frozen=True)
class Piece:
    """Some bins of the movie less its components, as local signals: averages (B, b), weights (b,), numbers (b,)."""

    averages: FloatArray
    weights: FloatArray
    bins: IntArray


# One pass over the movie, seen through the blocks and weights of a follower.
Observe = Callable[[Follower], Iterator[Piece]]


@dataclass(frozen=True)
class Fitted:
    """What the updates found of a background.

    Attributes
    ----------
    level : float32 (P,), the movie's mean image, which the model is beyond
    static, gain : float32 (P,)
    follower : what pixels follow
    maps : sparse (P, M), solved for together with the components
    footprints : sparse (P, K), of the components
    means : float64 (K,), of their traces
    signals : float32 (N, T), what ``Projection.watch`` saw beside the components, then the signals of the maps
    """

    level: FloatArray
    static: FloatArray
    gain: FloatArray
    follower: Follower
    maps: csc_matrix
    footprints: csc_matrix
    means: FloatArray
    signals: Any


class BackgroundModel(Protocol):
    """A way to model the background."""

    @property
    def passes(self) -> tuple[int, int]:
        """Passes over the movie that its start takes, and those that each round takes to learn."""
        ...

    @property
    def sweeps(self) -> int:
        """Sweeps over all traces, maps included, that the temporal update of the field needs."""
        ...

    @property
    def update(self) -> bool:
        """Whether maps are solved for; otherwise they stay as they start."""
        ...

    def lay_out(self, dims: Dims, *, use: BoolArray) -> Follower:
        """Return what pixels follow before anything is learned; ``use`` is bool (P,), pixels that count."""
        ...

    def learn(self, follower: Follower, dims: Dims, observe: Observe) -> Follower:
        """Return what pixels follow, learned from the movie less its components; the same object if nothing is."""
        ...

    def start_in_tile(
        self, movie: FloatArray, dims: Dims, *, noise: FloatArray, cell_px: tuple[float, ...]
    ) -> csc_matrix:
        """Return maps (P, M) to start a tile from: binned movie float32 (P, T), noise (P,) infinite where unusable."""
        ...

    def start_in_field(
        self, dims: Dims, *, use: BoolArray, n_bins: int, observe: Observe
    ) -> tuple[csc_matrix, FloatArray]:
        """Return maps (P, M) of unit norm to start the field from, and their signals (M, bins)."""
        ...

    def project(
        self, footprints: csc_matrix, follower: Follower, *, gain: FloatArray, static: FloatArray, noise: FloatArray
    ) -> Projection:
        """Return what turns the whole movie into traces, and what is kept of the background at every frame."""
        ...

    def stored(self, fitted: Fitted) -> Background:
        """Return the background as results hold it."""
        ...
