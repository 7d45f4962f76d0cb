"""The page of a field's sessions: places of recordings, overlays, and cells through all sessions with their traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from caiman_pipeline import __version__
from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.model.sessions import Placement, Session
from caiman_pipeline.report.canvas import jpeg_uri
from caiman_pipeline.report.template import fill
from caiman_pipeline.results.files import load_result
from caiman_pipeline.sessions.images import in_frame
from caiman_pipeline.sessions.track import Tracked
from caiman_pipeline.sessions.warp import Canvas, warp

MOST_CELLS = 40
TILE, TRACE_WIDTH, WINDOW_RADII = 72, 360, 4.0
TRACKED_BGR, SINGLE_BGR = (80, 220, 120), (200, 160, 90)


def build_sessions_page(
    group: str,
    sessions: Sequence[Session],
    tracked: Tracked,
    *,
    left_out: Mapping[str, str],
    traces: Sequence[Path],
) -> str:
    """Compose the page, pictures within it.

    Parameters
    ----------
    left_out : recordings without results, and why
    traces : files of the recordings' traces, in the order of the sessions
    """
    found = tracked.registration
    counts = _counts(found.cells)
    shown = _least_sure(tracked, counts)
    return fill(
        "sessions",
        title=group,
        facts=f"{len(sessions) + len(left_out)} recordings · {tracked.n_cells:,} cells · "
        f"{tracked.n_tracked:,} in two or more",
        rows=[*_rows(sessions, tracked, counts), *(_absent(name, why) for name, why in left_out.items())],
        overlays=_overlays(sessions, tracked, counts),
        shown=f"{len(shown)} of {tracked.n_tracked}: those that most want a look." if shown else "There is none.",
        cells=_cells(sessions, tracked, shown, traces),
        version=__version__,
    )


def _counts(cells: Sequence[IntArray]) -> dict[int, int]:
    every = np.concatenate([c[c >= 0] for c in cells] or [np.zeros(0, np.int64)])
    return {int(k): int(n) for k, n in zip(*np.unique(every, return_counts=True), strict=True)}


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"


def _rows(sessions: Sequence[Session], tracked: Tracked, counts: Mapping[int, int]) -> list[dict[str, object]]:
    return [
        {
            "name": session.name,
            "by": alignment.by if alignment.placed else "left out",
            "components": session.n_components,
            "tracked": sum(counts.get(int(k), 0) > 1 for k in cells),
            "agreeing": alignment.n_agreeing,
            "chance": f"{alignment.n_by_chance:.0f}",
            "confidence": _number(alignment.confidence),
            "agreement": _number(alignment.image_agreement),
            "reason": alignment.reason,
            "out": not alignment.placed,
        }
        for session, alignment, cells in zip(
            sessions, tracked.registration.alignments, tracked.registration.cells, strict=True
        )
    ]


def _absent(name: str, why: str) -> dict[str, object]:
    empty = dict.fromkeys(("components", "tracked", "agreeing", "chance", "confidence", "agreement"), "")
    return {"name": name, "by": "left out", "reason": why, "out": True, **empty}


def _overlays(sessions: Sequence[Session], tracked: Tracked, counts: Mapping[int, int]) -> list[dict[str, str]]:
    """Draw each placed session's image in the frame with its outlines: tracked cells green, others blue."""
    found, canvas = tracked.registration, _canvas(tracked)
    drawn = []
    for session, placement, cells in zip(sessions, found.placements, found.cells, strict=True):
        if placement is None:
            continue
        flat = np.zeros(canvas.dims[-2:], np.float32)
        if session.image is not None:
            seen = in_frame(session.image, placement, canvas.low, canvas.dims)
            flat = np.nan_to_num(
                np.nanmax(np.where(np.isfinite(seen), seen, -np.inf).reshape(-1, *canvas.dims[-2:]), 0), neginf=0
            )
        picture = cv2.cvtColor(_grey(flat), cv2.COLOR_GRAY2BGR)
        warped = warp(session, placement, canvas, radius_px=np.ones(len(canvas.dims))).footprints
        for k in range(session.n_components):
            column = warped[:, k].toarray().reshape(canvas.dims)
            outline = (column.max(0) if column.ndim == 3 else column) > 0.3 * max(float(column.max()), 1e-9)
            contours, _ = cv2.findContours(outline.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(picture, contours, -1, TRACKED_BGR if counts.get(int(cells[k]), 0) > 1 else SINGLE_BGR, 1)
        caption = f"{session.name} in the frame of {found.sessions[found.reference]}; cells of several recordings green"
        drawn.append({"picture": jpeg_uri(picture), "caption": caption})
    return drawn


def _canvas(tracked: Tracked) -> Canvas:
    return Canvas(tracked.registration.canvas_low, tracked.registration.canvas_dims)


def _grey(image: FloatArray) -> IntArray:
    low, high = np.percentile(image, (1, 99.7))
    return (np.clip((image - low) / max(float(high - low), 1e-9), 0, 1) ** 0.7 * 255).astype(np.uint8)


def _least_sure(tracked: Tracked, counts: Mapping[int, int]) -> list[int]:
    """Return the tracked cells, those with the least sure component first, as many as are shown."""
    least: dict[int, float] = {}
    for cells, probability in zip(tracked.registration.cells, tracked.registration.probability, strict=True):
        for cell, p in zip(cells, probability, strict=True):
            if counts.get(int(cell), 0) > 1:
                least[int(cell)] = min(least.get(int(cell), 1.0), 1.0 if np.isnan(p) else float(p))
    return sorted(least, key=lambda k: (least[k], k))[:MOST_CELLS]


def _cells(
    sessions: Sequence[Session], tracked: Tracked, shown: Sequence[int], traces: Sequence[Path]
) -> list[dict[str, object]]:
    """Draw each cell's footprints through the sessions above its traces, one row of pictures for each."""
    found, canvas = tracked.registration, _canvas(tracked)
    strips: dict[int, list[IntArray]] = {k: [] for k in shown}
    told: dict[int, list[str]] = {k: [] for k in shown}
    for s, (session, placement) in enumerate(zip(sessions, found.placements, strict=True)):
        rows = {int(k): r for r, k in enumerate(found.cells[s]) if int(k) in strips}
        if placement is None or not rows:
            continue
        series = _series(traces[s], session.ids[list(rows.values())])
        for at, (cell, row) in enumerate(rows.items()):
            strips[cell].append(np.hstack([_tile(session, placement, row, canvas), _trace(series[at])]))
            p = found.probability[s][row]
            told[cell].append(f"{session.name} {session.ids[row]}" + ("" if np.isnan(p) else f" ({p:.2f})"))
    return [
        {"number": k, "text": " · ".join(told[k]), "picture": jpeg_uri(np.vstack(strips[k]))}
        for k in shown
        if strips[k]
    ]


def _series(path: Path, ids: IntArray) -> FloatArray:
    """Return traces of some components (rows of ``ids``)."""
    found = load_result(path, "traces", stored=("denoised",), skip=_all_but(path, ("ids", "denoised")))
    row_of = {int(i): r for r, i in enumerate(found["ids"])}
    return np.stack([np.asarray(found["denoised"][row_of[int(i)]]).ravel() for i in ids])


def _all_but(path: Path, names: Sequence[str]) -> list[str]:
    import h5py

    with h5py.File(path, "r") as file:
        return [n for n in file if n not in names]


def _tile(session: Session, placement: Placement, row: int, canvas: Canvas) -> IntArray:
    """Return one footprint in the frame, cut out around its centre, as a small picture."""
    one = Session(session.name, session.dims, session.ids[[row]], session.footprints[:, [row]])
    warped = warp(one, placement, canvas, radius_px=np.ones(len(canvas.dims)))
    image = warped.footprints.toarray().reshape(canvas.dims)
    flat = image.max(0) if image.ndim == 3 else image
    centre = (warped.centre[0] - np.array(canvas.low))[-2:]
    half = max(4, int(np.sqrt((flat > 0.3 * flat.max()).sum()) * 1.5))
    patch = cv2.getRectSubPix(
        flat.astype(np.float32), (2 * half + 1, 2 * half + 1), (float(centre[1]), float(centre[0]))
    )
    grey = (255 * np.clip(patch / max(float(patch.max()), 1e-9), 0, 1)).astype(np.uint8)
    return cv2.resize(grey, (TILE, TILE), interpolation=cv2.INTER_LINEAR)


def _trace(values: FloatArray) -> IntArray:
    """Return a trace as a picture, dark on light, its own range from bottom to top."""
    picture = np.full((TILE, TRACE_WIDTH), 250, np.uint8)
    known = np.nan_to_num(values)
    cut = np.array_split(known, min(TRACE_WIDTH, len(known)))
    low, high = float(known.min()), float(known.max())
    level = [(TILE - 4) - (TILE - 8) * (c.max() - low) / max(high - low, 1e-9) for c in cut]
    x = np.linspace(2, TRACE_WIDTH - 3, len(level))
    cv2.polylines(picture, [np.stack([x, level], 1).astype(np.int32)], False, 60, 1, cv2.LINE_AA)
    return picture
