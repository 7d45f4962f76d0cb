"""One group's cells: registered, with numbers that last, and corrected by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caiman_pipeline.config.sessions import SessionsSettings
from caiman_pipeline.model.arrays import IntArray
from caiman_pipeline.model.sessions import Registration, Session
from caiman_pipeline.sessions.identity import Member, corrected, lasting_ids, read_corrections, renumbered
from caiman_pipeline.sessions.register import register


@dataclass(frozen=True)
class Tracked:
    """A registration whose cells have lasting numbers.

    Attributes
    ----------
    by_hand : components (recording, id) whose cell was decided by hand
    next_id : the first number that was never used
    union_cells : int64 (cells found), the number of each column of the union of footprints
    """

    registration: Registration
    by_hand: set[Member]
    next_id: int
    union_cells: IntArray

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self._counts())

    @property
    def n_tracked(self) -> int:
        """Number of cells in two recordings or more."""
        return int((self._counts() > 1).sum())

    def _counts(self) -> IntArray:
        every = np.concatenate([c[c >= 0] for c in self.registration.cells] or [np.zeros(0, np.int64)])
        return np.unique(every, return_counts=True)[1]


def track(
    sessions: Sequence[Session],
    settings: SessionsSettings,
    *,
    group: str,
    before: Mapping[Member, int],
    next_id: int,
) -> Tracked:
    """Register a group's sessions; cells keep the numbers that they had, and corrections by hand are applied.

    Parameters
    ----------
    before : the cell of each component in the last result, and ``next_id`` the first number that it never used

    Raises
    ------
    PipelineError
        If the sessions cannot be registered, or a correction cannot be applied.
    """
    found = register(sessions, settings)
    sets: list[list[Member]] = [[] for _ in range(found.n_cells)]
    for session, cells in zip(sessions, found.cells, strict=True):
        for k in np.flatnonzero(cells >= 0):
            sets[cells[k]].append((session.name, int(session.ids[k])))
    numbers, next_id = lasting_ids(sets, before, next_id)
    cell_of = {member: n for n, members in zip(numbers, sets, strict=True) for member in members}
    decided: set[Member] = set()
    if settings.corrections:
        placed = {s.name for s, a in zip(sessions, found.alignments, strict=True) if a.placed}
        corrections = read_corrections(Path(settings.corrections), group)
        absent = {c.member[0] for c in corrections} - placed
        cell_of, decided, next_id = corrected(cell_of, corrections, next_id, left_out=sorted(absent))
    turned = renumbered(found, cell_of, [[int(i) for i in s.ids] for s in sessions])
    return Tracked(turned, decided, next_id, np.array(numbers, np.int64))
