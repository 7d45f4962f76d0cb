"""Frozen, validated records that travel between stages.

Axes: T frames, D planes, H rows, W columns, P pixels in C order, K components. ``dims`` is (H, W) or (D, H, W).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix

Dims = tuple[int, ...]
FloatArray = np.ndarray
Bounds = tuple[tuple[int, int], ...]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


# From this share of pixel values at the top, a recording counts as saturated.
SATURATED = 1e-4


@dataclass(frozen=True)
class SourceFile:
    """One raw file (or folder, for Zarr) as it was when inspected, see ``io/identity.py``; an unknown digest is ""."""

    path: str
    n_frames: int
    size_bytes: int
    modified_ns: int
    sha256: str = ""
    sample: str = ""


@dataclass(frozen=True)
class Reading:
    """What the user says of how files are to be read, None where nothing is said.

    Attributes
    ----------
    axes : letters in the order of the array's axes; a number behind one says how many images take turns (``TZ4YX``)
    dataset : path of the movie inside an HDF5 or Zarr file
    channel : the channel to read, by its name or number
    planes : the planes to read, counted from 1, like ``1-3``
    """

    axes: str | None = None
    dataset: str | None = None
    channel: str | None = None
    planes: str | None = None

    @classmethod
    def of(cls, source: Any) -> Reading:
        """Return what a recording's facts, an inspection or a verb's arguments say."""
        return cls(source.axes, source.dataset, source.channel, source.planes)


@dataclass(frozen=True)
class MovieInfo:
    """What ``inspect`` found out about a recording.

    Attributes
    ----------
    dims : (H, W) or (D, H, W), pixels
    value_min, value_max : smallest and largest finite pixel value
    saturated_fraction : share of pixel values at the top of an integer type's range, or of its used bit depth
    bad_frames : indices of frames that are constant, all zero or without a finite pixel
    border_px : pixels per axis end, (before, after), that are not finite or were filled in, in some frame
    """

    recording: str
    files: tuple[SourceFile, ...]
    axes: str | None
    dataset: str | None
    dims: Dims
    dtype: str
    frame_rate_hz: float
    value_min: float
    value_max: float
    saturated_fraction: float
    bad_frames: tuple[int, ...]
    border_px: Bounds
    warnings: tuple[str, ...]
    channel: str | None = None
    planes: str | None = None

    @property
    def n_frames(self) -> int:
        """Frames of all files together."""
        return sum(f.n_frames for f in self.files)

    @property
    def file_frames(self) -> tuple[tuple[str, int], ...]:
        """Path and frames of every file."""
        return tuple((f.path, f.n_frames) for f in self.files)

    @property
    def n_pixels(self) -> int:
        """Pixels of one frame."""
        return prod(self.dims)

    @property
    def ceiling(self) -> float | None:
        """The largest pixel value where more than a few are saturated there, else None."""
        return self.value_max if self.saturated_fraction > SATURATED and self.value_max > self.value_min else None


@dataclass(frozen=True)
class Shifts:
    """Displacement of the scene in each frame, in pixels; correcting a frame subtracts it.

    Attributes
    ----------
    rigid : float32 (T, ndim), order ([dz,] dy, dx)
    field : float32 (T, *grid, ndim) or None, total displacement (rigid part included) at the grid points
    grid : one array per axis with the pixel coordinates of the grid points, empty without a field
    """

    rigid: FloatArray
    field: FloatArray | None = None
    grid: tuple[FloatArray, ...] = ()

    def __post_init__(self) -> None:
        _require(self.rigid.ndim == 2, f"rigid shifts must be (T, ndim), got {self.rigid.shape}")
        if self.field is not None:
            expected = (len(self.rigid), *(len(g) for g in self.grid), self.rigid.shape[1])
            _require(self.field.shape == expected, f"shift field must be {expected}, got {self.field.shape}")

    @property
    def n_frames(self) -> int:
        """Frames covered."""
        return len(self.rigid)


@dataclass(frozen=True)
class Tile:
    """A box of the field of view: ``bounds`` with overlap, ``core`` without, as (start, stop) per axis."""

    index: int
    bounds: Bounds
    core: Bounds

    @property
    def slices(self) -> tuple[slice, ...]:
        """Index into an array of shape ``dims``."""
        return tuple(slice(a, b) for a, b in self.bounds)

    @property
    def shape(self) -> Dims:
        """Size with overlap, pixels."""
        return tuple(b - a for a, b in self.bounds)


@dataclass(frozen=True)
class TileGrid:
    """Tiles that cover a field of view, neighbours overlapping."""

    dims: Dims
    tiles: tuple[Tile, ...]


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
    tiles: FloatArray
    depth: FloatArray
    frames_per_bin: int
    seeds: FloatArray
    shapeless: bool

    def __post_init__(self) -> None:
        _require(self.footprints.shape == (prod(self.dims), len(self.traces)), "footprints must be (P, K)")
        for name in ("tiles", "depth", "seeds"):
            _require(len(getattr(self, name)) == len(self.traces), f"{name} must have one row per component")


@dataclass(frozen=True)
class Background:
    """Fluorescence that belongs to no component: ``static + spatial @ temporal``.

    Attributes
    ----------
    static : float32 (P,)
    spatial : sparse float32 (P, B)
    temporal : float32 (B, T)
    """

    static: FloatArray
    spatial: csc_matrix
    temporal: FloatArray

    def __post_init__(self) -> None:
        _require(self.spatial.shape[0] == len(self.static), "background maps must have one row per pixel")
        _require(self.spatial.shape[1] == len(self.temporal), "one temporal row per background map")


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
    ids: FloatArray
    footprints: csc_matrix
    denoised: FloatArray
    residual: FloatArray
    background: Background
    noise: FloatArray
    frames_per_bin: int = 1

    def __post_init__(self) -> None:
        n_components, n_pixels = len(self.ids), prod(self.dims)
        _require(self.footprints.shape == (n_pixels, n_components), "footprints must be (P, K)")
        _require(len(self.denoised) == n_components, "one trace per component")
        _require(self.residual.shape == self.denoised.shape, "residual and denoised traces must align")
        _require(self.noise.shape == (n_pixels,), "noise must be (P,)")

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


@dataclass(frozen=True)
class Traces:
    """Deconvolution and DF/F of every component, row-aligned with ``ids``.

    Attributes
    ----------
    denoised, deconvolved : float32 (K, T), calcium without baseline, and activity per frame (same unit)
    baseline : float32 (K,), constant of the deconvolution
    fluorescence : float32 (K, T), F: the demixed trace and the running median of ``background``
    background : float32 (K, T), all background under the footprint, without dark level and ``neighbours_light``
    f0 : float32 (K, T), resting level of the demixed trace and the same running median; NaN where DF/F has no meaning
    dff : float32 (K, T), of the kind named by ``dff_kind``, made of ``fluorescence`` and ``f0``
    dff_denoised : float32 (K, T), the same of the fitted model, without noise
    neighbours_light : float32 (K,), light under the footprint of other components at rest
    noise : float32 (K,), standard deviation per frame
    ar : float32 (K, p), autoregressive coefficients; ``sparsity`` : float32 (K,), penalty used
    event_snr : float32 (K,), median height of events over noise, NaN without any; ``event_rate_hz`` : float32 (K,)
    own_decay_s : float32 (K,), 1/e decay of the trace's autocovariance; NaN without events or decay
    flags : (K,) text, empty or what is the matter with a trace
    """

    ids: FloatArray
    denoised: FloatArray
    deconvolved: FloatArray
    baseline: FloatArray
    fluorescence: FloatArray
    background: FloatArray
    f0: FloatArray
    dff: FloatArray
    dff_denoised: FloatArray
    dff_kind: str
    neighbours_light: FloatArray
    noise: FloatArray
    ar: FloatArray
    sparsity: FloatArray
    event_snr: FloatArray
    event_rate_hz: FloatArray
    own_decay_s: FloatArray
    flags: tuple[str, ...]

    def __post_init__(self) -> None:
        for name, values in vars(self).items():
            if name != "dff_kind":
                _require(len(values) == len(self.ids), f"{name} must have one row per component")


@dataclass(frozen=True)
class Quality:
    """Measured quality of every component, row-aligned with ``ids``.

    Attributes
    ----------
    snr : float32 (K,), peak of a transient's length over noise
    r_value : float32 (K,), correlation of the footprint with the movie around its transients
    size_px : float32 (K,), pixels above half the peak
    soma_score : float32 (K,), probability that the footprint is a soma's; NaN where it was not asked
    elongation : float32 (K,), length over width of the footprint in the plane
    border_share, saturated_share : float32 (K,), share of the footprint's weight next to the end of what the movie
        shows, and on pixels that reach the detector's ceiling
    likeness : float32 (K,), how much it repeats a stronger component, in footprint and trace, 0 to 1
    nesting : float32 (K,), how far it and a stronger component lie within each other's outline, 0 to 1
    motion_share : float32 (K,), share of its trace's variance that the displacement of the frames explains
    """

    ids: FloatArray
    snr: FloatArray
    r_value: FloatArray
    size_px: FloatArray
    soma_score: FloatArray
    elongation: FloatArray
    border_share: FloatArray
    saturated_share: FloatArray
    likeness: FloatArray
    nesting: FloatArray
    motion_share: FloatArray

    def __post_init__(self) -> None:
        for name, values in vars(self).items():
            _require(len(values) == len(self.ids), f"{name} must have one row per component")
