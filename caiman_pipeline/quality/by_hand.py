"""Decisions by hand: a table of components to keep or to leave out, which overrules the thresholds."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.quality.accept import KEPT, LEFT_OUT, Selection

WORDS = {
    "1": True,
    "true": True,
    "yes": True,
    "keep": True,
    "0": False,
    "false": False,
    "no": False,
    "drop": False,
    "": None,
}


@dataclass(frozen=True)
class Decision:
    """Whether to keep a component (None: not decided), and why."""

    keep: bool | None
    note: str


def read_decisions(path: Path) -> dict[int, Decision]:
    r"""Read a CSV with the columns ``roi_id`` (or ``id``), ``keep`` and, if wanted, ``note``; others are ignored.

    Parameters
    ----------
    path : path
        The table.

    Returns
    -------
    dict of int to Decision
        By component id. ``keep`` is 1, yes, true, keep or 0, no, false, drop; an empty cell leaves the component to the
        thresholds.

    Raises
    ------
    PipelineError
        If the file cannot be read, a column is missing, a value has no meaning, or an id comes twice.

    Examples
    --------
    >>> from pathlib import Path
    >>> _ = Path("by_hand.csv").write_text("roi_id,keep,note\n3,no,a vessel\n5,,\n")
    >>> read_decisions(Path("by_hand.csv"))
    {3: Decision(keep=False, note='a vessel'), 5: Decision(keep=None, note='')}
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path}: the decisions by hand cannot be read ({error}).") from error
    rows = csv.DictReader(text.splitlines())
    names = [n.strip().lower() for n in rows.fieldnames or ()]
    which = next((n for n in ("roi_id", "id") if n in names), None)
    if which is None or "keep" not in names:
        raise PipelineError(f"{path}: needs the columns roi_id and keep, separated by commas; found {names}.")
    return _decisions(path, rows, names, which)


def _decisions(path: Path, rows: Iterable[dict[str, str]], names: list[str], which: str) -> dict[int, Decision]:
    found: dict[int, Decision] = {}
    for line, row in enumerate(rows, 2):
        cells = dict(zip(names, ((v or "").strip() for v in row.values()), strict=False))
        word = cells.get("keep", "").lower()
        if not cells[which].isdecimal() or word not in WORDS:
            raise PipelineError(
                f"{path}, line {line}: expected a component's id and yes, no or nothing, found "
                f"{cells[which]!r} and {cells.get('keep', '')!r}."
            )
        if int(cells[which]) in found:
            raise PipelineError(f"{path}, line {line}: component {cells[which]} is listed twice.")
        found[int(cells[which])] = Decision(WORDS[word], cells.get("note", ""))
    return found


def apply_decisions(selection: Selection, decisions: dict[int, Decision]) -> Selection:
    """Overrule a selection where somebody has decided; the reason says so, with the note.

    Parameters
    ----------
    selection : Selection
        What the thresholds say.
    decisions : dict of int to Decision
        By component id.

    Returns
    -------
    Selection
        The same, with those components kept or left out.

    Raises
    ------
    PipelineError
        If an id is not one of the recording's components.
    """
    unknown = sorted(set(decisions) - set(selection.ids.tolist()))
    if unknown:
        listed = ", ".join(map(str, unknown[:10]))
        raise PipelineError(
            f"decisions by hand: there is no component {listed}. Ids are those of the table of components; a search "
            "with other settings finds other components."
        )
    accepted, by_hand, reasons = selection.accepted.copy(), selection.by_hand.copy(), list(selection.reasons)
    for row, roi in enumerate(selection.ids.tolist()):
        decision = decisions.get(roi)
        if decision is not None and decision.keep is not None:
            accepted[row] = decision.keep
            by_hand[row] = KEPT if decision.keep else LEFT_OUT
            word = "kept by hand" if decision.keep else "left out by hand"
            reasons[row] = f"{word}: {decision.note}" if decision.note else word
    return replace(selection, accepted=accepted, by_hand=np.asarray(by_hand), reasons=tuple(reasons))
