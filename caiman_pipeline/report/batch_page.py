"""One page for a whole batch: every recording with its picture, state, numbers and links."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from urllib.parse import quote

from caiman_pipeline import __version__
from caiman_pipeline.batch.states import RecordingState, count_states
from caiman_pipeline.report.template import duration, fill

STATE_NAMES = {"ok": "ok", "ok_empty": "no cells", "failed": "failed", "waiting": "not finished"}


def build_batch_page(states: list[RecordingState], results: Path) -> str:
    """Compose the page; links and pictures are relative to the results folder, where the page lies."""
    accepted = sum(s.cells_accepted or 0 for s in states)
    total = duration(sum(s.seconds for s in states))
    chips = "".join(
        f'<button type="button" data-state="{state}" class="chip {state}" aria-pressed="false">'
        f"<b>{count}</b> {STATE_NAMES[state]}</button>"
        for state, count in count_states(states).items()
    )
    return fill(
        "batch",
        title=escape(results.resolve().name),
        facts=f"{len(states):,} recordings · {accepted:,} cells · {total} of computing",
        chips=chips,
        rows="\n".join(_rows(states, results)),
        version=__version__,
    )


def _rows(states: Iterable[RecordingState], results: Path) -> Iterable[str]:
    for state in states:
        name = quote(state.recording)
        folder = results / state.recording
        finished = state.state in ("ok", "ok_empty")
        label = escape(state.recording)
        report = f'<a href="{name}/report/{name}.html">{label}</a>' if finished else label
        picture = f'<img src="{name}/report/thumbnail.jpg" loading="lazy" alt="">' if finished else ""
        stem = f"{name}/export_nwb/{name}"
        links = f'<a href="{stem}.nwb">NWB</a> <a href="{stem}_components.csv">table</a>'
        log = f'<a href="{name}/logs/{quote(Path(state.log).name)}">log</a>' if state.log and folder.exists() else ""
        stage = f"<b>{escape(state.stage)}:</b> " if state.stage else ""
        cells = "" if state.cells_accepted is None else f"<b>{state.cells_accepted}</b> of {state.cells_found}"
        seconds = duration(state.seconds) if state.seconds else ""
        yield (
            f'<tr data-state="{state.state}"><td class="picture">{picture}</td><td>{report}</td>'
            f'<td><span class="state {state.state}">{STATE_NAMES[state.state]}</span></td>'
            f'<td data-sort="{_number(state.cells_accepted)}">{cells}</td>'
            f'<td data-sort="{_number(state.frames)}">{"" if state.frames is None else f"{state.frames:,}"}</td>'
            f'<td data-sort="{state.seconds}" title="{escape(_costs(state))}">{seconds}</td>'
            f'<td data-sort="{state.warnings}">{state.warnings or ""}</td>'
            f'<td class="reason">{stage}{escape(state.reason)}</td><td>{links if finished else log}</td></tr>'
        )


def _costs(state: RecordingState) -> str:
    return "; ".join(
        f"{c.stage} {c.seconds:.1f} s{f', {c.memory_mb:,.0f} MB' if c.memory_mb else ''}" for c in state.costs
    )


def _number(value: int | None) -> int:
    return -1 if value is None else value
