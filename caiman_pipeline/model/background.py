"""Fluorescence that belongs to no component, as results hold it.

A background is a static image and a part that changes. Who uses it asks for what it adds under footprints, for its
image, or for its contrast between frames, and need not know how it is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.checks import require

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix, csr_matrix

# Of footprints that a ring's light was read under: theirs are told apart although some are much alike.
RIDGE = 1e-6


@dataclass(frozen=True)
class Refit:
    """A background's parts after an update of components and background together.

    Attributes
    ----------
    static : float32 (P,)
    level : float32 (P,), what was taken off the movie first
    rest : float32 (P,), mean of the movie less its components and ``level``
    parts : maps (P, B) and signals (B, T) of the sum
    footprints : sparse (P, K), of the components; light : float32 (K, T), what is followed under each of them
    """

    static: FloatArray
    level: FloatArray
    rest: FloatArray
    parts: tuple[csc_matrix, Any]
    footprints: csc_matrix
    light: Any


class Background(Protocol):
    """What every background can be asked.

    Axes: T frames, P pixels, K components, N the background's own signals.
    """

    @property
    def static(self) -> FloatArray:
        """The part that does not change, float32 (P,)."""
        ...

    @property
    def signals(self) -> Any:
        """Signals of the part that changes, float32 (N, T): an array, or a table that stays in its file."""
        ...

    def shares(self, footprints_t: csr_matrix) -> csr_matrix:
        """Return how much of each signal is under each of the transposed footprints (K, P), sparse (K, N)."""
        ...

    def level_image(self, means: FloatArray) -> FloatArray:
        """Return the mean image (P,), given the means of the signals (N,)."""
        ...

    def image(self, frame: int, rest: FloatArray) -> FloatArray:
        """Return the image (P,) at a frame, given what the movie's frame shows beside the components (P,)."""
        ...

    def images(self, start: int, stop: int, rest: FloatArray) -> FloatArray:
        """Return the images (P, t) of frames, given what the movie's frames show beside the components (P, t)."""
        ...

    def parts(self) -> tuple[csc_matrix, FloatArray]:
        """Return maps (P, B) and signals (B, T) of what is a sum of such products; none with B = 0."""
        ...

    def follows(self) -> Follower:
        """Return how pixels follow what is around them, beyond the sum of ``parts``."""
        ...

    def over_frames(self, change: Callable[[Any], Any]) -> Background:
        """Return the same background over other frames: ``change`` turns tables (N, T) into theirs."""
        ...

    def refitted(self, refit: Refit) -> Background:
        """Return the background after an update that left what pixels follow as it is."""
        ...

    def arrays(self) -> dict[str, Any]:
        """Return what a result file holds of it, by name."""
        ...


@dataclass(frozen=True)
class Follower:
    """What pixels follow: ``interpolation @ weights @ blocks`` of what the movie shows beside its components.

    Attributes
    ----------
    blocks : sparse float32 (Q, P), sums or averages over small blocks of usable pixels
    weights : sparse float32 (B, Q), how local signals are made of those of blocks
    interpolation : sparse float32 (P, B), how a pixel follows the local signals around it
    """

    blocks: csr_matrix
    weights: csr_matrix
    interpolation: csr_matrix

    def __call__(self, rest: Any) -> Any:
        """Return what is followed of a movie, an image or a sparse matrix with P rows."""
        return self.interpolation @ (self.weights @ (self.blocks @ rest))

    def __bool__(self) -> bool:
        """Whether anything is followed."""
        return self.weights.shape[0] > 0

    def average(self, movie: FloatArray) -> FloatArray:
        """Return the local signals (B, T) of a movie (P, T)."""
        return self.weights @ (self.blocks @ movie)

    @property
    def averaging(self) -> csr_matrix:
        """The whole map (B, P) from pixels to local signals."""
        return self.weights @ self.blocks

    def map(self, gain: FloatArray) -> csc_matrix:
        """Return the sparse map (P, B) from local signals to pixels that follow them with a gain (P,) of their own."""
        from scipy.sparse import diags

        return (diags(gain) @ self.interpolation).tocsc().astype(np.float32)

    def seen_from(self, places: csr_matrix) -> csr_matrix:
        """Return ones (P, K) in ``places`` (P, K) and wherever what is followed there is seen."""
        ones = places.astype(np.float32, copy=True)
        ones.data = np.ones_like(ones.data)
        back = (abs(self.interpolation), abs(self.weights), abs(self.blocks))
        wide = ones
        for matrix in back:
            wide = (matrix.T @ wide).tocsr()
        wide = (wide + ones).tocsr()
        wide.data = np.ones_like(wide.data)
        wide.sort_indices()
        return wide


