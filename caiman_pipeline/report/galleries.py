"""Galleries of components: small pictures of each in its surroundings, accepted ones with their trace."""

from __future__ import annotations

from html import escape
from math import sqrt

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.outcome import Outcome
from caiman_pipeline.report.activity import relative_traces, trace_peak
from caiman_pipeline.report.charts import envelope, polyline
from caiman_pipeline.report.contours import SUBPIXEL
from caiman_pipeline.report.figures import FieldOfView

# Size of a trace below a picture, px.
TRACE_WIDTH, TRACE_HEIGHT = 320, 72
# Bins that such a trace is reduced to.
TRACE_BINS = 80


def rejected_gallery(field: FieldOfView, outcome: Outcome, *, count: int) -> str:
    """Show rejected components, those that came closest to being accepted first.

    Parameters
    ----------
    field : FieldOfView
        What ``draw_field`` returns.
    outcome : Outcome
        Of the same recording.
    count : int
        How many, at most.

    Returns
    -------
    str
        HTML.
    """
    quality = outcome.quality
    rows = np.flatnonzero(~outcome.selection.accepted)
    closeness = np.nan_to_num(quality.snr[rows]) * np.nan_to_num(quality.r_value[rows]).clip(0)
    rows = rows[np.argsort(-closeness, kind="stable")][:count]
    return "".join(_figure(field, outcome, int(k), escape(outcome.selection.reasons[k])) for k in rows)


def accepted_rows(outcome: Outcome, count: int) -> IntArray:
    """Return rows of accepted components, highest signal to noise first; of too many, evenly spaced ones.

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
    rows = rows[np.argsort(-np.nan_to_num(outcome.quality.snr[rows]), kind="stable")]
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).round().astype(int)] if count > 1 else rows[:count]


def accepted_gallery(field: FieldOfView, outcome: Outcome, rows: IntArray) -> str:
    """Show the components of some rows with their raw and denoised trace and what decided.

    Parameters
    ----------
    field : FieldOfView
        What ``draw_field`` returns.
    outcome : Outcome
        Of the same recording.
    rows : int (n,)
        Rows of components.

    Returns
    -------
    str
        HTML.
    """
    pictures = []
    for k in rows:
        raw, denoised, _ = relative_traces(outcome, np.array([k]))
        pictures.append(_figure(field, outcome, int(k), _measures(outcome, int(k)), _sparkline(raw[0], denoised[0])))
    return "".join(pictures)


def _measures(outcome: Outcome, row: int) -> str:
    quality = outcome.quality
    parts = [("SNR", quality.snr[row], 1), ("r", quality.r_value[row], 2), ("soma", quality.soma_score[row], 2)]
    return ", ".join(f"{name} {value:.{digits}f}" for name, value, digits in parts if np.isfinite(value))


def _figure(field: FieldOfView, outcome: Outcome, row: int, caption: str, trace: str = "") -> str:
    """Cut a component out of the first image, with its outline, over its trace and caption."""
    sizes = outcome.quality.size_px
    side = float(np.clip(5 * sqrt(np.median(sizes)) if len(sizes) else 30, 16, 120))
    outline = field.outlines[row]
    box = f"{outline.x - side / 2:.1f} {outline.y - side / 2:.1f} {side:.1f} {side:.1f}"
    return (
        f'<figure><svg viewBox="{box}"><use href="#img-{next(iter(field.images))}"/>'
        f'<path transform="scale({1 / SUBPIXEL})" d="{outline.path}"/></svg>{trace}<figcaption>'
        f"<b>{outcome.components.ids[row]}</b> {caption}</figcaption></figure>"
    )


def _sparkline(raw: FloatArray, denoised: FloatArray) -> str:
    """Draw a trace in the width of a picture, raw in grey, denoised over it, as high as the larger one's peak."""
    both = [envelope(values[None], TRACE_BINS)[0] for values in (raw, denoised)]
    peak = max(trace_peak(raw, denoised), trace_peak(both[0], both[0]))
    paths = [
        f'<path class="{css}" d="'
        + polyline(np.linspace(0, TRACE_WIDTH, len(v)), TRACE_HEIGHT * (0.8 - 0.75 * np.clip(v / peak, -0.2, 1)))
        + '"/>'
        for css, v in zip(("raw", "calcium"), both, strict=True)
    ]
    return f'<svg class="trace" viewBox="0 0 {TRACE_WIDTH} {TRACE_HEIGHT}">{"".join(paths)}</svg>'
