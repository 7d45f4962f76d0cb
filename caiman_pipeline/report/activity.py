"""Pictures of traces: a stack with scale bars, a raster of all accepted cells, and the data behind the viewer."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.outcome import Outcome
from caiman_pipeline.report.canvas import jpeg_uri
from caiman_pipeline.report.charts import envelope, nice_number, polyline

# Bytes of the page that traces may take: it stays a page that can be mailed.
VIEWER_BYTES = 640_000
# Columns of the raster, about the pixels of a page's width.
RASTER_COLUMNS = 1100
# Traces and values that are read at a time; changes no picture.
ROWS_AT_ONCE, VALUES_AT_ONCE = 16, 2**18


def relative_traces(outcome: Outcome, rows: IntArray) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return measured and denoised traces, and for each row whether they are DF/F.

    Parameters
    ----------
    outcome : Outcome
        Of a recording.
    rows : int (K,)
        Rows of components.

    Returns
    -------
    measured : float32 (K, T)
        DF/F, or noise standard deviations.
    denoised : float32 (K, T)
        The same of the model.
    is_dff : bool (K,)
        Which unit it is.
    """
    traces = outcome.traces
    measured, denoised = traces.dff[rows], traces.dff_denoised[rows]
    is_dff: BoolArray = np.any(np.isfinite(measured), axis=1) & (traces.dff_kind == "dff")
    if not is_dff.all():
        noise = np.maximum(traces.noise[rows], 1e-12)[:, None]
        demixed = outcome.components.denoised[rows] + outcome.components.residual[rows]
        measured = np.where(is_dff[:, None], measured, (demixed - traces.baseline[rows][:, None]) / noise)
        denoised = np.where(is_dff[:, None], denoised, traces.denoised[rows] / noise)
    return measured, denoised, is_dff


def best_rows(outcome: Outcome, count: int) -> IntArray:
    """Return the rows of the accepted components with the highest signal to noise, best first.

    Parameters
    ----------
    outcome : Outcome
        Of a recording.
    count : int
        How many, at most.

    Returns
    -------
    int (n,)
        Rows.
    """
    rows = np.flatnonzero(outcome.selection.accepted)
    return rows[np.argsort(-np.nan_to_num(outcome.quality.snr[rows]), kind="stable")][:count]


