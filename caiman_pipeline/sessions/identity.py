"""Numbers of cells that last: kept from the last result, and changed by hand."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.sessions import Registration

COLUMNS = ("group", "action", "cell", "recording", "component")
# A component, by recording and id.
Member = tuple[str, int]


@dataclass(frozen=True)
class Correction:
    """One decision by hand: a component is, or is not, of a cell.

    Attributes
    ----------
    action : ``join`` or ``cut``
    line : of the table, to name it
    """

    action: str
    cell: int
    member: Member
    line: int


def lasting_ids(sets: Sequence[Sequence[Member]], before: Mapping[Member, int], next_id: int) -> tuple[list[int], int]:
    """Return a number for each set of components, and the first that was never used.

    A set has the number of the last result's cell with which it shares most components, if no other set shares
    more; so a session that is added changes no number. Numbers are not used again.

    Parameters
    ----------
    sets : components of each cell
    before : the cell of each component in the last result
    next_id : the first number that was never used
    """
    shared = [Counter(before[m] for m in members if m in before) for members in sets]
    claims = sorted(
        ((-count, old, s) for s, counts in enumerate(shared) for old, count in counts.items()),
    )
    ids, taken = [-1] * len(sets), set()
    for _, old, s in claims:
        if ids[s] < 0 and old not in taken:
            ids[s] = old
            taken.add(old)
    for s in range(len(sets)):
        if ids[s] < 0:
            ids[s], next_id = next_id, next_id + 1
    return ids, next_id


def read_corrections(path: Path, group: str) -> list[Correction]:
    """Read a group's corrections from a CSV with the columns group, action, cell, recording, component.

    Raises
    ------
    PipelineError
        If the file cannot be read, a column is missing, or a row says nothing that can be done.
    """
    try:
        rows = csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path}: the corrections cannot be read ({error}).") from error
    names = [n.strip().lower() for n in rows.fieldnames or ()]
    if missing := [c for c in COLUMNS if c not in names]:
        raise PipelineError(f"{path}: needs the columns {', '.join(COLUMNS)}, separated by commas; lacks {missing[0]}.")
    found = []
    for line, row in enumerate(rows, 2):
        cells = dict(zip(names, ((v or "").strip() for v in row.values()), strict=False))
        if cells["group"] != group:
            continue
        if cells["action"] not in ("join", "cut") or not (cells["cell"].isdecimal() and cells["component"].isdecimal()):
            raise PipelineError(
                f"{path}, line {line}: expected join or cut, a cell and a component, found {cells['action']!r}, "
                f"{cells['cell']!r} and {cells['component']!r}."
            )
        found.append(
            Correction(cells["action"], int(cells["cell"]), (cells["recording"], int(cells["component"])), line)
        )
    return found


def corrected(
    cells: dict[Member, int], corrections: Sequence[Correction], next_id: int, *, left_out: Sequence[str]
) -> tuple[dict[Member, int], set[Member], int]:
    """Apply corrections by hand, in turn; returns the cell of each component, those decided, and the next number.

    A component that joins a cell takes the place of the one that its recording had there, which becomes a cell of its
    own. Recordings that are left out have no cells to correct.

    Raises
    ------
    PipelineError
        If a component or cell does not exist, or one is cut from a cell that it is not.
    """
    found, decided = dict(cells), set()
    for c in corrections:
        where = f"corrections, line {c.line}"
        if c.member[0] in left_out:
            continue
        if c.member not in found:
            raise PipelineError(f"{where}: recording {c.member[0]!r} has no component {c.member[1]} here.")
        if c.cell not in found.values():
            raise PipelineError(f"{where}: there is no cell {c.cell}.")
        if c.action == "cut" and found[c.member] != c.cell:
            raise PipelineError(f"{where}: component {c.member[1]} of {c.member[0]!r} is cell {found[c.member]}.")
        moved = (
            [c.member]
            if c.action == "cut"
            else [m for m, cell in found.items() if cell == c.cell and m[0] == c.member[0] and m != c.member]
        )
        for member in moved:
            found[member], next_id = next_id, next_id + 1
        if c.action == "join":
            found[c.member] = c.cell
        decided |= {c.member, *moved}
    return found, decided, next_id


def renumbered(found: Registration, ids: Mapping[Member, int], component_ids: Sequence[Sequence[int]]) -> Registration:
    """Return a registration in which cells are those that ``ids`` says; probabilities stay.

    Runners-up keep to the cell that most of the set they stand for has become.
    """
    members = [
        list(zip([name] * len(k), map(int, k), strict=True))
        for name, k in zip(found.sessions, component_ids, strict=True)
    ]
    cells = tuple(np.array([ids.get(m, -1) for m in rows], np.int64) for rows in members)
    became: dict[int, Counter[int]] = {}
    for old, new in zip(np.concatenate(found.cells), np.concatenate(cells), strict=True):
        became.setdefault(int(old), Counter())[int(new)] += 1
    most = {old: max(counts, key=lambda n: (counts[n], -n)) for old, counts in became.items() if old >= 0}
    runner_up = tuple(np.array([most.get(int(k), -1) for k in rows], np.int64) for rows in found.runner_up)
    return replace(found, cells=cells, runner_up=runner_up)