def nothing_followed(n_pixels: int) -> Follower:
    """Return the map of a background that follows nothing."""
    from scipy.sparse import csr_matrix

    shapes = (0, n_pixels), (0, 0), (n_pixels, 0)
    return Follower(*(csr_matrix(shape, dtype=np.float32) for shape in shapes))


@dataclass(frozen=True)
class SummedBackground:
    """A sum of maps that change with signals: ``static + spatial @ signals``.

    Attributes
    ----------
    static : float32 (P,)
    spatial : sparse float32 (P, N)
    signals : float32 (N, T)
    """

    static: FloatArray
    spatial: csc_matrix
    signals: Any

    def __post_init__(self) -> None:
        require(self.spatial.shape[0] == len(self.static), "background maps must have one row per pixel")
        require(self.spatial.shape[1] == len(self.signals), "one signal per background map")

    def shares(self, footprints_t: csr_matrix) -> csr_matrix:
        """Return how much of each signal is under each footprint."""
        return (footprints_t @ self.spatial).tocsr()

    def level_image(self, means: FloatArray) -> FloatArray:
        """Return the mean image."""
        return self.static + self.spatial @ means

    def image(self, frame: int, rest: FloatArray) -> FloatArray:
        """Return the image at a frame."""
        return self.images(frame, frame + 1, rest[:, None])[:, 0]

    def images(self, start: int, stop: int, rest: FloatArray) -> FloatArray:
        """Return the images of frames."""
        return self.static[:, None] + self.spatial @ self.signals[:, start:stop]

    def parts(self) -> tuple[csc_matrix, FloatArray]:
        """Return maps and signals."""
        return self.spatial, self.signals

    def follows(self) -> Follower:
        """Return a map that follows nothing."""
        return nothing_followed(len(self.static))

    def over_frames(self, change: Callable[[Any], Any]) -> SummedBackground:
        """Return the same background over other frames."""
        return replace(self, signals=change(self.signals))

    def refitted(self, refit: Refit) -> SummedBackground:
        """Return the sum of the new maps and signals."""
        return SummedBackground(refit.static, *refit.parts)

    def arrays(self) -> dict[str, Any]:
        """Return what a result file holds of it."""
        return {
            "background_static": self.static,
            "background_spatial": self.spatial,
            "background_temporal": self.signals,
        }


