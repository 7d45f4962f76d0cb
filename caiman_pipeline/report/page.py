"""A recording's page: one self-contained HTML file, and what the batch page needs to know of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

import numpy as np

from caiman_pipeline import __version__
from caiman_pipeline.batch.job_logs import in_order
from caiman_pipeline.config.portable import flat, portable, short_names
from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.config.report import ReportSettings
from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.outcome import Outcome, centroids, missing_dff
from caiman_pipeline.report import activity, figures, galleries
from caiman_pipeline.report.charts import bar_rows
from caiman_pipeline.report.template import duration, embed_json, fill


@dataclass(frozen=True)
class Page:
    """A recording's page as HTML, its thumbnail (H, W, 3) uint8, and its overview for the batch page."""

    html: str
    thumbnail: FloatArray
    overview: dict[str, Any]


def build_page(
    outcome: Outcome, frame_means: FloatArray, *, facts: RecordingSettings, settings: ReportSettings
) -> Page:
    """Compose a recording's page, from its results alone: the same results give the same page.

    Parameters
    ----------
    frame_means : float (T,), mean pixel value of each raw frame
    """
    field = figures.draw_field(outcome, contour_level=settings.contour_level)
    warnings = collect_warnings(outcome)
    pixel_um = facts.pixel_size_um.in_plane[1] if facts.pixel_size_um else None
    sections = {
        "Cells": _cells(field, outcome, pixel_um),
        "Activity": _traces(outcome, settings.max_traces),
        "Quality": _quality(field, outcome, settings),
        "Motion": _motion(field, outcome, frame_means),
        "Processing": _processing(outcome),
    }
    html = fill(
        "page",
        title=escape(outcome.info.recording),
        facts=_facts(outcome, facts),
        tiles=_tiles(outcome),
        warnings=_warning_box(warnings),
        nav="".join(f'<a href="#{name.lower()}">{name}</a>' for name, body in sections.items() if body),
        sections="\n".join(body for body in sections.values() if body),
        data=embed_json(_viewer_data(outcome, field)),
        version=__version__,
    )
    return Page(html, figures.thumbnail(field, outcome), overview(outcome, warnings))


def overview(outcome: Outcome, warnings: list[str]) -> dict[str, Any]:
    """Return the few numbers that the batch page shows."""
    return {
        "recording": outcome.info.recording,
        "found": outcome.components.n_components,
        "accepted": outcome.n_accepted,
        "reason": why_empty(outcome),
        "warnings": warnings,
    }


def why_empty(outcome: Outcome) -> str:
    """Say why there is no accepted component; empty text where there are some."""
    found = outcome.components.n_components
    if outcome.n_accepted:
        return ""
    if found:
        reasons = figures.reason_counts(list(outcome.selection.reasons))
        most = f", mostly: {reasons[0][0]}" if reasons else ""
        return f"none of {found} components was accepted{most}"
    image = outcome.images.get("peak_to_noise")
    seen = "" if image is None else f"; peak-to-noise: highest {np.nanmax(image):.1f}, median {np.nanmedian(image):.1f}"
    return f"no component was found{seen}"


def collect_warnings(outcome: Outcome) -> list[str]:
    """Return all stages' warnings, each once, with the stage's name, and what only their results together show."""
    texts = [(stage, text) for stage in in_order(outcome.stages) for text in outcome.stages[stage]["warnings"]]
    known = {text for _, text in texts}
    texts = [("inspect", text) for text in outcome.info.warnings if text not in known] + texts
    texts += [("traces", text) for text in missing_dff(outcome)]
    return list(dict.fromkeys(f"{stage}: {text}" for stage, text in texts))


def _viewer_data(outcome: Outcome, field: figures.FieldOfView) -> dict[str, Any]:
    quality, selection = outcome.quality, outcome.selection
    centre = centroids(outcome.components)[:, ::-1]
    rows = [
        [
            int(outcome.components.ids[k]),
            int(selection.accepted[k]),
            selection.reasons[k],
            _digits(quality.snr[k], 2),
            _digits(quality.r_value[k], 3),
            _digits(quality.soma_score[k], 2),
            _digits(quality.size_px[k], 0),
            [_digits(c, 1) for c in centre[k]],
            _digits(outline.x, 1),
            _digits(outline.y, 1),
        ]
        for k, outline in enumerate(field.outlines)
    ]
    return {"components": rows, "traces": activity.viewer_payload(outcome)}


