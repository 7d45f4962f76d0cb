"""Whether rigid and local correction help, told from parts of the frames that they were not estimated from.

Squares are divided like a chessboard. Motion is estimated from the white ones alone, and judged by how likely it makes
the black ones; then the other way round. Fitting noise lowers that likelihood, so the better method is the one with the
higher.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.motion.agreement import square_agreement
from caiman_pipeline.motion.estimate import Registration, estimate_seen, prepare_registration, shifts_of
from caiman_pipeline.motion.filters import band_pass
from caiman_pipeline.motion.mode_values import modes_at_squares
from caiman_pipeline.motion.modes import learn
from caiman_pipeline.motion.peaks import linearise
from caiman_pipeline.motion.source import Source

METHODS = ("none", "rigid", "piecewise")
# Standard errors by which a richer method must beat a plainer one on pixels that it has not seen: about 2.5% by chance.
CLEARLY = 2.0
# Frames of the sample that are judged: their mean is known to an eighth of their spread.
JUDGED_FRAMES = 64
Ranges = list[tuple[int, int]]


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


def judge(source: Source, stretches: Ranges, registration: Registration, *, wanted: str) -> Verdict:
    """Compare no, rigid and local correction on frames of the sample, and choose the best up to ``wanted``.

    Parameters
    ----------
    source : Source
        The recording's raw frames.
    stretches : list of (int, int)
        First frame of each stretch of the sample, and the one after its last.
    registration : Registration
        What was learned from the sample.
    wanted : str
        none, rigid or piecewise: the most that may be chosen.

    Returns
    -------
    Verdict
        The method that is kept, and the gain of each in log-likelihood per frame.
    """
    sample = np.concatenate([np.arange(a, b)[source.good(a, b)] for a, b in stretches])
    places = np.linspace(0, len(sample) - 1, min(JUDGED_FRAMES, len(sample))).round().astype(int)
    seen = band_pass(source.read_frames(sample[places]), registration.plan.high_pass)
    board = np.indices(registration.grid.square_shape).sum(0).ravel() % 2
    gains = _gains(seen, registration, board == 0) + _gains(seen, registration, board == 1)
    kept = 0
    for method in range(1, METHODS.index(wanted) + 1):
        difference = gains[:, method] - gains[:, kept]
        if difference.mean() > CLEARLY * difference.std() / np.sqrt(len(difference)):
            kept = method
    return Verdict(gains.mean(0), METHODS[kept])


def _gains(seen: FloatArray, registration: Registration, known: BoolArray) -> FloatArray:
    """Return the gain of (no, rigid, local) correction on the squares that are not known, float64 (T, 3).

    ``seen`` are frames as registration sees them, float32 (T, *dims); ``known`` are the squares to estimate from.
    """
    plan, weight = registration.plan, registration.weight * _pixels_of(registration, known)
    places = [np.zeros((len(seen), registration.squares.n_squares, 3), np.float32)]
    for local in (False, True) if plan.spacing else (False,):
        places.append(_at_squares(seen, _half(registration, weight, local=local), registration.squares.n_squares))
    places.extend(places[-1:] * (len(METHODS) - len(places)))
    fits = np.stack([_fits(seen, at, registration, ~known) for at in places], axis=1)
    return fits - fits[:, :1]


def _pixels_of(registration: Registration, chosen: BoolArray) -> FloatArray:
    """Return 1 for the pixels of the chosen squares, 0 elsewhere, float32 dims."""
    grid = registration.grid
    pixels = chosen.reshape(grid.square_shape).astype(np.float32)
    for axis, edges in enumerate(grid.edges):
        pixels = np.repeat(pixels, np.diff(edges), axis=axis)
    return pixels


def _half(registration: Registration, weight: FloatArray, *, local: bool) -> Registration:
    # Template and frames are filtered already.
    plan = replace(registration.plan, high_pass=None)
    plan = plan if local else replace(plan, spacing=None)
    return prepare_registration(registration.template, weight, plan, modes=None, threads=registration.threads)


def _at_squares(seen: FloatArray, registration: Registration, n_squares: int) -> FloatArray:
    """Return the displacement at the squares, float32 (T, squares, 3), from single frames."""
    found = estimate_seen(seen, registration)
    modes = learn(registration.modes, [found.values], reach=0)
    values, ndim = found.values * modes.gain, found.whole.shape[1]
    at = np.zeros((len(seen), n_squares, 3), np.float32)
    if registration.rigid:
        at[..., 3 - ndim :] = shifts_of(found.whole, values, registration).rigid[:, None]
    else:
        at += modes_at_squares(values, modes)
        at[..., 3 - ndim :] += found.whole[:, None]
    return at


def _fits(seen: FloatArray, at: FloatArray, registration: Registration, judged: BoolArray) -> FloatArray:
    """Return the log-likelihood of the judged squares at the displacements ``at``, float64 (T,)."""
    offsets = np.rint(at)
    surfaces = square_agreement(seen, offsets, registration.squares)
    found = linearise(surfaces, registration.squares, at - offsets, np.ones(at.shape[:2], np.float32))
    return found[:, judged, 0].sum(1, dtype=np.float64)
