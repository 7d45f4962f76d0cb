"""A recording's page: one self-contained HTML file, and what the batch page needs to know of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from markupsafe import Markup

from caiman_pipeline import __version__
from caiman_pipeline.config.portable import flat, portable, short_names
from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.config.report import ReportSettings
from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.model.names import without_folders
from caiman_pipeline.outcome import Outcome, centroids, missing_dff
from caiman_pipeline.report import activity, figures, galleries
from caiman_pipeline.report.charts import bar_rows
from caiman_pipeline.report.template import asset, duration, fill
from caiman_pipeline.stages import in_order


@dataclass(frozen=True)
class Page:
    """A recording's page as HTML, its thumbnail (H, W, 3) uint8, and its overview for the batch page."""

    html: str
    thumbnail: IntArray
    overview: dict[str, Any]


def build_page(
    outcome: Outcome, frame_means: FloatArray, *, facts: RecordingSettings, settings: ReportSettings
) -> Page:
    """Compose a recording's page, from its results alone: the same results give the same page.

    Parameters
    ----------
    outcome : Outcome
        Results of the recording.
    frame_means : float (T,)
        Mean pixel value of each raw frame.
    facts : RecordingSettings
        What is known of the recording.
    settings : ReportSettings
        Section ``report``.

    Returns
    -------
    Page
        HTML, thumbnail, and what the batch page shows.
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
        style=asset("page.css"),
        script=asset("page.js"),
        title=outcome.info.recording,
        facts=_facts(outcome, facts),
        tiles=_tiles(outcome),
        warnings=warnings,
        sections={name: body for name, body in sections.items() if body},
        data=_viewer_data(outcome, field),
        version=__version__,
    )
    return Page(html, figures.thumbnail(field, outcome), overview(outcome, warnings))


def overview(outcome: Outcome, warnings: list[str]) -> dict[str, Any]:
    """Return the few numbers that the batch page shows.

    Parameters
    ----------
    outcome : Outcome
        Of a recording.
    warnings : list of str
        What ``collect_warnings`` returns.

    Returns
    -------
    dict
        Plain values, to be written as JSON.
    """
    return {
        "recording": outcome.info.recording,
        "found": outcome.components.n_components,
        "accepted": outcome.n_accepted,
        "reason": why_empty(outcome),
        "warnings": warnings,
    }


def why_empty(outcome: Outcome) -> str:
    """Say why there is no accepted component; empty text where there are some.

    Parameters
    ----------
    outcome : Outcome
        Of a recording.

    Returns
    -------
    str
        A sentence without its end.
    """
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
    """Return all stages' warnings, each once, with the stage's name, and what only their results together show.

    Parameters
    ----------
    outcome : Outcome
        Of a recording.

    Returns
    -------
    list of str
        In the order of the stages.
    """
    texts = [(stage, text) for stage in in_order(outcome.stages) for text in outcome.stages[stage]["warnings"]]
    known = {text for _, text in texts}
    texts = [("inspect", text) for text in outcome.info.warnings if text not in known] + texts
    texts += [("traces", text) for text in missing_dff(outcome)]
    return list(dict.fromkeys(f"{stage}: {without_folders(text)}" for stage, text in texts))


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
            _digits(quality.probability[k], 2),
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


def _facts(outcome: Outcome, facts: RecordingSettings) -> list[str]:
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
    return [part for part in parts if part]


def _pixel(facts: RecordingSettings) -> str:
    if facts.pixel_size_um is None:
        return ""
    height, width = facts.pixel_size_um.in_plane
    return f"{width:g} µm per pixel" if width == height else f"pixels {height:g} µm high, {width:g} µm wide"


def _tiles(outcome: Outcome) -> list[tuple[str, str]]:
    accepted = outcome.selection.accepted
    snr = outcome.quality.snr[accepted]
    tiles = [(f"{outcome.n_accepted}", "cells accepted"), (f"{len(accepted) - outcome.n_accepted}", "rejected")]
    if outcome.n_accepted:
        tiles.append((f"{np.nanmedian(snr):.1f}", "median signal to noise"))
    reach = float(np.nanmax(np.abs(outcome.shifts.rigid), initial=0))
    return [*tiles, (f"{reach:.1f} px", "largest shift")]


def _cells(field: figures.FieldOfView, outcome: Outcome, pixel_um: float | None) -> Markup:
    n_components = outcome.components.n_components
    return fill(
        "cells",
        empty=why_empty(outcome),
        images=[(name, figures.IMAGES[name][0]) for name in field.images],
        layers=[("accepted", outcome.n_accepted), ("rejected", n_components - outcome.n_accepted)],
        field=Markup(figures.field_svg(field, outcome, pixel_um)),
        n_slabs=len(field.canvas.slabs),
        n_planes=outcome.info.dims[0],
        n_components=n_components,
    )


def _traces(outcome: Outcome, count: int) -> Markup:
    rows = activity.best_rows(outcome, count)
    if not len(rows):
        return Markup()
    picture, n_rows = activity.raster_picture(outcome)
    return fill(
        "activity",
        n_rows=n_rows,
        height=int(np.clip(3 * n_rows, 60, 420)),
        picture=picture,
        length=duration(outcome.traces.denoised.shape[1] / outcome.trace_rate_hz),
        n_best=len(rows),
        traces=Markup(activity.stack_figure(outcome, rows)),
    )


def _quality(field: figures.FieldOfView, outcome: Outcome, settings: ReportSettings) -> Markup:
    if not outcome.components.n_components:
        return Markup()
    rejected = [r for r, a in zip(outcome.selection.reasons, outcome.selection.accepted, strict=True) if not a]
    reasons = figures.reason_counts(rejected)[:12]
    return fill(
        "quality",
        chart=Markup(figures.quality_chart(outcome)),
        reasons=Markup(bar_rows([(text, float(n), str(n)) for text, n in reasons], "no") if reasons else ""),
        galleries=_galleries(field, outcome, settings),
    )


def _galleries(field: figures.FieldOfView, outcome: Outcome, settings: ReportSettings) -> Markup:
    rows = galleries.accepted_rows(outcome, settings.max_accepted_gallery)
    some = f"{len(rows)} of {outcome.n_accepted}, evenly spaced by rank, " if len(rows) < outcome.n_accepted else ""
    accepted = Markup(galleries.accepted_gallery(field, outcome, rows))
    rejected = Markup(galleries.rejected_gallery(field, outcome, count=settings.max_gallery))
    parts = (
        ("accepted", f"Accepted, {some}highest signal to noise first", accepted),
        ("rejected", "Rejected, the closest calls first", rejected),
    )
    return fill("galleries", galleries=parts)


def _motion(field: figures.FieldOfView, outcome: Outcome, frame_means: FloatArray) -> Markup:
    return fill(
        "motion",
        charts=Markup(figures.motion_charts(outcome)),
        numbers=figures.motion_numbers(outcome),
        means=Markup(figures.mean_pictures(outcome, field.canvas)),
        brightness=Markup(figures.brightness_chart(outcome, frame_means)),
    )


def _processing(outcome: Outcome) -> Markup:
    sections: dict[str, list[str]] = {}
    for stage in in_order(outcome.stages):
        sections.setdefault(outcome.stages[stage]["section"], []).append(stage)
    files = outcome.info.files
    return fill(
        "processing",
        versions=sorted({f"{e['version']} {e['commit']}".strip() for e in outcome.stages.values()}),
        files=[
            (name, f"{f.n_frames:,}", f"{f.size_bytes / 1e6:,.1f}")
            for name, f in zip(short_names([f.path for f in files]), files, strict=True)
        ],
        tables=[
            (", ".join(stages), [(k, _plain(v)) for k, v in flat(portable(name, outcome.settings[name]))])
            for name, stages in sections.items()
        ],
    )


def _plain(value: Any) -> str:
    return "not set" if value is None else value if isinstance(value, str) else json.dumps(value)
