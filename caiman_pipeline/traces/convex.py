"""The same problem given to a convex solver: slow, and independent of the package's own solvers."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, lil_matrix

from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.traces.ar_model import ar_roots
from caiman_pipeline.traces.foopsi import Deconvolution
from caiman_pipeline.traces.solvers import require_cvxpy


def difference_matrix(ar: FloatArray, n_frames: int) -> csr_matrix:
    """Return G with s = G c; the first frame's calcium counts whole and decays at the slow root.

    Parameters
    ----------
    ar : float (order,)
        AR coefficients per frame.
    n_frames : int
        Frames, T.

    Returns
    -------
    csr_matrix float64 (T, T)
        Lower triangular, one diagonal more than the order.

    Examples
    --------
    >>> difference_matrix([0.5], 3).toarray().tolist()
    [[1.0, 0.0, 0.0], [-0.5, 1.0, 0.0], [0.0, -0.5, 1.0]]
    """
    matrix = lil_matrix((n_frames, n_frames))
    matrix.setdiag(1.0)
    for lag, g in enumerate(ar, start=1):
        matrix.setdiag(-float(g), k=-lag)
    if len(ar) == 2 and n_frames > 1:
        matrix[1, 0] = -ar_roots(float(ar[0]), float(ar[1]))[0]
    return matrix.tocsr()


def deconvolve_convex(
    traces: FloatArray, *, noise: FloatArray, ar: FloatArray, baseline: str, levels: FloatArray, solver: str
) -> Deconvolution:
    """Solve min sum s, s = G c >= 0, |y - b - c| <= noise sqrt(T) for each trace with cvxpy.

    Parameters
    ----------
    traces : float32 (K, T)
        Any unit; frames that are not finite are left out of the norm.
    noise : float (K,)
        Standard deviation per frame, in the same unit.
    ar : float (K, order)
        AR coefficients per frame.
    baseline : str
        ``free`` (not below the trace's minimum), ``nonnegative``, or ``fixed``.
    levels : float (K,)
        The baseline where it is fixed.
    solver : str
        Its name in cvxpy.

    Returns
    -------
    Deconvolution
        As ``foopsi.deconvolve`` returns it, in the traces' unit.

    Raises
    ------
    PipelineError
        If cvxpy or the solver is missing, or fails on a trace.

    References
    ----------
    Pnevmatikakis et al. 2016, 10.1016/j.neuron.2015.11.037
    """
    require_cvxpy()
    rows = [
        _solve_one(y, float(sd), g, baseline=baseline, level=float(level), solver=solver)
        for y, sd, g, level in zip(traces, noise, ar, levels, strict=True)
    ]
    calcium, activity, found_levels, penalties, flags = zip(*rows, strict=True)
    return Deconvolution(
        np.array(calcium, np.float32),
        np.array(activity, np.float32),
        np.array(found_levels, np.float32),
        np.asarray(noise, np.float32),
        np.asarray(ar, np.float32),
        np.array(penalties, np.float32),
        tuple(flags),
    )


def _solve_one(
    y: FloatArray, noise: float, ar: FloatArray, *, baseline: str, level: float, solver: str
) -> tuple[FloatArray, FloatArray, float, float, str]:
    import cvxpy as cp

    finite = np.isfinite(y)
    if not finite.any() or np.ptp(y[finite]) == 0:
        return _nothing(y, finite)
    scale, centre = float(y[finite].std()), float(y[finite].mean())
    target = (y[finite].astype(np.float64) - centre) / scale
    matrix = difference_matrix(ar, len(y))
    calcium, b = cp.Variable(len(y)), cp.Variable()
    activity, residual = matrix @ calcium, target - b - calcium[np.flatnonzero(finite)]
    lowest = {"free": float(target.min()), "nonnegative": -centre / scale, "fixed": (level - centre) / scale}[baseline]
    limits = [activity >= 0, b == lowest if baseline == "fixed" else b >= lowest]
    within = cp.norm(residual) <= noise / scale * np.sqrt(finite.sum())
    try:
        problem = cp.Problem(cp.Minimize(cp.sum(activity)), [within, *limits])
        problem.solve(solver=solver)
        reached = problem.status in ("optimal", "optimal_inaccurate")
        if not reached:
            problem = cp.Problem(cp.Minimize(cp.norm(residual)), limits)
            problem.solve(solver=solver)
    except cp.error.SolverError as error:
        raise PipelineError(f"`traces.solver: {solver}` cannot be used ({error}). Try CLARABEL.") from error
    dual = float(within.dual_value or 0.0) if reached else 0.0
    penalty = float(np.linalg.norm(residual.value)) / dual * scale if dual > 0 else 0.0
    c = np.where(finite, calcium.value, np.nan) * scale
    s = np.where(finite, np.maximum(matrix @ calcium.value, 0.0), np.nan) * scale
    if len(ar):
        s[0] = 0.0 if finite[0] else np.nan
    flags = ("" if finite.all() else "gap", "" if reached else "noise_unreachable")
    return c, s, float(b.value) * scale + centre, penalty, " ".join(f for f in flags if f)


def _nothing(y: FloatArray, finite: BoolArray) -> tuple[FloatArray, FloatArray, float, float, str]:
    quiet = np.where(finite, 0.0, np.nan)
    if not finite.any():
        return quiet, quiet, np.nan, np.nan, "no_data"
    value = float(y[finite][0])
    gap = "" if finite.all() else "gap "
    return quiet, quiet, value, 0.0, gap + ("zero" if value == 0 else "constant")
