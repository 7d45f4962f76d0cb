"""The ``traces`` stage: deconvolution and DF/F of all components."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from caiman_pipeline.config.traces import TraceSettings
from caiman_pipeline.traces.activity import Timing, event_heights, infer_block, rows_per_block
from caiman_pipeline.traces.dff import Dff, DffMethod, background_under, relative_fluorescence
from caiman_pipeline.traces.foopsi import Deconvolution
from caiman_pipeline.traces.resting import neighbours_light
from caiman_pipeline.types import Components, FloatArray, Traces


@dataclass(frozen=True)
class _Block:
    """Results of some components."""

    activity: Deconvolution
    fluorescence: Dff


def extract_traces(
    components: Components,
    settings: TraceSettings,
    timing: Timing,
    *,
    threads: int,
    progress: Callable[[int, int], None],
    new_table: Callable[[str, tuple[int, int], type], Any] = lambda _, shape, kind: np.empty(shape, kind),
) -> Traces:
    """Deconvolve every component's demixed trace and relate its fluorescence to F0.

    Parameters
    ----------
    timing : rate of the traces (of bins, where the components are binned) and decay time
    progress : called with the components done so far and in all
    new_table : returns a table of the given name, shape and type, to be filled row by row: in memory, or in a file

    Returns
    -------
    Traces
        Row-aligned with ``components.ids``.

    Notes
    -----
    Components are taken in blocks: with their traces and the tables in files, memory does not grow with the number
    of components, and little with the number of frames.
    """
    n, n_frames = components.denoised.shape
    whole = {name: new_table(name, (n, n_frames), np.float32) for name in ("denoised", "deconvolved", "f0", "dff")}
    columns: list[dict[str, FloatArray]] = []
    flags: list[str] = []
    step, beside = rows_per_block(n_frames), neighbours_light(components)
    for start in range(0, max(n, 1), step):
        rows = slice(start, min(start + step, n))
        block = _extract_block(components, rows, settings, timing, beside=beside[rows], threads=threads)
        whole["denoised"][rows], whole["deconvolved"][rows] = block.activity.denoised, block.activity.deconvolved
        whole["f0"][rows], whole["dff"][rows] = block.fluorescence.f0, block.fluorescence.values
        columns.append(_columns(block, timing))
        flags += _join_flags(block)
        progress(rows.stop, n)
    joined = {name: np.concatenate([c[name] for c in columns]) for name in columns[0]}
    return Traces(ids=components.ids, dff_kind=settings.dff_kind, flags=tuple(flags), **whole, **joined)


def _extract_block(
    components: Components, rows: slice, settings: TraceSettings, timing: Timing, *, beside: FloatArray, threads: int
) -> _Block:
    raw = components.denoised[rows] + components.residual[rows]
    inferred = infer_block(raw, settings, timing, threads=threads)
    method = DffMethod(
        kind=settings.dff_kind, window_frames=max(2, round(timing.frames(settings.f0_window_s))),
        quantile=settings.f0_quantile, fast=settings.f0_fast,
    )  # fmt: skip
    under = background_under(
        components.background, components.footprints[:, rows].T.tocsr(), dark_level=settings.dark_level
    )
    relative = relative_fluorescence(
        raw,
        under - beside[:, None],
        inferred.activity.noise,
        method,
        model=None if settings.use_residuals else inferred.fluorescence,
        transients=inferred.transients if settings.f0_from == "model" and settings.order else None,
        threads=threads,
    )
    return _Block(inferred.activity, relative)


def _columns(block: _Block, timing: Timing) -> dict[str, FloatArray]:
    activity = block.activity
    counts, heights = event_heights(activity.denoised, activity.noise)
    seconds = np.isfinite(activity.denoised).sum(1) / timing.frame_rate_hz
    return {
        "baseline": activity.baseline, "noise": activity.noise, "ar": activity.ar, "sparsity": activity.sparsity,
        "event_snr": heights, "event_rate_hz": (counts / np.maximum(seconds, 1e-9)).astype(np.float32),
    }  # fmt: skip


def _join_flags(block: _Block) -> list[str]:
    invalid = ("f0_invalid" if bad else "" for bad in block.fluorescence.invalid)
    return [" ".join(filter(None, pair)) for pair in zip(block.activity.flags, invalid, strict=True)]