def stack_figure(outcome: Outcome, rows: IntArray, *, width: int = 1140, row_height: int = 26) -> str:
    """Draw traces one below the other, raw in grey, denoised over it, each as high as its own peak (at the right).

    Parameters
    ----------
    outcome : Outcome
        Of a recording.
    rows : int (n,)
        Rows of components.
    width : int
        Of the picture, px.
    row_height : int
        Of a trace, px.

    Returns
    -------
    str
        SVG.
    """
    left, head, fine = 54, 26, 2
    inner, height = width - left - 92, head + row_height * (len(rows) + 1) + 22
    body = [f'<text x="{left + inner + 12}" y="12">peak</text>']
    for i, (row, raw, denoised, is_dff) in enumerate(_each_trace(outcome, rows)):
        base, peak = head + row_height * (i + 0.9), trace_peak(raw, denoised)
        for values, css in ((raw, "raw"), (denoised, "calcium")):
            reduced = envelope(values[None], inner // 2)[0]
            x = np.linspace(0, inner * fine, len(reduced))
            y = fine * row_height * -np.clip(reduced / peak, -0.4, 1.4)
            shift = f'transform="translate({left} {base:.1f}) scale({1 / fine})"'
            body.append(f'<path class="{css}" {shift} d="{polyline(x, y)}"/>')
        size = f"{peak:.0%} ΔF/F" if is_dff else f"{peak:.3g} noise s.d."
        body.append(f'<text x="{left - 8}" y="{base:.0f}" text-anchor="end">{outcome.components.ids[row]}</text>')
        body.append(f'<text x="{left + inner + 12}" y="{base:.0f}">{size}</text>')
    duration = outcome.traces.denoised.shape[1] / outcome.trace_rate_hz
    seconds = nice_number(duration / 12)
    across, foot = inner * seconds / duration, height - 18
    body.append(f'<path class="scale" d="M{left + inner - across:.1f} {foot}h{across:.1f}"/>')
    body.append(f'<text x="{left + inner - across / 2:.1f}" y="{foot + 14}" text-anchor="middle">{seconds:g} s</text>')
    return f'<svg viewBox="0 0 {width} {height}" class="chart stack">{"".join(body)}</svg>'


def _row_blocks(outcome: Outcome, rows: IntArray) -> list[IntArray]:
    """Cut rows into those to read at a time: fewer of long traces."""
    step = min(max(1, VALUES_AT_ONCE // max(outcome.traces.denoised.shape[1], 1)), ROWS_AT_ONCE)
    return [rows[start : start + step] for start in range(0, len(rows), step)]


def _each_trace(outcome: Outcome, rows: IntArray) -> Iterator[tuple[int, FloatArray, FloatArray, bool]]:
    """Yield each row, its raw and denoised trace (T,), and whether they are DF/F."""
    for block in _row_blocks(outcome, rows):
        yield from zip(block.tolist(), *relative_traces(outcome, block), strict=True)


def trace_peak(raw: FloatArray, denoised: FloatArray) -> float:
    """Return the height to scale a trace to: the denoised trace's peak, the raw one's where that is flat.

    Parameters
    ----------
    raw : float32 (T,)
        Any unit; values that are not finite do not count.
    denoised : float32 (T,)
        The same of the model.

    Returns
    -------
    float
        Height, in the traces' unit; 1 where both are flat.
    """
    for values in (denoised, raw):
        top = float(np.nanmax(np.where(np.isfinite(values), values, 0), initial=0))
        if top > 0:
            return top
    return 1.0


def similarity_order(traces: FloatArray) -> IntArray:
    """Order traces so that similar ones are neighbours: as the leaves of their average-linkage tree.

    Parameters
    ----------
    traces : float (K, T)
        Any unit, no gaps.

    Returns
    -------
    int (K,)
        Rows, in order.

    Examples
    --------
    >>> import numpy as np
    >>> similarity_order(np.array([[0.0, 1, 0, 1], [1, 0, 1, 0], [0, 2, 0, 2], [1, 0, 2, 0]])).tolist() in (
    ...     [0, 2, 1, 3], [1, 3, 0, 2], [2, 0, 1, 3])
    True
    """
    if len(traces) < 3:
        return np.arange(len(traces))
    from scipy.cluster.hierarchy import leaves_list, linkage

    centred = traces - traces.mean(1, keepdims=True)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    distance = 1 - (centred @ centred.T).astype(np.float64)
    return leaves_list(linkage(distance[np.triu_indices(len(traces), 1)].clip(0), "average"))


def raster_picture(outcome: Outcome) -> tuple[str, int]:
    """Return a picture of all accepted cells' denoised traces, each scaled to its own top, and its number of rows.

    Parameters
    ----------
    outcome : Outcome
        Of a recording.

    Returns
    -------
    picture : str
        JPEG as a data URI.
    n_rows : int
        Accepted components.
    """
    rows = np.flatnonzero(outcome.selection.accepted)
    traces = outcome.traces.denoised
    n_bins = min(RASTER_COLUMNS, traces.shape[1])
    edges, binned = np.arange(n_bins) * traces.shape[1] // n_bins, np.empty((len(rows), n_bins), np.float32)
    for place, row in enumerate(rows):
        binned[place] = np.nan_to_num(np.fmax.reduceat(traces[row], edges))
    binned = binned[similarity_order(binned)]
    top = np.maximum(np.percentile(binned, 99.5, axis=1, keepdims=True), 1e-12)
    grey = 255 - np.clip(255 * np.clip(binned / top, 0, 1) ** 0.8, 0, 255)
    return jpeg_uri(grey.astype(np.uint8), 75), len(rows)


def _reduced(outcome: Outcome, rows: IntArray, n_bins: int) -> tuple[FloatArray, BoolArray]:
    """Return raw and denoised traces side by side, reduced in time, and whether they are DF/F."""
    blocks, flags = [np.zeros((0, 0), np.float32)], [np.zeros(0, bool)]
    for block in _row_blocks(outcome, rows):
        raw, denoised, is_dff = relative_traces(outcome, block)
        blocks.append(np.concatenate([envelope(raw, n_bins), envelope(denoised, n_bins)], axis=1))
        flags.append(is_dff)
    both = np.concatenate(blocks[1:] or blocks)
    return np.where(np.isfinite(both), both, np.nan), np.concatenate(flags)


def viewer_payload(outcome: Outcome) -> dict[str, Any]:
    """Pack all traces for the page's viewer: one byte per point, each trace between its own limits.

    Traces have two points (lowest, highest) per time bin, as many bins as fit a fixed size of the page. Components
    beyond that size, rejected ones first, have no trace.

    Parameters
    ----------
    outcome : Outcome
        Of a recording.

    Returns
    -------
    dict
        Plain values, to be written as JSON.
    """
    order = np.lexsort((-np.nan_to_num(outcome.quality.snr), ~outcome.selection.accepted))
    n_frames = max(outcome.traces.denoised.shape[1], 1)
    shown = np.sort(order[: VIEWER_BYTES // 4 // 100])
    n_bins = int(np.clip(VIEWER_BYTES // 4 // max(len(shown), 1), 100, 600))
    both, is_dff = _reduced(outcome, shown, n_bins)
    has_values = np.isfinite(both).any(1) if both.size else np.zeros(len(shown), bool)
    both[~has_values] = 0
    low, high = (np.nanmin(both, axis=1), np.nanmax(both, axis=1)) if both.size else (np.zeros(0), np.zeros(0))
    span = np.maximum(high - low, 1e-9)[:, None]
    coded = 1 + np.round(254 * (both - low[:, None]) / span)
    data = np.nan_to_num(coded, nan=0).astype(np.uint8)
    return {
        "units": ["ΔF/F" if yes else "noise s.d." for yes in is_dff],
        "seconds": n_frames / outcome.trace_rate_hz,
        "raw": both.shape[1] // 2,
        "denoised": both.shape[1] // 2,
        "rows": shown.tolist(),
        "low": [round(float(v), 4) for v in low],
        "high": [round(float(v), 4) for v in high],
        "data": base64.b64encode(data.tobytes()).decode(),
    }
