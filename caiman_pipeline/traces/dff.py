"""Baseline fluorescence and DF/F of demixed traces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix

from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.model.background import Background
from caiman_pipeline.numerics.threads import row_slabs
from caiman_pipeline.traces.baseline import baseline_quantile, running_baseline

DffKind = Literal["dff", "detrended", "dff_over_noise"]
# Frames that are worked on at a time; a matter of memory alone.
FRAMES_AT_ONCE = 2**17


@dataclass(frozen=True)
class DffMethod:
    """How to find F0 and what to divide by.

    Attributes
    ----------
    kind : ``dff`` (F - F0) / F0, ``detrended`` F - F0, or ``dff_over_noise`` (F - F0) / noise
    window_frames : length of the running window
    quantile : in percent, or None to find each trace's resting level
    fast : approximate the running quantile
    """

    kind: DffKind
    window_frames: int
    quantile: float | None
    fast: bool


@dataclass(frozen=True)
class Relative:
    """Fluorescence and its F0, and what the one is beside the other, float32 (K, T) where not said otherwise.

    Attributes
    ----------
    fluorescence : F, the traces and the slow level of the background under them
    f0 : resting level of the traces and the same slow level
    values : of the kind asked for, made of ``fluorescence`` and ``f0`` as they are here
    denoised : the same of the model in place of the traces
    quantile : float32 (K,), of the resting level, in percent
    invalid : bool (K,), where F0 is somewhere too small to divide by; there it is NaN, with all that is related to it
    """

    fluorescence: FloatArray
    f0: FloatArray
    values: FloatArray
    denoised: FloatArray
    quantile: FloatArray
    invalid: BoolArray


def background_under(background: Background, footprints_t: csr_matrix, *, dark_level: float) -> FloatArray:
    """Return what the background adds under each footprint: the static part less the dark level, and its signals.

    Parameters
    ----------
    background : its signals may be a table that stays in its file: those near each footprint are read in turn
    footprints_t : sparse (K, P), transposed footprints of unit norm
    dark_level : pixel value without light

    Returns
    -------
    float32 (K, T), in pixel values x footprint norm.
    """
    level = footprints_t @ (background.static.astype(np.float64) - dark_level)
    mix, n_frames = background.shares(footprints_t), background.signals.shape[1]
    under = np.empty((len(level), n_frames), np.float32)
    for k in range(len(level)):
        entries = slice(mix.indptr[k], mix.indptr[k + 1])
        near, n_near = mix.indices[entries], entries.stop - entries.start
        share = csr_matrix((mix.data[entries], np.arange(n_near), [0, n_near]), shape=(1, n_near))
        for start, stop in row_slabs(n_frames, FRAMES_AT_ONCE):
            under[k, start:stop] = level[k] + (share @ background.signals[near, start:stop])[0]
    return under


def relative_fluorescence(
    traces: FloatArray,
    background: FloatArray,
    noise: FloatArray,
    method: DffMethod,
    *,
    model: FloatArray,
    transients: FloatArray | None,
    threads: int,
) -> Relative:
    """Return F, F0 and DF/F (or the kind asked for) of demixed traces.

    Parameters
    ----------
    traces : float32 (K, T)
        Demixed fluorescence.
    background : float32 (K, T)
        Background under each footprint, in the same unit.
    noise : float (K,)
        Standard deviation per frame, in the same unit.
    method : DffMethod
        How to find F0 and what to divide by.
    model : float32 (K, T)
        The traces without their noise.
    transients : float32 (K, T), or None
        What to take out of the traces before their level is looked for, unless the method names a quantile.
    threads : int
        Traces to work on at a time.

    Returns
    -------
    Relative
        F and F0 in the traces' unit, and the kind asked for.

    Notes
    -----
    F is the trace and the running median of its background, F0 the running level of the trace and the same median: so
    fluctuations of the background do not enter, slow bleaching does. The level is the running median of the trace
    without its transients, where they are known: of a busy cell, no quantile of the trace itself is its resting level.
    Else it is a running quantile, that of each trace's quiet level, looked for in all windows; CaImAn takes it from the
    first window. Where F0 is not above the noise of a single frame there is no baseline to relate to: F0 and ``dff``
    are NaN and the trace flagged. The other kinds have no use for F0's size. Missing frames are left out of all levels
    and stay missing in F, F0 and what is related to them.

    References
    ----------
    Jia, Rochefort, Chen & Konnerth (2011), Nat Protoc, 10.1038/nprot.2010.169.

    Examples
    --------
    >>> import numpy as np
    >>> trace = np.zeros((1, 200), np.float32)
    >>> trace[0, 50:55] = 40.0                                     # a transient on 20 of background
    >>> method = DffMethod("dff", window_frames=100, quantile=50.0, fast=False)
    >>> found = relative_fluorescence(trace, np.full_like(trace, 20), np.ones(1), method,
    ...                               model=trace, transients=None, threads=1)
    >>> float(found.f0[0, 0]), float(found.values[0, 52])
    (20.0, 2.0)
    """
    quiet, quantile = _resting_level(traces, method, transients=transients, threads=threads)
    slow = slow_level(background, method, threads=threads)
    fluorescence, f0 = (traces + slow).astype(np.float32), quiet + slow
    f0[~np.isfinite(traces)] = np.nan
    invalid: BoolArray = np.zeros(len(traces), bool)
    if method.kind == "dff":
        usable = f0 > noise[:, None]
        invalid = np.any(np.isfinite(traces) & ~usable, axis=1)
        f0 = np.where(usable, f0, np.float32(np.nan))
    values = relate(fluorescence, f0, noise, method.kind)
    denoised = relate((model + slow).astype(np.float32), f0, noise, method.kind)
    return Relative(fluorescence, f0, values, denoised, (100.0 * quantile).astype(np.float32), invalid)


def _resting_level(
    traces: FloatArray, method: DffMethod, *, transients: FloatArray | None, threads: int
) -> tuple[FloatArray, FloatArray]:
    """Return the running level of traces at rest, float32 (K, T), and the quantile (0 to 1) that it is, (K,)."""
    if method.quantile is not None:
        resting, quantile = traces, np.full(len(traces), method.quantile / 100.0)
    elif transients is not None:
        resting, quantile = traces - transients, np.full(len(traces), 0.5)
    else:
        resting, quantile = traces, baseline_quantile(traces, method.window_frames, threads=threads)
    half = method.window_frames // 2
    return running_baseline(resting, quantile, half_frames=half, fast=method.fast, threads=threads), quantile


def slow_level(background: FloatArray, method: DffMethod, *, threads: int) -> FloatArray:
    """Return the running median of the background under each footprint.

    Parameters
    ----------
    background : float32 (K, T)
        Background under each footprint, any unit; NaN in frames that are left out.
    method : DffMethod
        Length of the window, and whether to approximate.
    threads : int
        Traces to work on at a time.

    Returns
    -------
    float32 (K, T)
        Its slow level, in the same unit.
    """
    middle, half = np.full(len(background), 0.5), method.window_frames // 2
    return running_baseline(background, middle, half_frames=half, fast=method.fast, threads=threads)


def relate(fluorescence: FloatArray, f0: FloatArray, noise: FloatArray, kind: DffKind) -> FloatArray:
    """Return (F - F0) / F0, F - F0 or (F - F0) / noise; NaN where there is nothing to divide by.

    Parameters
    ----------
    fluorescence : float32 (K, T)
        F, any unit.
    f0 : float32 (K, T)
        Its resting level, in the same unit.
    noise : float (K,)
        Standard deviation per frame, in the same unit.
    kind : str
        ``dff``, ``detrended`` or ``dff_over_noise``.

    Returns
    -------
    float32 (K, T)
        DF/F without unit; in the unit of F where detrended; in standard deviations over noise.

    Examples
    --------
    >>> import numpy as np
    >>> f, f0 = np.array([[30.0, 10.0]], np.float32), np.array([[10.0, 0.0]], np.float32)
    >>> relate(f, f0, np.ones(1), "dff").tolist()
    [[2.0, nan]]
    """
    above = fluorescence - f0
    if kind == "detrended":
        return above
    unit = f0 if kind == "dff" else np.broadcast_to(noise[:, None].astype(np.float32), above.shape)
    return np.divide(above, unit, out=np.full_like(above, np.nan), where=unit > 0)
