"""One page for a whole batch: every recording with its picture, state, numbers and links."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from caiman_pipeline import __version__
from caiman_pipeline.batch.states import RecordingState, count_states
from caiman_pipeline.model.names import without_folders
from caiman_pipeline.report.template import asset, duration, fill
from caiman_pipeline.stages import LOGS, place

LINKED = ("report", "thumbnail", "nwb", "table")
STATE_NAMES = {"ok": "ok", "ok_empty": "no cells", "failed": "failed", "waiting": "not finished"}


@dataclass(frozen=True)
class Row:
    """One recording's line: its state, whether its results are there, links to them, and what is shown as text."""

    state: RecordingState
    finished: bool
    links: dict[str, str]
    log: str
    computing: str
    costs: str


def build_batch_page(states: list[RecordingState], results: Path) -> str:
    """Compose the page; links and pictures are relative to the results folder, where the page lies.

    Parameters
    ----------
    states : list of RecordingState
        One for each recording.
    results : path
        The results folder.

    Returns
    -------
    str
        HTML.
    """
    accepted = sum(s.cells_accepted or 0 for s in states)
    total = duration(sum(s.seconds for s in states))
    return fill(
        "batch",
        style=asset("batch.css"),
        script=asset("batch.js"),
        title=results.resolve().name,
        facts=f"{len(states):,} recordings · {accepted:,} cells · {total} of computing",
        counts=count_states(states),
        names=STATE_NAMES,
        rows=[_row(state, results) for state in states],
        version=__version__,
    )


def _row(state: RecordingState, results: Path) -> Row:
    there = (results / state.recording).exists()
    return Row(
        state=replace(state, reason=without_folders(state.reason)),
        finished=state.state in ("ok", "ok_empty"),
        links={name: _link(state.recording, place(name, recording=state.recording)) for name in LINKED},
        log=_link(state.recording, f"{LOGS}/{Path(state.log).name}") if state.log and there else "",
        computing=duration(state.seconds) if state.seconds else "",
        costs=_costs(state),
    )


def _link(recording: str, path: str) -> str:
    """Return the address of a file below a recording's folder, from the page in the results folder."""
    return quote(f"{recording}/{path}")


def _costs(state: RecordingState) -> str:
    return "; ".join(
        f"{c.stage} {c.seconds:.1f} s{f', {c.memory_mb:,.0f} MB' if c.memory_mb else ''}" for c in state.costs
    )
