"""The field of view with its outlines, motion and quality: the pictures of a recording's page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.movies.left_out import describe_left_out
from caiman_pipeline.outcome import Outcome
from caiman_pipeline.quality.accept import probability_decides
from caiman_pipeline.report.canvas import Canvas, flatten, jpeg_uri, lay_out, shrink, to_grey
from caiman_pipeline.report.charts import Axis, Series, line_chart, nice_number, scatter_chart
from caiman_pipeline.report.contours import SUBPIXEL, Outline, trace_outlines
from caiman_pipeline.results.stored_rows import row_blocks

IMAGES = {  # name: (title, brightness exponent)
    "correlation": ("Local correlation", 1.0),
    "mean": ("Mean", 0.7),
    "max": ("Maximum", 0.7),
    "peak_to_noise": ("Peak to noise", 0.8),
}
AXIS_NAMES = {2: ("y (rows)", "x (columns)"), 3: ("z (planes)", "y (rows)", "x (columns)")}
AXIS_COLOURS = {"x (columns)": "#1f6f8b", "y (rows)": "#d1495b", "z (planes)": "#6a994e"}
AMBER_BGR, BLUE_BGR = (0, 176, 255), (255, 170, 90)


@dataclass(frozen=True)
class FieldOfView:
    """Canvas, outlines and encoded images that several figures share."""

    canvas: Canvas
    outlines: list[Outline]
    images: dict[str, IntArray]


def draw_field(outcome: Outcome, *, contour_level: float) -> FieldOfView:
    """Flatten the summary images and find the outlines, once.

    Parameters
    ----------
    outcome : Outcome
        Of a recording.
    contour_level : float
        Share of a footprint's peak, 0 to 1.

    Returns
    -------
    FieldOfView
        What several figures share.
    """
    canvas = lay_out(outcome.components.dims)
    images = {
        name: to_grey(flatten(outcome.images[name], canvas), power=power, room=0.25)
        for name, (_, power) in IMAGES.items()
        if name in outcome.images
    }
    return FieldOfView(canvas, trace_outlines(outcome.components, canvas, level=contour_level), images)


def field_svg(field: FieldOfView, outcome: Outcome, pixel_um: float | None) -> str:
    """Draw the images (one visible at a time), rejected and accepted outlines, and a scale bar.

    Parameters
    ----------
    field : FieldOfView
        What ``draw_field`` returns.
    outcome : Outcome
        Of the same recording.
    pixel_um : float or None
        Width of a pixel, um; without it there is no scale bar in um.

    Returns
    -------
    str
        SVG.
    """
    height, width = field.canvas.shape
    images = "".join(
        f'<image id="img-{name}" class="picture" href="{jpeg_uri(shrink(grey))}" width="{width}" height="{height}" '
        f'preserveAspectRatio="none"{"" if i == 0 else " hidden"}/>'
        for i, (name, grey) in enumerate(field.images.items())
    )
    groups = ""
    for css, wanted in (("rejected", False), ("accepted", True)):
        paths = "".join(
            f'<path data-k="{k}" d="{outline.path}"/>'
            for k, outline in enumerate(field.outlines)
            if bool(outcome.selection.accepted[k]) is wanted and outline.lines
        )
        groups += f'<g class="{css}">{paths}</g>'
    return (
        f'<svg id="field" viewBox="0 0 {width} {height}" style="--unit:{max(width, height) / 512:.3f}">'
        f'<g id="pictures">{images}</g><g id="outlines" transform="scale({1 / SUBPIXEL})">{groups}</g>'
        f"{_length_bar(width, height, pixel_um)}</svg>"
    )


def _length_bar(width: int, height: int, pixel_um: float | None) -> str:
    if pixel_um is None:
        return ""
    length = nice_number(width * pixel_um / 8)
    px, margin, size = length / pixel_um, 0.025 * width, 0.022 * max(width, height)
    return (
        f'<g class="length"><path d="M{width - margin:.1f} {height - margin:.1f}h{-px:.1f}" '
        f'stroke-width="{size / 5:.2f}"/><text x="{width - margin - px / 2:.1f}" y="{height - margin - size / 2:.1f}" '
        f'font-size="{size:.1f}">{length:g} µm</text></g>'
    )


def thumbnail(field: FieldOfView, outcome: Outcome, *, side: int = 240) -> IntArray:
    """Draw outlines on the correlation image, small, blue-green-red uint8 (H, W, 3).

    Parameters
    ----------
    field : FieldOfView
        What ``draw_field`` returns.
    outcome : Outcome
        Of the same recording.
    side : int
        Pixels of the longer side.

    Returns
    -------
    uint8 (H, W, 3)
        Blue, green, red.
    """
    grey = next(iter(field.images.values()))
    scale = side / max(grey.shape)
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    picture = cv2.cvtColor(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), cv2.COLOR_GRAY2BGR)
    for wanted, colour in ((False, BLUE_BGR), (True, AMBER_BGR)):
        lines = [
            np.round(16 * (line * scale - 0.5)).astype(np.int32)
            for outline, accepted in zip(field.outlines, outcome.selection.accepted, strict=True)
            if bool(accepted) is wanted
            for line in outline.lines
        ]
        cv2.polylines(picture, lines, True, colour, 1, cv2.LINE_AA, shift=4)
    return picture


def reason_counts(reasons: list[str]) -> list[tuple[str, int]]:
    """Count reasons, most frequent first; a text of several reasons, split by semicolons, counts for each.

    Parameters
    ----------
    reasons : list of str
        One for each component.

    Returns
    -------
    list of (str, int)
        Reason and count.

    Examples
    --------
    >>> reason_counts(["snr 0.3 below 0.5; r value 0.1", "r value 0.1"])
    [('r value 0.1', 2), ('snr 0.3 below 0.5', 1)]
    """
    counts = Counter(part.strip() for text in reasons for part in text.split(";") if part.strip())
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def quality_chart(outcome: Outcome) -> str:
    """Plot signal to noise against what accepts, shaded where the selection does.

    That is the probability of a cell where it decides, else the spatial correlation.

    Parameters
    ----------
    outcome : Outcome
        Of a recording with components.

    Returns
    -------
    str
        SVG.
    """
    quality, settings = outcome.quality, outcome.settings.get("select", {})
    bound = settings.get("min_probability")
    snr = np.nan_to_num(quality.snr, nan=0.0)
    low = max(0.3, min(float(np.percentile(snr, 1)), 0.6 * float(settings.get("min_snr", np.inf))))
    high = max(float(snr.max()) * 1.1, 3.0)
    if probability_decides(quality, bound, use_classifier=settings.get("use_classifier", True)):
        up, region = np.nan_to_num(quality.probability, nan=0.0), probability_region(settings, high)
        axis, short = Axis(0.0, 1.0, "probability of a cell"), "p"
    else:
        up, region = np.nan_to_num(quality.r_value, nan=-1.0), acceptance_region(settings, high)
        axis, short = Axis(min(0.0, float(up.min())), 1.0, "spatial correlation"), "r"
    reasons = outcome.selection.reasons
    return scatter_chart(
        np.stack([np.maximum(snr, low), up], axis=1),
        Axis(low, high, "signal to noise", log=True),
        axis,
        classes=["yes" if a else "no" for a in outcome.selection.accepted],
        titles=[
            f"{i}: SNR {s:.1f}, {short} {v:.2f}{', ' + t if t else ''}"
            for i, s, v, t in zip(outcome.components.ids, quality.snr, up, reasons, strict=True)
        ],
        region=region,
    )


def probability_region(settings: Mapping[str, Any], highest_snr: float) -> FloatArray:
    """Return the corners of where components are accepted by their probability, other bounds left aside.

    Parameters
    ----------
    settings : dict
        Section ``select`` as plain values.
    highest_snr : float
        Where the chart ends.

    Returns
    -------
    float64 (4, 2)
        SNR and probability.
    """
    least, low_snr = float(settings["min_probability"]), float(settings.get("snr_lowest", 0.0))
    return np.array([[low_snr, least], [highest_snr, least], [highest_snr, 1.0], [low_snr, 1.0]])


def acceptance_region(settings: Mapping[str, Any], highest_snr: float) -> FloatArray:
    """Return the corners of where components are accepted, size left aside.

    Parameters
    ----------
    settings : dict
        Section ``select`` as plain values.
    highest_snr : float
        Where the chart ends.

    Returns
    -------
    float64 (6, 2)
        SNR and correlation; no corners where a threshold is not known.
    """
    names = ("min_snr", "snr_lowest", "min_r_value", "r_value_lowest")
    if any(name not in settings for name in names):
        return np.zeros((0, 2))
    snr, low_snr, r, low_r = (float(settings[name]) for name in names)
    return np.array([[low_snr, 1], [low_snr, r], [snr, r], [snr, low_r], [highest_snr, low_r], [highest_snr, 1]])


def motion_charts(outcome: Outcome) -> str:
    """Draw the displacement over time, the local deviation from it, and each frame's correlation with the template.

    Parameters
    ----------
    outcome : Outcome
        Of a recording.

    Returns
    -------
    str
        SVG, one after the other.
    """
    rigid, motion = outcome.shifts.rigid, outcome.motion
    duration = len(rigid) / outcome.info.frame_rate_hz
    time = Axis(0, duration, "time (s)")
    names = AXIS_NAMES[rigid.shape[1]]
    reach = max(1.0, float(np.nanmax(np.abs(rigid), initial=0)) * 1.08)
    lines = [Series(name, AXIS_COLOURS[name], rigid[:, i]) for i, name in enumerate(names)]
    left_out = np.flatnonzero(motion.left_out) / outcome.info.frame_rate_hz
    charts = [line_chart(lines, time, Axis(-reach, reach, "displacement (px)"), marks=left_out)]
    if outcome.shifts.field is not None:
        local = local_deviation(outcome)
        top = max(0.5, float(local.max()) * 1.08)
        charts.append(
            line_chart([Series("local", "#6a4c93", local)], time, Axis(0, top, "largest local (px)"), height=120)
        )
    pair = [motion.correlation_before, motion.correlation_after]
    low = float(np.nanmin(np.concatenate(pair))) - 0.02
    series = [Series("before", "#9aa5b1", pair[0]), Series("after", "#1f6f8b", pair[1])]
    charts.append(line_chart(series, time, Axis(low, 1.0, "r with template"), height=140))
    return "".join(charts)


def local_deviation(outcome: Outcome) -> FloatArray:
    """Return the largest distance between local and rigid displacement in each frame.

    Parameters
    ----------
    outcome : Outcome
        Of a recording that has a displacement field.

    Returns
    -------
    float32 (T,)
        Distance, pixels.
    """
    field, rigid = outcome.shifts.field, outcome.shifts.rigid
    assert field is not None
    between, largest = (1,) * (field.ndim - 2), np.empty(len(rigid), np.float32)
    for frames in row_blocks(field):
        there = field[frames]
        distance = np.sqrt(((there - rigid[frames].reshape(len(there), *between, -1)) ** 2).sum(-1))
        largest[frames] = distance.reshape(len(there), -1).max(1)
    return largest


def mean_pictures(outcome: Outcome, canvas: Canvas) -> str:
    """Show the mean of all frames before and after motion correction, with the same contrast.

    Parameters
    ----------
    outcome : Outcome
        Of a recording.
    canvas : Canvas
        Where planes are drawn.

    Returns
    -------
    str
        HTML.
    """
    pair = {"before": outcome.motion.mean_before, "after": outcome.motion.mean_after}
    flat = {when: flatten(image, canvas) for when, image in pair.items()}
    return "".join(
        f'<figure><img src="{jpeg_uri(shrink(to_grey(image, like=flat["after"], power=0.7), 640))}" alt="">'
        f"<figcaption>mean {when} correction</figcaption></figure>"
        for when, image in flat.items()
    )


def motion_numbers(outcome: Outcome) -> list[tuple[str, str]]:
    """Return what the motion stage measured, as names and texts.

    Parameters
    ----------
    outcome : Outcome
        Of a recording.

    Returns
    -------
    list of (str, str)
        Name, and number with its unit.
    """
    rigid, motion = outcome.shifts.rigid, outcome.motion
    names = AXIS_NAMES[rigid.shape[1]]
    rows: list[tuple[str, str]] = [
        (f"range along {name}", f"{rigid[:, i].min():+.1f} to {rigid[:, i].max():+.1f} px")
        for i, name in enumerate(names)
    ]
    if len(rigid) > 1:
        steps = np.sqrt((np.diff(rigid, axis=0) ** 2).sum(1))
        rows.append(("from frame to frame", f"median {np.median(steps):.2f} px, largest {steps.max():.1f} px"))
    if outcome.shifts.field is not None:
        local = local_deviation(outcome)
        rows.append(("local deviation", f"median {np.median(local):.2f} px, largest {local.max():.1f} px"))
    before, after = (float(np.nanmedian(r)) for r in (motion.correlation_before, motion.correlation_after))
    rows.append(("correlation with the template", f"median {before:.3f} before, {after:.3f} after"))
    if motion.crispness_before > 0:
        gain = motion.crispness_after / motion.crispness_before - 1
        rows.append(("crispness of the mean image", f"{gain:+.0%} by correction"))
    rows.append(("frames left out", describe_left_out(motion.left_out)))
    return rows


def brightness_chart(outcome: Outcome, frame_means: FloatArray) -> str:
    """Draw the mean brightness of the raw frames over time.

    Parameters
    ----------
    outcome : Outcome
        Of a recording.
    frame_means : float (T,)
        Mean pixel value of each raw frame; those that are not finite are left out.

    Returns
    -------
    str
        SVG, empty where no mean is finite.
    """
    finite = frame_means[np.isfinite(frame_means)]
    if not finite.size:
        return ""
    low, high = (float(v) for v in np.percentile(finite, [0.1, 99.9]))
    room = max(0.05 * (high - low), 1e-6 * max(abs(high), 1e-9))
    time = Axis(0, len(frame_means) / outcome.info.frame_rate_hz, "time (s)")
    series = [Series("mean", "#3e4c59", np.clip(frame_means, low - room, high + room))]
    return line_chart(series, time, Axis(low - room, high + room, "mean pixel value"), width=1140, height=140)
