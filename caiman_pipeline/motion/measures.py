"""How well frames are aligned: crispness of the mean image, frames that stand out, and the border that shifts leave."""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.numerics.gaussian import gaussian_weights
from caiman_pipeline.numerics.noise import robust_deviation

# Standard deviation of the outer Gaussian, in those of the inner one.
SURROUND = 3.0
# Share of its usual strength below which the scene is lost from a frame: no activity halves it.
LEAST_GAIN = 0.5


def crispness(image: FloatArray, mask: BoolArray) -> float:
    """Return the norm of an image's gradient over the pixels of ``mask`` (bool), larger for a sharper image.

    Parameters
    ----------
    image : float32 (*dims)
        Any unit.
    mask : bool (*dims)
        Pixels that count; steps between two of them are taken.

    Returns
    -------
    float
        Norm, in the image's unit per pixel.

    References
    ----------
    Pnevmatikakis & Giovannucci 2017, NoRMCorre. doi:10.1016/j.jneumeth.2017.07.031

    Examples
    --------
    >>> import numpy as np
    >>> edge = np.zeros((4, 6), np.float32)
    >>> edge[:, 3:] = 2.0                                  # a step of 2 in each of four rows
    >>> crispness(edge, np.ones((4, 6), bool))
    4.0
    """
    total = 0.0
    for axis in range(image.ndim):
        if image.shape[axis] < 2:
            continue
        low = [slice(None)] * image.ndim
        high = list(low)
        low[axis], high[axis] = slice(0, -1), slice(1, None)
        both = mask[tuple(low)] & mask[tuple(high)]
        step = image[tuple(high)].astype(np.float64) - image[tuple(low)]
        total += float((step[both] ** 2).sum())
    return float(np.sqrt(total))


def structures(image: FloatArray, width: tuple[float, ...] | None) -> FloatArray:
    """Return what registration follows of an image: ``filters.band_pass`` for one image, and without compiled code.

    A camera's fixed pattern is sharp in the raw mean, and blurred by shifts: it is no measure of them.

    Parameters
    ----------
    image : float32 (*dims)
        Any unit.
    width : tuple of float, or None
        Standard deviation of the inner Gaussian per axis, pixels; None to return the image as it is.

    Returns
    -------
    float (*dims)
        The image, filtered along rows and columns, float64 where it was.
    """
    if width is None:
        return image
    fine: FloatArray = image.astype(np.float64)
    coarse = fine
    for axis, sigma in zip((-2, -1), width[-2:], strict=True):
        fine, coarse = _smooth(fine, sigma, axis), _smooth(coarse, SURROUND * sigma, axis)
    return fine - coarse


def _smooth(image: FloatArray, sigma: float, axis: int) -> FloatArray:
    """Convolve with a Gaussian along one axis; beyond its ends an image goes on point-symmetrically."""
    taps, size = gaussian_weights(sigma), image.shape[axis]
    reach = len(taps) // 2
    widths = [(0, 0)] * image.ndim
    widths[axis] = (reach, reach)
    padded = np.moveaxis(np.pad(image, widths, mode="reflect", reflect_type="odd"), axis, -1)
    total = sum(tap * padded[..., k : k + size] for k, tap in enumerate(taps))
    return np.moveaxis(np.asarray(total), -1, axis)


def unlike_frames(correlation: FloatArray, good: BoolArray, *, deviations: float) -> BoolArray:
    """Return which good frames are less like the template than nearly all others.

    Parameters
    ----------
    correlation : float32 (T,)
        Of each frame with the template.
    good : bool (T,)
        Frames that hold something.
    deviations : float
        How many robust standard deviations below the median.

    Returns
    -------
    bool (T,)
        Never a frame that is not good, nor one whose correlation is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> correlation = np.array([0.90, 0.91, 0.92, 0.20, 0.91], np.float32)
    >>> unlike_frames(correlation, np.ones(5, bool), deviations=6.0).tolist()
    [False, False, False, True, False]
    """
    known = correlation[good & np.isfinite(correlation)]
    if not len(known):
        return np.zeros(len(correlation), bool)
    middle = np.median(known)
    return good & (correlation < middle - deviations * max(robust_deviation(known), 1e-6))


def damaged_frames(
    correlation: FloatArray, likeness: FloatArray, gain: FloatArray, good: BoolArray, *, deviations: float
) -> BoolArray:
    """Return which good frames are unlike the template for another reason than that cells are active, bool (T,).

    Parameters
    ----------
    correlation : float32 (T,)
        Of each frame with the template.
    likeness : float32 (T,)
        The same where activity counts little.
    gain : float32 (T,)
        How strong the template is in each frame, 1 as in the template.
    good : bool (T,)
        Frames that hold something.
    deviations : float
        How many robust standard deviations below the median.

    Returns
    -------
    bool (T,)
        Never a frame that is not good.

    Notes
    -----
    Bright activity takes correlation away, but leaves the likeness and the scene as they are. Damage (tearing,
    stripes, closed shutters) takes away both, or the scene itself.
    """
    if not good.any():
        return np.zeros(len(good), bool)
    lost = gain < LEAST_GAIN * np.median(gain[good])
    unlike = unlike_frames(likeness, good, deviations=deviations) | lost
    return unlike & unlike_frames(correlation, good, deviations=deviations)


def border_widths(valid: BoolArray) -> IntArray:
    """Return how many lines at each end of each axis are not valid; half a line is enough.

    Parameters
    ----------
    valid : bool (*dims)
        Pixels inside the field of view.

    Returns
    -------
    int64 (ndim, 2)
        Lines before and after, pixels; all before, where no pixel is valid.

    Examples
    --------
    >>> import numpy as np
    >>> valid = np.ones((6, 8), bool)
    >>> valid[:2], valid[:, -3:] = False, False
    >>> border_widths(valid).tolist()
    [[2, 0], [0, 3]]
    """
    widths = np.zeros((valid.ndim, 2), np.int64)
    for axis in range(valid.ndim):
        line = valid.mean(axis=tuple(a for a in range(valid.ndim) if a != axis))
        inside = line >= 0.5 * line.max() if line.max() > 0 else np.zeros(len(line), bool)
        if inside.any():
            widths[axis] = np.argmax(inside), np.argmax(inside[::-1])
        else:
            widths[axis] = len(line), 0
    return widths


def frames_beyond(rigid: FloatArray, widths: IntArray) -> BoolArray:
    """Return which frames are shifted further than a border.

    Parameters
    ----------
    rigid : float32 (T, ndim)
        Displacement of the scene, pixels.
    widths : int64 (ndim, 2)
        Border before and after along each axis, pixels.

    Returns
    -------
    bool (T,)
        True where a shift exceeds the border on its side along any axis.
    """
    return np.asarray(((rigid > widths[:, 1]) | (rigid < -widths[:, 0])).any(1))
