"""Pictures of traces: a stack with scale bars, a raster of all accepted cells, and the data behind the viewer."""

from __future__ import annotations

import base64
from html import escape
from typing import Any

import numpy as np

from caiman_pipeline.outcome import Outcome
from caiman_pipeline.report.canvas import jpeg_uri
from caiman_pipeline.report.charts import envelope, nice_number, polyline
from caiman_pipeline.types import FloatArray

VIEWER_BYTES = 640_000
RASTER_COLUMNS = 1100
ROWS_AT_ONCE = 64


def relative_traces(outcome: Outcome, rows: FloatArray) -> tuple[FloatArray, FloatArray, str]:
    """Return raw and denoised traces (K, T) in one unit, and the unit's name.

    DF/F where there is one; else the noise's standard deviation.
    """
    traces = outcome.traces
    if traces.dff_kind == "dff":
        with np.errstate(divide="ignore", invalid="ignore"):
            denoised = np.where(traces.f0[rows] > 0, traces.denoised[rows] / traces.f0[rows], np.nan)
        return traces.dff[rows], denoised, "ΔF/F"
    scale = np.maximum(traces.noise[rows], 1e-12)[:, None]
    raw = outcome.components.denoised[rows] + outcome.components.residual[rows] - traces.baseline[rows][:, None]
    return raw / scale, traces.denoised[rows] / scale, "noise s.d."


def best_rows(outcome: Outcome, count: int) -> FloatArray:
    """Return the rows of the accepted components with the highest signal to noise, best first."""
    rows = np.flatnonzero(outcome.selection.accepted)
    return rows[np.argsort(-np.nan_to_num(outcome.quality.snr[rows]), kind="stable")][:count]


