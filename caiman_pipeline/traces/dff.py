"""Baseline fluorescence and DF/F of demixed traces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix

from caiman_pipeline.parallel import row_slabs
from caiman_pipeline.traces.baseline import baseline_quantile, running_baseline
from caiman_pipeline.types import Background, FloatArray

DffKind = Literal["dff", "detrended", "dff_over_noise"]
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
class Dff:
    """Relative fluorescence and its F0, float32 (K, T), the quantile used in percent, and where F0 is invalid, (K,)."""

    values: FloatArray
    f0: FloatArray
    quantile: FloatArray
    invalid: FloatArray


def background_under(background: Background, footprints_t: FloatArray, *, dark_level: float) -> FloatArray:
    """Return what the background adds under each footprint: footprint^T (static + spatial temporal - dark level).

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
    mix, n_frames = (footprints_t @ background.spatial).tocsr(), background.temporal.shape[1]
    under = np.empty((len(level), n_frames), np.float32)
    for k in range(len(level)):
        entries = slice(mix.indptr[k], mix.indptr[k + 1])
        near, n_near = mix.indices[entries], entries.stop - entries.start
        share = csr_matrix((mix.data[entries], np.arange(n_near), [0, n_near]), shape=(1, n_near))
        for start, stop in row_slabs(n_frames, FRAMES_AT_ONCE):
            under[k, start:stop] = level[k] + (share @ background.temporal[near, start:stop])[0]
    return under


def relative_fluorescence(
    traces: FloatArray,
    background: FloatArray,
    noise: FloatArray,
    method: DffMethod,
    *,
    model: FloatArray | None,
    transients: FloatArray | None,
    threads: int,
) -> Dff:
    """Return DF/F (or the kind asked for) of demixed traces, and their F0.

    Parameters
    ----------
    traces : float32 (K, T), demixed fluorescence
    background : float32 (K, T), background under each footprint, in the same unit
    noise : (K,), standard deviation per frame
    model : float32 (K, T), the traces without their noise, to relate to F0 in their place
    transients : float32 (K, T), what to take out of the traces before their level is looked for, unless the method
        names a quantile
    threads : traces to work on at a time

    Returns
    -------
    Dff

    Notes
    -----
    F0 is a running level of the trace plus the running median of its background, so fluctuations of the background do
    not enter, slow bleaching does. The level is the running median of the trace without its transients, where they are
    known: of a busy cell, no quantile of the trace itself is its resting level. Else it is a running quantile, that of
    each trace's quiet level, looked for in all windows; CaImAn takes it from the first window. Where F0 is not above
    the noise of a single frame there is no baseline to relate to: ``dff`` is NaN and the trace flagged. The other kinds
    have no use for F0's size.

    References
    ----------
    Jia, Rochefort, Chen & Konnerth (2011), Nat Protoc, 10.1038/nprot.2010.169.
    """
    half = method.window_frames // 2
    middle = np.full(len(traces), 0.5)
    if method.quantile is not None:
        resting, quantile = traces, np.full(len(traces), method.quantile / 100.0)
    elif transients is not None:
        resting, quantile = traces - transients, middle
    else:
        resting, quantile = traces, baseline_quantile(traces, method.window_frames, threads=threads)
    quiet, under = (
        running_baseline(t, q, half_frames=half, fast=method.fast, threads=threads)
        for t, q in ((resting, quantile), (background, middle))
    )
    f0 = quiet + under
    values, invalid = (traces if model is None else model) - quiet, np.zeros(len(traces), bool)
    if method.kind == "dff":
        usable = f0 > noise[:, None]
        invalid = (np.isfinite(traces) & ~usable).any(1)
        values = np.divide(values, f0, out=np.full_like(values, np.nan), where=usable)
    elif method.kind == "dff_over_noise":
        scale = noise[:, None].astype(np.float32)
        values = np.divide(values, scale, out=np.full_like(values, np.nan), where=scale > 0)
    return Dff(values, f0, (100.0 * quantile).astype(np.float32), invalid)
