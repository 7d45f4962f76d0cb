"""The ``traces`` stage: deconvolution and DF/F of all components."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from caiman_pipeline.config.traces import TraceSettings
from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.components import Components
from caiman_pipeline.model.traces import Traces
from caiman_pipeline.traces.activity import infer_block, rows_per_block
from caiman_pipeline.traces.counted_events import events_of
from caiman_pipeline.traces.decays import far_decays, own_decays
from caiman_pipeline.traces.dff import DffMethod, Relative, background_under, relative_fluorescence
from caiman_pipeline.traces.foopsi import Deconvolution
from caiman_pipeline.traces.resting import neighbours_light
from caiman_pipeline.traces.timing import Timing

# Tables with a value for each component and frame.
TABLES = ("denoised", "deconvolved", "fluorescence", "background", "f0", "dff", "dff_denoised")


@dataclass(frozen=True)
class _Block:
    """Results of some components; ``background`` is float32 (K, T)."""

    activity: Deconvolution
    relative: Relative
    background: FloatArray

    def tables(self) -> dict[str, FloatArray]:
        """Return what has a value for each frame, by its name in the results."""
        relative = self.relative
        return {
            "denoised": self.activity.denoised,
            "deconvolved": self.activity.deconvolved,
            "fluorescence": relative.fluorescence,
            "background": self.background,
            "f0": relative.f0,
            "dff": relative.values,
            "dff_denoised": relative.denoised,
        }


def extract_traces(
    components: Components,
    settings: TraceSettings,
    timing: Timing,
    *,
    pixel_height: float,
    threads: int,
    progress: Callable[[int, int], None],
    new_table: Callable[[str, tuple[int, int], type], Any] = lambda _, shape, kind: np.empty(shape, kind),
) -> Traces:
    """Deconvolve every component's demixed trace and relate its fluorescence to F0.

    Parameters
    ----------
    components : Components
        Footprints, traces and background of a recording.
    settings : TraceSettings
        Section ``traces``.
    timing : Timing
        Rate of the traces (of bins, where the components are binned) and decay time.
    pixel_height : float
        Height of a pixel, in its widths.
    threads : int
        Traces to work on at a time.
    progress : callable
        Called with the components done so far, and all of them.
    new_table : callable, optional
        Returns a table of the given name, shape and type, to be filled row by row: in memory, or in a file.

    Returns
    -------
    Traces
        Row-aligned with ``components.ids``.

    Notes
    -----
    Components are taken in blocks: with their traces and the tables in files, memory does not grow with the number
    of components, and little with the number of frames.

    References
    ----------
    Pnevmatikakis et al. 2016, 10.1016/j.neuron.2015.11.037; Jia et al. 2011, 10.1038/nprot.2010.169.
    """
    n, n_frames = components.denoised.shape
    whole = {name: new_table(name, (n, n_frames), np.float32) for name in TABLES}
    columns: list[dict[str, FloatArray]] = []
    flags: list[str] = []
    step, beside = rows_per_block(n_frames), neighbours_light(components, pixel_height=pixel_height)
    for start in range(0, max(n, 1), step):
        rows = slice(start, min(start + step, n))
        block = _extract_block(components, rows, settings, timing, beside=beside[rows], threads=threads)
        for name, values in block.tables().items():
            whole[name][rows] = values
        columns.append(_columns(block, timing, event_height=settings.event_height))
        flags += _join_flags(block, columns[-1], timing)
        progress(rows.stop, n)
    joined = {name: np.concatenate([c[name] for c in columns]) for name in columns[0]}
    return Traces(
        ids=components.ids, dff_kind=settings.dff_kind, flags=tuple(flags), neighbours_light=beside, **whole, **joined
    )


def dff_method(settings: TraceSettings, timing: Timing) -> DffMethod:
    """Turn settings in seconds into frames, as far as F0 and DF/F are concerned.

    Parameters
    ----------
    settings : TraceSettings
        Section ``traces``.
    timing : Timing
        Rate of the traces.

    Returns
    -------
    DffMethod
        Window of at least two frames, quantile and kind.
    """
    window_frames = max(2, round(timing.frames(settings.f0_window_s)))
    return DffMethod(settings.dff_kind, window_frames, settings.f0_quantile, settings.f0_fast)


def _extract_block(
    components: Components, rows: slice, settings: TraceSettings, timing: Timing, *, beside: FloatArray, threads: int
) -> _Block:
    demixed = components.denoised[rows] + components.residual[rows]
    inferred = infer_block(demixed, settings, timing, threads=threads)
    footprints_t = components.footprints[:, rows].T.tocsr()
    under = background_under(components.background, footprints_t, dark_level=settings.dark_level)
    # The levels see of the background what the file shows of it.
    under = np.where(np.isfinite(demixed), under - beside[:, None], np.float32(np.nan))
    relative = relative_fluorescence(
        demixed,
        under,
        inferred.activity.noise,
        dff_method(settings, timing),
        model=inferred.fluorescence,
        transients=inferred.transients if settings.f0_from == "model" and settings.order else None,
        threads=threads,
    )
    return _Block(inferred.activity, relative, under)


def _columns(block: _Block, timing: Timing, *, event_height: float) -> dict[str, FloatArray]:
    activity = block.activity
    rates, heights = events_of(
        activity.denoised, activity.noise, height=event_height, frame_rate_hz=timing.frame_rate_hz
    )
    return {
        "baseline": activity.baseline,
        "noise": activity.noise,
        "ar": activity.ar,
        "sparsity": activity.sparsity,
        "event_snr": heights,
        "event_rate_hz": rates,
        "own_decay_s": own_decays(activity, timing),
    }


def _join_flags(block: _Block, columns: dict[str, FloatArray], timing: Timing) -> list[str]:
    invalid = ("f0_invalid" if bad else "" for bad in block.relative.invalid)
    far = ("decay_far" if f else "" for f in far_decays(columns["own_decay_s"], timing.decay_time_s))
    return [" ".join(filter(None, words)) for words in zip(block.activity.flags, invalid, far, strict=True)]