def stack_figure(outcome: Outcome, rows: FloatArray, *, width: int = 1140, row_height: int = 26) -> str:
    """Draw traces one below the other on a common scale: raw in grey, the denoised trace over it, two scale bars."""
    raw, denoised, unit = relative_traces(outcome, rows)
    left, bottom, fine = 54, 40, 2
    inner = width - left - 92
    peaks = np.nanmax(np.where(np.isfinite(denoised), denoised, 0), axis=1, initial=0)
    typical = float(np.percentile(peaks, 75)) if len(peaks) else 1.0
    scale = 1.5 * row_height / max(typical, 1e-9)
    height = 30 + row_height * len(rows) + bottom
    body, labels = [], []
    for i, row in enumerate(rows):
        base = 30 + row_height * (i + 0.75)
        for values, css in ((raw[i], "raw"), (denoised[i], "calcium")):
            reduced = envelope(values[None], inner // 2)[0]
            x = np.linspace(0, inner * fine, len(reduced))
            y = fine * (base - scale * np.clip(reduced, -2 * typical, 6 * typical))
            body.append(f'<path class="{css}" d="{polyline(x, y)}"/>')
        labels.append(f'<text x="{left - 8}" y="{base:.0f}" text-anchor="end">{outcome.components.ids[row]}</text>')
    bars = _scale_bars(outcome, scale, unit, x=left + inner + 10, y=height - 14, width=inner)
    group = f'<g transform="translate({left} 0) scale({1 / fine})" class="stack">{"".join(body)}</g>'
    return f'<svg viewBox="0 0 {width} {height}" class="chart">{group}{"".join(labels)}{bars}</svg>'


def _scale_bars(outcome: Outcome, scale: float, unit: str, *, x: float, y: float, width: int) -> str:
    duration = outcome.traces.denoised.shape[1] / outcome.trace_rate_hz
    seconds = nice_number(duration / 12)
    amount = nice_number(30 / scale)
    across, up = width * seconds / duration, scale * amount
    text = f"{amount:.0%} {unit}" if unit == "ΔF/F" else f"{amount:g} {unit}"
    return (
        f'<path class="scale" d="M{x - across:.1f} {y:.1f}h{across:.1f}v{-up:.1f}"/>'
        f'<text x="{x - across / 2:.1f}" y="{y + 12:.1f}" text-anchor="middle">{seconds:g} s</text>'
        f'<text x="{x + 5:.1f}" y="{y - up / 2 + 4:.1f}">{escape(text)}</text>'
    )


def similarity_order(traces: FloatArray) -> FloatArray:
    """Order (K, T) traces so that similar ones are neighbours: along the second eigenvector of their similarity."""
    if len(traces) < 3:
        return np.arange(len(traces))
    centred = traces - traces.mean(1, keepdims=True)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    similarity = np.clip((centred @ centred.T).astype(np.float64), 0, None)
    degree = np.sqrt(similarity.sum(1).clip(1e-12))
    _, vectors = np.linalg.eigh(similarity / degree[:, None] / degree)
    second = vectors[:, -2] / degree
    return np.argsort(second * np.sign(second[np.argmax(np.abs(second))] or 1.0), kind="stable")


def raster_picture(outcome: Outcome) -> tuple[str, int]:
    """Return a picture of all accepted cells' denoised traces, each scaled to its own top, and its number of rows."""
    rows = np.flatnonzero(outcome.selection.accepted)
    traces = outcome.traces.denoised
    n_bins = min(RASTER_COLUMNS, traces.shape[1])
    binned = np.nan_to_num(np.fmax.reduceat(traces, np.arange(n_bins) * traces.shape[1] // n_bins, axis=1)[rows])
    binned = binned[similarity_order(binned)]
    top = np.maximum(np.percentile(binned, 99.5, axis=1, keepdims=True), 1e-12)
    grey = 255 - np.clip(255 * np.clip(binned / top, 0, 1) ** 0.8, 0, 255)
    return jpeg_uri(grey.astype(np.uint8), 75), len(rows)


def _reduced(outcome: Outcome, rows: FloatArray, n_bins: int) -> tuple[FloatArray, str]:
    """Return raw and denoised traces side by side, reduced in time, a block of rows at a time, and their unit."""
    _, _, unit = relative_traces(outcome, rows[:0])
    blocks = []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        raw, denoised, _ = relative_traces(outcome, rows[start : start + ROWS_AT_ONCE])
        blocks.append(np.concatenate([envelope(raw, n_bins), envelope(denoised, n_bins)], axis=1))
    both = np.concatenate(blocks) if blocks else np.zeros((0, 2), np.float32)
    return np.where(np.isfinite(both), both, np.nan), unit


def viewer_payload(outcome: Outcome) -> dict[str, Any]:
    """Pack all traces for the page's viewer: one byte per point, each trace between its own limits.

    Traces have two points (lowest, highest) per time bin, as many bins as fit a fixed size of the page. Components
    beyond that size, rejected ones first, have no trace.
    """
    order = np.lexsort((-np.nan_to_num(outcome.quality.snr), ~outcome.selection.accepted))
    n_frames = max(outcome.traces.denoised.shape[1], 1)
    shown = np.sort(order[: VIEWER_BYTES // 4 // 100])
    n_bins = int(np.clip(VIEWER_BYTES // 4 // max(len(shown), 1), 100, 600))
    both, unit = _reduced(outcome, shown, n_bins)
    has_values = np.isfinite(both).any(1) if both.size else np.zeros(len(shown), bool)
    both[~has_values] = 0
    low, high = (np.nanmin(both, axis=1), np.nanmax(both, axis=1)) if both.size else (np.zeros(0), np.zeros(0))
    span = np.maximum(high - low, 1e-9)[:, None]
    coded = 1 + np.round(254 * (both - low[:, None]) / span)
    data = np.nan_to_num(coded, nan=0).astype(np.uint8)
    return {
        "unit": unit,
        "seconds": n_frames / outcome.trace_rate_hz,
        "raw": both.shape[1] // 2,
        "denoised": both.shape[1] // 2,
        "rows": shown.tolist(),
        "low": [round(float(v), 4) for v in low],
        "high": [round(float(v), 4) for v in high],
        "data": base64.b64encode(data.tobytes()).decode(),
    }
