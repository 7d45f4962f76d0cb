"""Images as witnesses: where two fields' tissue and vessels lie on each other, and how well they agree there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.sessions import Placement, Session

# Turns that are tried where images alone must tell, degrees.
TURNS = tuple(range(-20, 21, 2))
# Images are looked at with at most so many pixels to a side.
MOST_PIXELS = 160
# A peak counts if it is this high, and so much higher than that of the mirrored image, which has none.
LEAST_PEAK = 0.25
LEAST_AGAINST_MIRRORED = 1.4
# Half the size of structures that are kept, as a share of the field: finer is noise, coarser uneven light.
FINE, COARSE = 0.006, 0.06
FRAME_POINTS = 90


@dataclass(frozen=True)
class ImageMatch:
    """A turn and shift that bring one image onto another, pixels of the plane: ``turn @ (row, column) + shift``.

    Attributes
    ----------
    peak : correlation there; mirrored : the highest one with the image mirrored
    """

    turn: FloatArray
    shift: FloatArray
    peak: float
    mirrored: float

    @property
    def found(self) -> bool:
        """Whether the images tell that they show the same field."""
        return self.peak >= LEAST_PEAK and self.peak >= LEAST_AGAINST_MIRRORED * self.mirrored


def plane(session: Session) -> FloatArray | None:
    """Return a session's image as one plane (the mean over depth), or None if it shows nothing."""
    if session.image is None:
        return None
    image = np.asarray(session.image, np.float64)
    image = np.where(np.isfinite(image), image, np.nanmedian(image) if np.isfinite(image).any() else 0.0)
    flat = image.mean(0) if image.ndim == 3 else image
    return flat if np.ptp(flat) > 0 else None


def structure(image: FloatArray) -> FloatArray:
    """Return what is neither uneven light nor noise nor a pattern of lines, local contrast evened out."""
    side = max(image.shape)
    fine = gaussian_filter(image, max(FINE * side, 0.5))
    left = fine - gaussian_filter(fine, COARSE * side)
    left = left - np.median(left, axis=0)
    left = left - np.median(left, axis=1, keepdims=True)
    contrast = np.sqrt(gaussian_filter(left**2, COARSE * side))
    return left / (contrast + 0.1 * float(np.sqrt((left**2).mean())) + 1e-12)


def match_images(first: FloatArray, second: FloatArray, *, turns: tuple[float, ...] = TURNS) -> ImageMatch:
    """Return the turn and shift that bring the first image (H1, W1) onto the second (H2, W2) best.

    Pixels of both must be of one size.
    """
    step = max(max(*first.shape, *second.shape) / MOST_PIXELS, 1.0)
    one, other = (structure(_smaller(image, step)) for image in (first, second))
    best = max((_turned_peak(one, other, angle) for angle in turns), key=lambda p: p[0])
    mirrored = max(_turned_peak(one[:, ::-1], other, angle)[0] for angle in turns)
    peak, turn, shift = best
    return ImageMatch(turn, shift * step, peak, mirrored)


def _smaller(image: FloatArray, step: float) -> FloatArray:
    if step <= 1.0:
        return image
    size = tuple(max(int(n / step), 1) for n in image.shape)
    return affine_transform(gaussian_filter(image, 0.4 * step), np.array([step, step]), output_shape=size, order=1)


def _turned_peak(first: FloatArray, second: FloatArray, degrees: float) -> tuple[float, FloatArray, FloatArray]:
    """Return correlation, turn and shift of the best place of the first image, turned, on the second."""
    a = np.deg2rad(degrees)
    turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    middle = (np.array(first.shape) - 1) / 2
    turned = affine_transform(first, turn.T, offset=middle - turn.T @ middle, order=1)
    peak, shift = best_shift(turned, second)
    return peak, turn, middle - turn @ middle + shift


