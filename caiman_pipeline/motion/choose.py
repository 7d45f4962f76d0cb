"""Whether rigid and local correction help, told from parts of the frames that they were not estimated from.

Cells are divided like a chessboard. Motion is estimated from the white ones alone, and judged by how likely it makes the
black ones; then the other way round. Fitting noise lowers that likelihood, so the better method is the one with the higher.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from caiman_pipeline.motion.estimate import ROUNDS, Registration, mode_values, modes_at_cells
from caiman_pipeline.motion.filters import band_pass
from caiman_pipeline.motion.modes import Modes, learn, make_modes
from caiman_pipeline.motion.peaks import frame_gain, linearise, patch_peaks
from caiman_pipeline.motion.rigid import coarse_shifts, prepare_coarse
from caiman_pipeline.motion.source import Source
from caiman_pipeline.motion.surfaces import cell_agreement
from caiman_pipeline.types import FloatArray

METHODS = ("none", "rigid", "piecewise")
CLEARLY = 2.0
JUDGED_FRAMES, MOST_STRETCHES = 8, 16


@dataclass(frozen=True)
class Verdict:
    """How likely each method makes pixels it has not seen.

    Attributes
    ----------
    scores : float64 (3,), mean log-likelihood per frame with no, rigid and local correction, against no correction
    kept : the method to use
    """

    scores: FloatArray
    kept: str


def judge(source: Source, stretches: list[tuple[int, int]], registration: Registration, *, wanted: str) -> Verdict:
    """Compare no, rigid and local correction on stretches of frames, and choose the best up to ``wanted``."""
    gains = []
    stretches = [(a, min(b, a + JUDGED_FRAMES)) for a, b in stretches]
    stretches = stretches[:: -(-len(stretches) // MOST_STRETCHES)]
    for side in (0, 1):
        seen = _chessboard(registration) == side
        gains.append(_gains(source, stretches, registration, seen))
    per_stretch = np.concatenate(gains)
    scores = per_stretch.mean(0)
    kept = 0
    for method in range(1, METHODS.index(wanted) + 1):
        difference = per_stretch[:, method] - per_stretch[:, kept]
        error = difference.std() / np.sqrt(len(difference))
        if difference.mean() > CLEARLY * error:
            kept = method
    return Verdict(scores, METHODS[kept])


def _chessboard(registration: Registration) -> FloatArray:
    index = np.indices(registration.grid.cell_shape).sum(0)
    return (index % 2).ravel()


def _gains(
    source: Source, stretches: list[tuple[int, int]], registration: Registration, seen: FloatArray
) -> FloatArray:
    """Return the gain of (no, rigid, local) correction on the unseen cells in each stretch, float64 (stretches, 3)."""
    half = _with_cells(registration, seen)
    passes = [_surfaces(source.read(a, b)[source.good(a, b)], half) for a, b in stretches]
    modes = half.modes
    if registration.plan.spacing:
        modes = learn(modes, [_solve(p, half, seen, modes)[0] for p in passes], reach=0)
    return np.array([_score(p, half, seen, modes) for p in passes])


def _with_cells(registration: Registration, seen: FloatArray) -> Registration:
    """Return a registration whose first shift and modes rest on some of the cells."""
    cells, grid = registration.cells, registration.grid
    mask = np.zeros(grid.dims, bool)
    for flag, index in zip(seen, np.ndindex(grid.cell_shape), strict=True):
        mask[tuple(slice(e[i], e[i + 1]) for e, i in zip(grid.edges, index, strict=True))] = flag
    smooth = (registration.plan.spacing or (32.0,))[-1] / 4
    coarse = prepare_coarse(
        registration.template, registration.weight * mask, max_shift=registration.plan.max_shift, smooth_px=smooth
    )
    masked = replace(cells, information=cells.information * seen[:, None, None])
    return replace(registration, coarse=coarse, modes=make_modes(masked, grid))


def _surfaces(frames: FloatArray, half: Registration) -> tuple[FloatArray, FloatArray, FloatArray]:
    seen = band_pass(frames, half.plan.high_pass, threads=half.threads)
    whole = np.rint(coarse_shifts(seen, half.coarse, threads=half.threads)[0]).astype(np.int64)
    return cell_agreement(seen, np.zeros_like(whole), half.cells), cell_agreement(seen, whole, half.cells), whole


def _solve(
    surfaces: tuple[FloatArray, FloatArray, FloatArray], half: Registration, seen: FloatArray, modes: Modes
) -> tuple[FloatArray, FloatArray]:
    """Return mode values from the seen cells, (T, modes), and the frames' gain."""
    moved = surfaces[1]
    only = np.where(seen[:, None], half.cells.energy, 0.0).astype(np.float32)
    visible = replace(half.cells, energy=only)
    hidden = np.where(seen[None, :, None], moved, np.float32(0.0))
    gain = frame_gain(hidden, visible)
    windows = patch_peaks(hidden, visible, half.members, gain)
    at = np.einsum("cp,tpa->tca", half.spread, windows, optimize=True)
    for _ in range(ROUNDS):
        slopes = linearise(moved, half.cells, at, gain)[..., 1:] * seen[None, :, None]
        values = mode_values(slopes.astype(np.float32), at, modes)
        at = modes_at_cells(values * modes.gain, modes)
    return values, gain


def _score(
    surfaces: tuple[FloatArray, FloatArray, FloatArray], half: Registration, seen: FloatArray, modes: Modes
) -> FloatArray:
    still, moved, _ = surfaces
    values, gain = _solve(surfaces, half, seen, modes)
    rigid = values.copy()
    rigid[:, modes.n_rigid :] = 0.0
    nowhere = np.zeros((*moved.shape[:2], 3), np.float32)
    fits = [
        linearise(still, half.cells, nowhere, gain),
        linearise(moved, half.cells, modes_at_cells(rigid, modes), gain),
        linearise(moved, half.cells, modes_at_cells(values * modes.gain, modes), gain),
    ]
    scores = np.array([f[:, ~seen, 0].sum(1, dtype=np.float64).mean() for f in fits])
    return scores - scores[0]
