"""How much of a trace follows the movement of the scene: what registration leaves behind flickers with it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from scipy.ndimage import uniform_filter1d

from caiman_pipeline.extraction.binning import bin_traces
from caiman_pipeline.model.arrays import BoolArray, FloatArray


@dataclass(frozen=True)
class Movement:
    """Displacement of the frames, pixels (T, ndim), which of them to look at, bool (T,), and what counts as slow.

    Running means over ``window_frames`` are taken off, so that drifts do not count.
    """

    shifts: FloatArray
    usable: BoolArray
    window_frames: int

    def binned(self, bin_frames: int) -> Movement:
        """Return the same for averages over bins of frames; a bin is usable if all of its frames are.

        Parameters
        ----------
        bin_frames : int
            Frames of a bin.

        Returns
        -------
        Movement
            Of the bins.
        """
        shifts, usable = (bin_traces(rows, bin_frames=bin_frames) for rows in (self.shifts.T, self.usable[None] * 1.0))
        return Movement(shifts.T, usable[0] == 1, max(1, round(self.window_frames / bin_frames)))


def motion_share(traces: FloatArray, movement: Movement) -> FloatArray:
    """Return the share of each trace's variance that the displacement of the frames explains.

    Parameters
    ----------
    traces : float32 (K, T)
        Any unit, no gaps.
    movement : Movement
        Displacement of the same frames.

    Returns
    -------
    float32 (K,)
        Share, 0 to 1; 0 where nothing moves, NaN for a constant trace.

    Notes
    -----
    Least squares on the displacement along each axis, its squares and products. Trace and displacement of unrelated
    origin share about one part in the number of independent frames for each of these.
    """
    return explained_share(traces, movement, displacement_basis(movement))


def displacement_basis(movement: Movement) -> FloatArray:
    """Return orthonormal columns that span the displacement of the usable frames, its squares and products.

    Parameters
    ----------
    movement : Movement
        Displacement of T frames.

    Returns
    -------
    float64 (n, m)
        For the n usable frames; no columns where nothing moves.
    """
    terms = _terms(movement.shifts.astype(np.float64), movement.window_frames)[movement.usable]
    terms = terms[:, terms.std(0) > 1e-6] if len(terms) else terms[:, :0]
    return np.linalg.qr(terms / terms.std(0))[0] if terms.size else terms


def explained_share(traces: FloatArray, movement: Movement, basis: FloatArray) -> FloatArray:
    """Return ``motion_share`` of some traces, given the displacement's basis.

    Parameters
    ----------
    traces : float32 (K, T)
        Any unit, no gaps.
    movement : Movement
        Displacement of the same frames.
    basis : float64 (n, m)
        What ``displacement_basis`` returns.

    Returns
    -------
    float32 (K,)
        Share, 0 to 1; 0 where nothing moves, NaN for a constant trace.
    """
    share = np.zeros(len(traces), np.float32)
    if not basis.size:
        return share
    for k, trace in enumerate(traces):
        fast = _fast(trace.astype(np.float64), movement.window_frames)[movement.usable]
        fast -= fast.mean()
        power = float(fast @ fast)
        share[k] = float(((fast @ basis) ** 2).sum()) / power if power > 0 else np.nan
    return share


def _terms(shifts: FloatArray, window_frames: int) -> FloatArray:
    """Return displacements, their squares and products, (T, n), each without its running mean and its mean."""
    pairs = combinations_with_replacement(range(shifts.shape[1]), 2)
    columns = [*shifts.T, *(shifts[:, a] * shifts[:, b] for a, b in pairs)]
    fast = np.stack([_fast(column, window_frames) for column in columns], axis=1)
    return fast - fast.mean(0)


def _fast(values: FloatArray, window_frames: int) -> FloatArray:
    return values - uniform_filter1d(values, min(window_frames, len(values)), mode="nearest")
