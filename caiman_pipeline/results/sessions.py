"""Results of a field's sessions: the table of cells, and the file of everything else."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.model.sessions import Registration
from caiman_pipeline.results.files import load_result

HEADER = ("cell", "recording", "component", "probability", "runner_up", "runner_up_probability", "by_hand", "n_found")
Member = tuple[str, int]


def cells_csv(found: Registration, component_ids: Sequence[IntArray], by_hand: set[Member]) -> str:
    """Return the table of cells: one row for each component of each recording that has a place, by cell."""
    every = np.concatenate([c for c in found.cells if len(c)] or [np.zeros(0, np.int64)])
    n_found = {int(k): int(n) for k, n in zip(*np.unique(every[every >= 0], return_counts=True), strict=True)}
    rows: list[tuple[Any, ...]] = []
    for s, name in enumerate(found.sessions):
        for k, component in enumerate(component_ids[s]):
            cell = int(found.cells[s][k])
            if cell < 0:
                continue
            other = int(found.runner_up[s][k])
            probability = found.probability[s][k]
            rows.append(
                (
                    cell,
                    name,
                    int(component),
                    "" if np.isnan(probability) else f"{probability:.4f}",
                    "" if other < 0 else other,
                    "" if other < 0 else f"{found.runner_up_probability[s][k]:.4f}",
                    int((name, int(component)) in by_hand),
                    n_found[cell],
                )
            )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    # Stable: within a cell the recordings stay in order.
    rows.sort(key=lambda r: int(r[0]))
    writer.writerows(rows)
    return text.getvalue()


def sessions_to_arrays(
    found: Registration, component_ids: Sequence[IntArray], left_out: Mapping[str, str], next_id: int
) -> dict[str, Any]:
    """Flatten a registration for ``save_result``; arrays of one session have its number in their name."""
    arrays: dict[str, Any] = {
        "recordings": found.sessions,
        "left_out": tuple(left_out),
        "left_out_reasons": tuple(left_out.values()),
        "next_id": next_id,
        "reference": found.reference,
        "frame_low": np.array(found.canvas_low),
        "frame_dims": np.array(found.canvas_dims),
        "placed": np.array([a.placed for a in found.alignments]),
        "aligned_by": tuple(a.by for a in found.alignments),
        "reasons": tuple(a.reason for a in found.alignments),
        "confidence": np.array([a.confidence for a in found.alignments]),
        "image_agreement": np.array([a.image_agreement for a in found.alignments]),
        "n_agreeing": np.array([a.n_agreeing for a in found.alignments]),
        "n_by_chance": np.array([a.n_by_chance for a in found.alignments]),
        "union_footprints": found.union,
        "assignments": assignments(found, component_ids)[0],
        "assigned_cells": assignments(found, component_ids)[1],
    }
    for s in range(len(found.sessions)):
        arrays[f"components_{s}"] = np.asarray(component_ids[s], np.int64)
        arrays[f"cells_{s}"] = found.cells[s]
        arrays[f"probability_{s}"] = found.probability[s]
        arrays[f"runner_up_{s}"] = found.runner_up[s]
        arrays[f"runner_up_probability_{s}"] = found.runner_up_probability[s]
        placement = found.placements[s]
        if placement is not None:
            arrays |= {f"placement_{s}_{name}": value for name, value in vars(placement).items()}
    for (a, b), (rows, probability) in found.pairs.items():
        arrays[f"pairs_{a}_{b}"] = np.stack(
            [np.asarray(component_ids[a])[rows[:, 0]], np.asarray(component_ids[b])[rows[:, 1]]], 1
        )
        arrays[f"pairs_{a}_{b}_probability"] = probability
    return arrays


def assignments(found: Registration, component_ids: Sequence[IntArray]) -> tuple[FloatArray, IntArray]:
    """Return the component (id) of each session that is each cell, NaN where there is none, and the cells' numbers."""
    numbers = np.unique(np.concatenate([c[c >= 0] for c in found.cells] or [np.zeros(0, np.int64)]))
    table = np.full((len(numbers), len(found.sessions)), np.nan)
    for s, cells in enumerate(found.cells):
        rows = cells >= 0
        table[np.searchsorted(numbers, cells[rows]), s] = np.asarray(component_ids[s])[rows]
    return table, numbers


def last_cells(path: Path) -> tuple[dict[Member, int], int]:
    """Return the cell of each component in the last result, and the first number that was never used."""
    if not path.exists() or not h5py.is_hdf5(path):
        return {}, 1
    result = load_result(path, "sessions", skip=("union_footprints",))
    cells = {
        (name, int(component)): int(cell)
        for s, name in enumerate(result["recordings"])
        for component, cell in zip(result[f"components_{s}"], result[f"cells_{s}"], strict=True)
        if cell >= 0
    }
    return cells, int(result["next_id"])
