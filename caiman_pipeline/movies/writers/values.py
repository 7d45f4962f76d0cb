"""Pixels of one type turned into those of another: as they are, or stretched between two values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caiman_pipeline.model.arrays import NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.readers.open import FrameReader

# Frames, evenly over the movie, and pixels in all, whose values stand for the movie's when quantiles are asked for.
SAMPLED_FRAMES, SAMPLED_VALUES = 64, 2**24


@dataclass(frozen=True)
class Conversion:
    """How pixels are written.

    Attributes
    ----------
    dtype : type in the file
    limits : values that become the type's smallest and largest, those beyond are cut off; None: values stay as they are
    """

    dtype: np.dtype
    limits: tuple[float, float] | None = None

    def apply(self, frames: NumberArray, *, first: int) -> NumberArray:
        """Return frames (t, *dims) in the file's type; ``first`` is the number of the first of them, for messages.

        Raises
        ------
        PipelineError
            If a value does not fit and limits are not given.

        Notes
        -----
        Without limits, floats become whole numbers by rounding. With limits, what is not a number becomes the smallest.
        """
        if self.limits is not None:
            return self._stretch(frames)
        if self.dtype.kind == "f" or frames.dtype == self.dtype:
            return frames.astype(self.dtype, copy=False)
        rounded = np.rint(frames) if frames.dtype.kind == "f" else frames
        self._require_fitting(rounded, first)
        return rounded.astype(self.dtype)

    def _require_fitting(self, values: NumberArray, first: int) -> None:
        bounds = np.iinfo(self.dtype)
        fits = (values >= bounds.min) & (values <= bounds.max)  # not so for what is not a number
        if not fits.all():
            frame = int(np.argwhere(~fits)[0][0])
            raise PipelineError(
                f"frame {first + frame} holds {values[~fits][0]:g}, which {self.dtype} cannot hold. Choose another "
                "`--dtype`, or stretch the values between quantiles (`--quantiles 0.001 0.999`)."
            )

    def _stretch(self, frames: NumberArray) -> NumberArray:
        assert self.limits is not None
        low, high = self.limits
        share = np.clip((frames.astype(np.float64) - low) / (high - low), 0.0, 1.0)
        share = np.where(np.isnan(share), 0.0, share)
        if self.dtype.kind == "f":
            return share.astype(self.dtype)
        bounds = np.iinfo(self.dtype)
        return np.rint(bounds.min + share * (float(bounds.max) - bounds.min)).astype(self.dtype)


def quantile_limits(movie: FrameReader, low: float, high: float) -> tuple[float, float]:
    """Return two quantiles of a movie's finite values, from frames and pixels evenly over it.

    Parameters
    ----------
    movie : frames on demand
    low, high : between 0 and 1

    Raises
    ------
    PipelineError
        If the quantiles are not in order, or nothing is between them.
    """
    if not 0 <= low < high <= 1:
        raise PipelineError(f"quantiles are two numbers from 0 to 1 in rising order, found {low:g} and {high:g}.")
    chosen = np.unique(np.linspace(0, movie.n_frames - 1, SAMPLED_FRAMES).astype(np.int64))
    step = max(1, int(np.prod(movie.dims, dtype=np.int64)) * len(chosen) // SAMPLED_VALUES)
    values = np.concatenate([movie.read(int(t), int(t) + 1).reshape(-1)[::step] for t in chosen])
    values = values[np.isfinite(values)]
    if not values.size:
        raise PipelineError("the movie holds no finite value in the frames looked at.")
    found = np.quantile(values.astype(np.float64), [low, high])
    if found[0] == found[1]:
        raise PipelineError(f"the quantiles {low:g} and {high:g} of the movie are both {found[0]:g}: nothing to show.")
    return float(found[0]), float(found[1])