@dataclass(frozen=True)
class RingBackground:
    """Light that each pixel shows as what is on a ring around it does: ``static + W (movie - components - level)``.

    ``W = interpolation @ weights @ blocks`` is an operator: its movie is made from the recording's, never kept.

    Attributes
    ----------
    static : float32 (P,)
    level : float32 (P,), what is taken off the movie first, its mean image
    rest : float32 (P,), mean of the movie less its components and ``level``
    blocks : sparse float32 (Q, P), averages over small blocks of pixels
    weights : sparse float32 (Q, Q), how a block follows those on the ring around it
    interpolation : sparse float32 (P, Q), how a pixel follows the blocks around it, its gain included
    readers : sparse float32 (P, N), footprints that the light was read under while the movie passed by
    signals : float32 (N, T), the light that changes under each of them
    """

    static: FloatArray
    level: FloatArray
    rest: FloatArray
    blocks: csc_matrix
    weights: csc_matrix
    interpolation: csc_matrix
    readers: csc_matrix
    signals: Any

    def __post_init__(self) -> None:
        n_blocks = self.blocks.shape[0]
        require(self.weights.shape == (n_blocks, n_blocks), "a ring's weights must be (blocks, blocks)")
        require(self.interpolation.shape == (len(self.static), n_blocks), "a ring's interpolation must be (P, blocks)")
        require(self.readers.shape == (len(self.static), len(self.signals)), "one signal per footprint of a ring")

    def shares(self, footprints_t: csr_matrix) -> csr_matrix:
        """Return the mixture of the footprints whose light was read that is nearest to each footprint.

        Notes
        -----
        Exact for those footprints themselves and for sums of them, as merging by hand makes.
        """
        from scipy.sparse import csr_matrix, identity
        from scipy.sparse.linalg import splu

        n_signals = self.readers.shape[1]
        if n_signals == 0 or footprints_t.shape[0] == 0:
            return csr_matrix((footprints_t.shape[0], n_signals))
        readers = self.readers.astype(np.float64)
        gram = (readers.T @ readers + RIDGE * identity(n_signals)).tocsc()
        shares = splu(gram).solve((readers.T @ footprints_t.T).toarray())
        shares[np.abs(shares) < 1e3 * RIDGE] = 0.0
        return csr_matrix(shares.T)

    def level_image(self, means: FloatArray) -> FloatArray:
        """Return the mean image, whatever the means of the light under the footprints."""
        return self.static + self.follows()(self.rest)

    def image(self, frame: int, rest: FloatArray) -> FloatArray:
        """Return the image at a frame, from what the movie shows there beside the components."""
        return self.images(frame, frame + 1, rest[:, None])[:, 0]

    def images(self, start: int, stop: int, rest: FloatArray) -> FloatArray:
        """Return the images of frames, from what the movie shows there beside the components."""
        return self.static[:, None] + self.follows()(rest - self.level[:, None])

    def parts(self) -> tuple[csc_matrix, FloatArray]:
        """Return none: nothing of it is a sum of maps and signals."""
        from scipy.sparse import csc_matrix

        return csc_matrix((len(self.static), 0), dtype=np.float32), np.zeros((0, self.signals.shape[1]), np.float32)

    def follows(self) -> Follower:
        """Return how pixels follow what is around them."""
        return Follower(self.blocks.tocsr(), self.weights.tocsr(), self.interpolation.tocsr())

    def over_frames(self, change: Callable[[Any], Any]) -> RingBackground:
        """Return the same background over other frames."""
        return replace(self, signals=change(self.signals))

    def refitted(self, refit: Refit) -> RingBackground:
        """Return the same ring with the new components' light."""
        return replace(
            self,
            static=refit.static,
            level=refit.level,
            rest=refit.rest,
            readers=refit.footprints,
            signals=refit.light,
        )

    def arrays(self) -> dict[str, Any]:
        """Return what a result file holds of it."""
        return {
            "background_static": self.static,
            "background_level": self.level,
            "background_rest": self.rest,
            "background_blocks": self.blocks,
            "background_weights": self.weights,
            "background_interpolation": self.interpolation,
            "background_spatial": self.readers,
            "background_temporal": self.signals,
        }


# What is read of a background only by who needs more than its static image.
BACKGROUND_SIGNALS = (
    "background_spatial",
    "background_temporal",
    "background_level",
    "background_rest",
    "background_blocks",
    "background_weights",
    "background_interpolation",
)


def background_from_arrays(arrays: Any, n_frames: int) -> Background:
    """Rebuild a background from what a result file holds of it, by name; without its signals it is static."""
    from scipy.sparse import csc_matrix

    static = arrays["background_static"]
    if "background_spatial" not in arrays:
        nothing = np.zeros((0, n_frames), np.float32)
        return SummedBackground(static, csc_matrix((len(static), 0), dtype=np.float32), nothing)
    spatial, signals = arrays["background_spatial"], arrays["background_temporal"]
    if "background_weights" not in arrays:
        return SummedBackground(static, spatial, signals)
    names = ("level", "rest", "blocks", "weights", "interpolation")
    own = {name: arrays[f"background_{name}"] for name in names}
    return RingBackground(static=static, readers=spatial, signals=signals, **own)
