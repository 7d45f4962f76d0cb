"""The motion settings of one recording in pixels and frames."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Bounds, Dims

if TYPE_CHECKING:
    from caiman_pipeline.config.base import Length
    from caiman_pipeline.config.motion import MotionSettings

# Volumes of fewer planes are not corrected across them: too few would be left in common.
FEWEST_PLANES = 5


@dataclass(frozen=True)
class MotionPlan:
    """What to estimate and how, per axis of the movie, (row, column) or (plane, row, column).

    Attributes
    ----------
    dims : size of a frame
    region : part of it to work on, (start, stop) per axis
    max_shift, max_deviation : whole pixels, zero for axes that are not corrected
    spacing : pixels between nodes of the displacement field, None for rigid motion
    patch_spacing : what ``spacing`` is, or would be if motion were not rigid
    patch_size : pixels, window in which local displacement is first looked for
    high_pass : standard deviation in pixels of the structures that registration follows, or None
    reach : frames on either side over which local motion may be smoothed
    """

    dims: Dims
    region: Bounds
    max_shift: tuple[int, ...]
    max_deviation: tuple[int, ...]
    spacing: tuple[float, ...] | None
    patch_spacing: tuple[float, ...]
    patch_size: tuple[float, ...]
    high_pass: tuple[float, ...] | None
    reach: int


def make_plan(settings: MotionSettings, *, dims: Dims, frame_rate_hz: float) -> MotionPlan:
    """Resolve settings for a movie with frames of ``dims``.

    Parameters
    ----------
    settings : MotionSettings
        Section ``motion``.
    dims : tuple of int
        (H, W) or (D, H, W) of a frame.
    frame_rate_hz : float
        Frames (or volumes) per second.

    Returns
    -------
    MotionPlan
        What to estimate, in pixels and frames.

    Raises
    ------
    PipelineError
        If the region does not fit the frames.
    """
    spacing = _per_axis(settings.patch_spacing, len(dims))
    return MotionPlan(
        dims=dims,
        region=resolve_region(settings.region, dims),
        max_shift=_whole(settings.max_shift, dims),
        max_deviation=_whole(settings.max_deviation, dims),
        spacing=spacing if settings.method == "piecewise" else None,
        patch_spacing=spacing,
        patch_size=_per_axis(settings.patch_size, len(dims)),
        high_pass=high_pass_px(settings, dims),
        reach=round(settings.smoothing_s * frame_rate_hz),
    )


def high_pass_px(settings: MotionSettings, dims: Dims) -> tuple[float, ...] | None:
    """Return the size of the structures that registration follows, pixels along each axis, or None."""
    return None if settings.high_pass is None else _per_axis(settings.high_pass, len(dims))


def _per_axis(length: Length, ndim: int) -> tuple[float, ...]:
    return tuple(max(v, 1e-3) for v in length.per_axis(ndim))


def _whole(length: Length, dims: Dims) -> tuple[int, ...]:
    """Return a length in whole pixels, at most a third of each axis; zero across a few planes."""
    limits = [0 if len(dims) == 3 and axis == 0 and n < FEWEST_PLANES else n // 3 for axis, n in enumerate(dims)]
    return tuple(min(ceil(v), limit) for v, limit in zip(length.per_axis(len(dims)), limits, strict=True))


def capped_lengths(settings: MotionSettings, dims: Dims) -> tuple[str, ...]:
    """Say which lengths are more than a third of an axis, which is as far as displacement can be looked for.

    Across planes it is said only of lengths other than the default, which few volumes are thick enough for.

    Parameters
    ----------
    settings : MotionSettings
        Section ``motion``.
    dims : tuple of int
        (H, W) or (D, H, W) of a frame.

    Returns
    -------
    tuple of str
        One sentence per length that was cut.
    """
    said = []
    for name in ("max_shift", "max_deviation") if settings.method != "none" else ():
        length: Length = getattr(settings, name)
        asked, found = length.per_axis(len(dims)), _whole(length, dims)
        default = str(length) == type(settings).model_fields[name].default
        axes = range(1 if default and len(dims) == 3 else 0, len(dims))
        if any(ceil(asked[axis]) > found[axis] > 0 for axis in axes):
            reach = " x ".join(map(str, found))
            said.append(
                f"`motion.{name}` of {' x '.join(f'{a:g}' for a in asked)} px is more than a third of frames of "
                f"{' x '.join(map(str, dims))}: displacement is looked for up to {reach} px"
            )
    return tuple(said)


def resolve_region(region: list[tuple[int, int]] | None, dims: Dims) -> Bounds:
    """Return (start, stop) per axis of the part of the field of view to work on.

    Parameters
    ----------
    region : list of (int, int), or None
        First pixel along each axis and the one after the last; None for the whole frame.
    dims : tuple of int
        (H, W) or (D, H, W) of a frame.

    Returns
    -------
    tuple of (int, int)
        The same for every axis.

    Raises
    ------
    PipelineError
        If it has another number of axes or does not lie inside the frame.

    Examples
    --------
    >>> resolve_region(None, (96, 128))
    ((0, 96), (0, 128))
    >>> resolve_region([(8, 90), (0, 128)], (96, 128))
    ((8, 90), (0, 128))
    """
    if region is None:
        return tuple((0, n) for n in dims)
    inside = len(region) == len(dims) and all(0 <= a < b <= n for (a, b), n in zip(region, dims, strict=True))
    if not inside:
        raise PipelineError(
            f"`motion.region`: {[list(r) for r in region]} does not lie inside frames of {dims}. "
            f"Give [start, stop] in pixels for each of the {len(dims)} axes."
        )
    return tuple((int(a), int(b)) for a, b in region)