def _digits(value: float, digits: int) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None


def _facts(outcome: Outcome, facts: RecordingSettings) -> str:
    info = outcome.info
    size = " × ".join(map(str, info.dims))
    parts = [
        f"{info.n_frames:,} frames of {size} px",
        f"{info.frame_rate_hz:g} Hz, {duration(info.n_frames / info.frame_rate_hz)}",
        _pixel(facts),
        f"planes {facts.plane_spacing_um:g} µm apart" if facts.plane_spacing_um and len(info.dims) == 3 else "",
        facts.indicator or "",
        facts.location or "",
        f"subject {facts.subject_id}" if facts.subject_id else "",
        facts.session_start.isoformat(" ", "minutes") if isinstance(facts.session_start, datetime) else "",
    ]
    return "".join(f"<span>{escape(p)}</span>" for p in parts if p)


def _pixel(facts: RecordingSettings) -> str:
    if facts.pixel_size_um is None:
        return ""
    height, width = facts.pixel_size_um.in_plane
    return f"{width:g} µm per pixel" if width == height else f"pixels {height:g} µm high, {width:g} µm wide"


def _tiles(outcome: Outcome) -> str:
    accepted = outcome.selection.accepted
    snr = outcome.quality.snr[accepted]
    tiles = [(f"{outcome.n_accepted}", "cells accepted"), (f"{len(accepted) - outcome.n_accepted}", "rejected")]
    if outcome.n_accepted:
        tiles.append((f"{np.nanmedian(snr):.1f}", "median signal to noise"))
    reach = float(np.nanmax(np.abs(outcome.shifts.rigid), initial=0))
    tiles.append((f"{reach:.1f} px", "largest shift"))
    return "".join(f"<div><b>{value}</b><span>{name}</span></div>" for value, name in tiles)


