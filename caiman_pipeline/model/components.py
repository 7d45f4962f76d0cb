"""Components: as found in tiles, as refined over the full field, as edited by hand.

Axes: T frames, D planes, H rows, W columns, P pixels in C order, K components. ``dims`` is (H, W) or (D, H, W).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.model.background import Background
from caiman_pipeline.model.checks import require
from caiman_pipeline.model.movie import Dims

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix


@dataclass(frozen=True)
class Candidates:
    """Components as found in tiles, on time-binned data, not yet updated over the full field.

    Attributes
    ----------
    dims : (H, W) or (D, H, W)
    footprints : sparse float32 (P, K), unit Euclidean norm
    traces : float32 (K, T // frames_per_bin)
    tiles : int64 (K,), the tile each was found in
    depth : float32 (K,), pixels from its centre to the edge of its tile
    frames_per_bin : frames averaged into one column of the traces
    seeds : int64 (K,), the mask (from 0) that each was made from, -1 where it was searched for
    shapeless : components were found in a way that leaves their shape open (dendrites, axons)
    """

    dims: Dims
    footprints: csc_matrix
    traces: FloatArray
    tiles: IntArray
    depth: FloatArray
    frames_per_bin: int
    seeds: IntArray
    shapeless: bool

    def __post_init__(self) -> None:
        require(self.footprints.shape == (prod(self.dims), len(self.traces)), "footprints must be (P, K)")
        for name in ("tiles", "depth", "seeds"):
            require(len(getattr(self, name)) == len(self.traces), f"{name} must have one row per component")


@dataclass(frozen=True)
class Components:
    """Footprints and traces of a recording's components, with its background and noise.

    Attributes
    ----------
    dims : (H, W) or (D, H, W)
    ids : int64 (K,), stable through every later stage
    footprints : sparse float32 (P, K), each with unit Euclidean norm
    denoised : float32 (K, T), demixed fluorescence of the model, in pixel values x footprint norm
    residual : float32 (K, T), what the footprint sees that the model does not explain;
        ``denoised + residual`` is the raw demixed trace
    background : the rest of the movie's model
    noise : float32 (P,), standard deviation per pixel
    frames_per_bin : frames averaged into one column of the traces, 1 at full rate
    """

    dims: Dims
    ids: IntArray
    footprints: csc_matrix
    denoised: FloatArray
    residual: FloatArray
    background: Background
    noise: FloatArray
    frames_per_bin: int = 1

    def __post_init__(self) -> None:
        n_components, n_pixels = len(self.ids), prod(self.dims)
        require(self.footprints.shape == (n_pixels, n_components), "footprints must be (P, K)")
        require(len(self.denoised) == n_components, "one trace per component")
        require(self.residual.shape == self.denoised.shape, "residual and denoised traces must align")
        require(self.noise.shape == (n_pixels,), "noise must be (P,)")

    @property
    def n_components(self) -> int:
        """Number of components, K."""
        return len(self.ids)


@dataclass(frozen=True)
class Curated:
    """Components that are there, those that were removed (same field, background and noise), and what was done.

    Attributes
    ----------
    history : one line per edit, the oldest first, like ``merge 3 5 -> 41``
    """

    present: Components
    removed: Components
    history: tuple[str, ...]