def best_shift(first: FloatArray, second: FloatArray) -> tuple[float, FloatArray]:
    """Return the correlation and the shift (rows, columns) of the first image that fits the second best."""
    size = tuple(fft.next_fast_len(m + n - 1, real=True) for m, n in zip(first.shape, second.shape, strict=True))

    def spectrum(image: FloatArray) -> FloatArray:
        return fft.rfftn(image, size)

    ones_1, ones_2 = np.ones_like(first), np.ones_like(second)
    product = fft.irfftn(np.conj(spectrum(first)) * spectrum(second), size)
    shared = fft.irfftn(np.conj(spectrum(ones_1)) * spectrum(ones_2), size)
    power_1 = fft.irfftn(np.conj(spectrum(first**2)) * spectrum(ones_2), size)
    power_2 = fft.irfftn(np.conj(spectrum(ones_1)) * spectrum(second**2), size)
    enough = shared > 0.2 * min(first.size, second.size)
    scale = np.sqrt(np.maximum(power_1, 1e-9) * np.maximum(power_2, 1e-9))
    # Small common areas agree by chance: they must agree better.
    correlation = np.where(enough, product / scale * np.sqrt(np.maximum(shared, 0.0) / shared.max()), -1.0)
    at = np.array(np.unravel_index(int(correlation.argmax()), size), float)
    wrapped = at > np.array(second.shape) - 1
    return float(correlation.max()), np.where(wrapped, at - np.array(size), at)


def inverse(placement: Placement, there: FloatArray) -> FloatArray:
    """Return the session's pixels (K, N) that lie at points (K, N) of the frame, by Newton's steps."""
    at = (there - placement.shift) @ np.linalg.inv(placement.matrix).T
    for _ in range(8 if len(placement.centres) else 0):
        wrong = there - placement(at)
        at = at + np.linalg.solve(placement.jacobian(at), wrong[..., None])[..., 0]
    return at


@dataclass(frozen=True)
class Onto:
    """From the pixels of one session to those of another, by way of the frame."""

    first: Placement
    second: Placement

    def __call__(self, points: FloatArray) -> FloatArray:
        """Return where points (K, N) of the first session lie in the second."""
        return inverse(self.second, self.first(points))

    def jacobian(self, points: FloatArray) -> FloatArray:
        """Return the local linear map (K, N, N) at points (K, N)."""
        back = np.linalg.inv(self.second.jacobian(self(points)))
        return np.asarray(back @ self.first.jacobian(points))


def in_frame(image: FloatArray, placement: Placement, low: Sequence[int], dims: tuple[int, ...]) -> FloatArray:
    """Return an image (dims of its session) as it lies in the frame, NaN where it does not reach.

    The bend is smooth: it is inverted at some points and interpolated between.
    """
    axes = [np.linspace(0, n - 1, min(n, FRAME_POINTS)) for n in dims]
    coarse = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    own = inverse(placement, coarse.reshape(-1, len(dims)) + np.asarray(low)).reshape(coarse.shape)
    scale = [(len(a) - 1) / max(n - 1, 1) for a, n in zip(axes, dims, strict=True)]
    fine = np.stack(np.meshgrid(*[np.arange(n) * s for n, s in zip(dims, scale, strict=True)], indexing="ij"))
    flat = fine.reshape(len(dims), -1)
    at = np.stack([map_coordinates(own[..., a], flat, order=1, mode="nearest") for a in range(len(dims))])
    seen = map_coordinates(np.asarray(image, float), at, order=1, mode="constant", cval=np.nan)
    return seen.reshape(dims).astype(np.float32)


def agreement(first: FloatArray, second: FloatArray) -> float:
    """Return the correlation of the structure of two images where both are seen (not NaN); NaN if nowhere."""
    both = np.isfinite(first) & np.isfinite(second)
    if both.sum() < 100:
        return float("nan")
    a, b = (structure(np.where(both, image, np.median(image[both])))[both] for image in (first, second))
    a, b = a - a.mean(), b - b.mean()
    power = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / power if power > 0 else float("nan")