def _warning_box(warnings: list[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{escape(w)}</li>" for w in warnings)
    return f'<aside class="warnings"><b>{len(warnings)} warning{"s" * (len(warnings) > 1)}</b><ul>{items}</ul></aside>'


def _cells(field: figures.FieldOfView, outcome: Outcome, pixel_um: float | None) -> str:
    images = "".join(
        f'<label><input type="radio" name="image" value="{name}"{" checked" if i == 0 else ""}>'
        f"{figures.IMAGES[name][0]}</label>"
        for i, name in enumerate(field.images)
    )
    counts = {"accepted": outcome.n_accepted, "rejected": outcome.components.n_components - outcome.n_accepted}
    layers = "".join(
        f'<label class="key {name}"><input type="checkbox" data-layer="{name}" checked>{count} {name}</label>'
        for name, count in counts.items()
    )
    empty = why_empty(outcome)
    note = f'<p class="empty">No cells: {escape(empty)}.</p>' if empty else ""
    slabs = len(field.canvas.slabs)
    hint = f"{outcome.info.dims[0]} planes in {slabs} pictures, first plane at the top left. " if slabs > 1 else ""
    viewer = (
        '<div id="card" class="card" hidden><svg id="zoom"><use href="#pictures"/><use href="#outlines"/></svg>'
        '<div id="details"></div></div><div id="trace-box" hidden><canvas id="trace"></canvas></div>'
        if outcome.components.n_components
        else ""
    )
    walk = " Click a component, or press ← and →, to see its trace." if outcome.components.n_components else ""
    return f"""<section id="cells"><h2>Cells</h2>{note}
<div class="controls"><fieldset>{images}</fieldset><fieldset>{layers}</fieldset></div>
<div class="viewer"><div class="frame">{figures.field_svg(field, outcome, pixel_um)}</div><div class="side">
<p class="hint">{hint}{walk}</p>{viewer}</div></div></section>"""


def _traces(outcome: Outcome, count: int) -> str:
    rows = activity.best_rows(outcome, count)
    if not len(rows):
        return ""
    picture, n_rows = activity.raster_picture(outcome)
    height = int(np.clip(3 * n_rows, 60, 420))
    seconds = outcome.traces.denoised.shape[1] / outcome.trace_rate_hz
    return f"""<section id="activity"><h2>Activity</h2>
<p>All {n_rows} accepted cells, denoised, each scaled to its own top; cells of similar activity are neighbours.</p>
<img class="raster" style="height:{height}px" src="{picture}" alt="">
<div class="ends"><span>0</span><span>time</span><span>{duration(seconds)}</span></div>
<p>The {len(rows)} cells with the best signal to noise: <span class="raw-key">raw</span> and
<span class="calcium-key">denoised</span>, each as high as its own peak, component at the left.</p>
{activity.stack_figure(outcome, rows)}</section>"""


def _quality(field: figures.FieldOfView, outcome: Outcome, settings: ReportSettings) -> str:
    if not outcome.components.n_components:
        return ""
    rejected = [r for r, a in zip(outcome.selection.reasons, outcome.selection.accepted, strict=True) if not a]
    reasons = figures.reason_counts(rejected)[:12]
    bars = bar_rows([(text, float(n), str(n)) for text, n in reasons], "no") if reasons else "<p>None was rejected.</p>"
    return f"""<section id="quality"><h2>Quality</h2><div class="columns"><div>{figures.quality_chart(outcome)}
<p class="hint">Shaded: accepted by these two measures.</p></div>
<div><h3>Why components were rejected</h3>{bars}</div></div>{_galleries(field, outcome, settings)}</section>"""


def _galleries(field: figures.FieldOfView, outcome: Outcome, settings: ReportSettings) -> str:
    rows = galleries.accepted_rows(outcome, settings.max_accepted_gallery)
    some = f"{len(rows)} of {outcome.n_accepted}, evenly spaced by rank, " if len(rows) < outcome.n_accepted else ""
    accepted = galleries.accepted_gallery(field, outcome, rows)
    rejected = galleries.rejected_gallery(field, outcome, count=settings.max_gallery)
    parts = (
        ("accepted", f"Accepted, {some}highest signal to noise first", accepted),
        ("rejected", "Rejected, the closest calls first", rejected),
    )
    return "".join(
        f'<h3>{title}</h3><div class="gallery {css}">{pictures}</div>' for css, title, pictures in parts if pictures
    )


def _motion(field: figures.FieldOfView, outcome: Outcome, frame_means: FloatArray) -> str:
    numbers = "".join(f"<tr><th>{escape(n)}</th><td>{escape(t)}</td></tr>" for n, t in figures.motion_numbers(outcome))
    return f"""<section id="motion"><h2>Motion</h2><div class="columns wide-left">
<div>{figures.motion_charts(outcome)}</div><table class="numbers">{numbers}</table></div>
<div class="pair">{figures.mean_pictures(outcome, field.canvas)}</div>
<h3>Brightness of the raw movie</h3>{figures.brightness_chart(outcome, frame_means)}</section>"""


def _processing(outcome: Outcome) -> str:
    sections: dict[str, list[str]] = {}
    for stage in in_order(outcome.stages):
        sections.setdefault(outcome.stages[stage]["section"], []).append(stage)
    tables = [
        _settings_table(", ".join(stages), portable(name, outcome.settings[name])) for name, stages in sections.items()
    ]
    versions = sorted({f"{e['version']} {e['commit']}".strip() for e in outcome.stages.values()})
    files = "".join(
        f"<tr><td>{escape(name)}</td><td>{f.n_frames:,} frames</td><td>{f.size_bytes / 1e6:,.1f} MB</td></tr>"
        for name, f in zip(short_names([f.path for f in outcome.info.files]), outcome.info.files, strict=True)
    )
    made = f"<p>Made by caiman_pipeline {escape(', '.join(versions))}.</p>" if versions else ""
    return f"""<section id="processing"><h2>Processing</h2>{made}
<h3>Files</h3><table class="numbers">{files}</table><h3>Settings</h3>{"".join(tables)}</section>"""


def _settings_table(stage: str, values: Mapping[str, Any]) -> str:
    rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(_plain(v))}</td></tr>" for k, v in flat(values))
    return f"<details><summary>{escape(stage)}</summary><table class='numbers'>{rows}</table></details>" if rows else ""


def _plain(value: Any) -> str:
    return "not set" if value is None else value if isinstance(value, str) else json.dumps(value)
