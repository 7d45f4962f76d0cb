"""Deconvolution, baselines and DF/F of traces in arrays or data frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from caiman_pipeline.config.plausible import wrong_timing
from caiman_pipeline.config.root import settings_for
from caiman_pipeline.config.traces import TraceSettings
from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.notebook.settings import Settings, make_config, threads_of, unreported
from caiman_pipeline.numerics.noise import noise_level
from caiman_pipeline.traces import activity
from caiman_pipeline.traces.dff import relative_fluorescence
from caiman_pipeline.traces.extract import dff_method
from caiman_pipeline.traces.foopsi import Deconvolution
from caiman_pipeline.traces.timing import Timing, timing_from


def deconvolve(
    traces: Any, frame_rate_hz: float, decay_time_s: float, *, settings: Settings = None, threads: int = 0
) -> Deconvolution:
    """Infer the activity behind fluorescence traces.

    Parameters
    ----------
    traces : (K, T) or (T,) array, or data frame with a column per trace
        Fluorescence in any unit; frames that are NaN are missing.
    frame_rate_hz : float
        Frames per second.
    decay_time_s : float
        Time in which a transient of the indicator falls to 1/e, seconds.
    settings : mapping or path, optional
        Sections as in config.yaml, of which `traces` is read, like ``{"traces": {"order": 1}}``.
    threads : int, optional
        Threads to use; 0 for all cores that were granted.

    Returns
    -------
    Deconvolution
        ``denoised`` and ``deconvolved``, float32 (K, T) in the unit of the traces: calcium, and what enters it in each
        frame. ``baseline`` and ``noise``, float32 (K,); ``flags``, what is the matter with a trace.

    Raises
    ------
    PipelineError
        If the traces are no table of numbers, or rate and decay cannot be right.

    References
    ----------
    Friedrich, Zhou & Paninski (2017), PLoS Comput Biol, https://doi.org/10.1371/journal.pcbi.1005423.

    Examples
    --------
    >>> import numpy as np
    >>> import caiman_pipeline as cp
    >>> rng = np.random.default_rng(0)
    >>> spikes = (rng.random(900) < 0.01).astype(float)
    >>> calcium = np.convolve(spikes, np.exp(-np.arange(90) / 15))[:900]    # 0.5 s at 30 Hz
    >>> found = cp.deconvolve(calcium + rng.normal(0, 0.1, 900), 30, 0.5)
    >>> bool(np.corrcoef(found.denoised[0], calcium)[0, 1] > 0.97)
    True
    """
    timing = timing_from(frame_rate_hz, decay_time_s)
    if problem := wrong_timing(frame_rate_hz, decay_time_s):
        raise PipelineError(problem)
    own, _ = settings_for(make_config(settings, {}), TraceSettings)
    return activity.infer_activity(_rows(traces), own, timing, threads=threads_of(threads), progress=unreported)


def detrend(traces: Any, frame_rate_hz: float, *, settings: Settings = None, threads: int = 0) -> FloatArray:
    """Take the slow baseline off traces: a running quantile, as before the deconvolution.

    Parameters
    ----------
    traces : (K, T) or (T,) array, or data frame with a column per trace
        Fluorescence in any unit; frames that are NaN are missing.
    frame_rate_hz : float
        Frames per second.
    settings : mapping or path, optional
        Sections as in config.yaml, of which `traces` is read (`detrend_window_s`, `detrend_quantile`).
    threads : int, optional
        Threads to use; 0 for all cores that were granted.

    Returns
    -------
    float32 (K, T), in the unit of the traces.

    Raises
    ------
    PipelineError
        If the traces are no table of numbers or a setting does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import caiman_pipeline as cp
    >>> drift = np.linspace(0, 50, 3000) + np.random.default_rng(0).normal(0, 0.5, 3000)
    >>> flat = cp.detrend(drift, 30)
    >>> bool(np.abs(flat.mean()) < 3 and flat.std() < 3)
    True
    """
    own, _ = settings_for(make_config(settings, {}), TraceSettings)
    timing = Timing(frame_rate_hz, np.nan)
    return activity.detrend(_rows(traces), own, timing, threads=threads_of(threads))


def delta_f_over_f(
    fluorescence: Any,
    frame_rate_hz: float,
    *,
    background: Any = None,
    settings: Settings = None,
    threads: int = 0,
) -> tuple[FloatArray, FloatArray]:
    """Relate fluorescence to its resting level.

    Parameters
    ----------
    fluorescence : (K, T) or (T,) array, or data frame with a column per trace
        Demixed or raw fluorescence in any unit, without the detector's offset; frames that are NaN are missing.
    frame_rate_hz : float
        Frames per second.
    background : like ``fluorescence``, optional
        Background under each footprint, in the same unit, where the traces do not hold it: its slow level counts as
        fluorescence at rest.
    settings : mapping or path, optional
        Sections as in config.yaml, of which `traces` is read (`dff_kind`, `f0_window_s`, `f0_quantile`).
    threads : int, optional
        Threads to use; 0 for all cores that were granted.

    Returns
    -------
    dff, f0 : float32 (K, T)
        DF/F, or the kind that `dff_kind` names, and F0 in the unit of the traces. Both are NaN where F0 is not above
        the noise of one frame.

    Raises
    ------
    PipelineError
        If the traces are no table of numbers, or background and fluorescence differ in size.

    References
    ----------
    Jia, Rochefort, Chen & Konnerth (2011), Nat Protoc, https://doi.org/10.1038/nprot.2010.169.

    Examples
    --------
    >>> import numpy as np
    >>> import caiman_pipeline as cp
    >>> f = 100 + np.random.default_rng(0).normal(0, 1, 3000)
    >>> f[500:530] += 50
    >>> dff, f0 = cp.delta_f_over_f(f, 30)
    >>> round(float(dff[0, 500:530].mean()), 1), round(float(np.median(f0)))
    (0.5, 100)
    """
    own, _ = settings_for(make_config(settings, {}), TraceSettings)
    rows, used = _rows(fluorescence), threads_of(threads)
    under = np.zeros_like(rows) if background is None else _rows(background)
    if under.shape != rows.shape:
        raise PipelineError(f"`background` is of {under.shape}, the fluorescence of {rows.shape} (traces, frames).")
    found = relative_fluorescence(
        rows,
        under,
        noise_level(rows, band=own.noise_band, average=own.noise_average, threads=used),
        dff_method(own, Timing(frame_rate_hz, np.nan)),
        model=rows,
        transients=None,
        threads=used,
    )
    return found.values, found.f0


def _rows(traces: Any) -> FloatArray:
    """Return traces as float32 (K, T).

    Raises
    ------
    PipelineError
        If they are no table of numbers.
    """
    table = traces.to_numpy().T if isinstance(traces, pd.DataFrame) else np.asarray(traces)
    if table.dtype.kind not in "iuf" or table.ndim not in (1, 2) or table.size == 0:
        raise PipelineError(f"traces are numbers of (traces, frames) or (frames,), found {table.dtype} {table.shape}.")
    return np.ascontiguousarray(np.atleast_2d(table), np.float32)
