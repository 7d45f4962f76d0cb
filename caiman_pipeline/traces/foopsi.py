"""Deconvolve many traces at once: activity per frame and calcium without noise, under exact constraints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.numerics.noise import noise_level
from caiman_pipeline.numerics.threads import map_ordered, row_slabs
from caiman_pipeline.traces.ar_model import ar_coefficients, fill_gaps
from caiman_pipeline.traces.one_trace import AR_FALLBACK, FLAG_NAMES, Problem, solve_row

# Traces that one task solves; changes no result.
SLAB_ROWS = 2


@dataclass(frozen=True)
class DeconvolutionMethod:
    """How to deconvolve.

    Attributes
    ----------
    order : of the autoregression, 0 (no dynamics), 1 (instant rise) or 2 (rise and decay)
    penalty : ``l1``, set by the noise constraint; ``l0``, smallest event ``s_min``; or ``nonnegative``, no penalty
    penalty_bounds : smallest and largest l1 penalty that the noise constraint may set, in units of what noise alone
        causes (noise x Euclidean norm of a transient); (0, inf) leaves it the constraint's
    busy_share : no l1 penalty remains where calcium exceeds the noise in more than this share of the frames
    s_min : smallest event with ``l0``: in the traces' unit (divided by ``gain``, where one is given to ``deconvolve``),
        in units of noise x sqrt(1 - decay) where negative, set by the noise constraint where 0
    baseline : ``free``, ``nonnegative``, or ``fixed`` (at the level given to ``deconvolve``, else 0)
    noise_band : cycles per frame; ``noise_average`` : mean, median or logmexp
    lags, fudge_factor : of the AR estimate
    nominal_ar : (order,), coefficients where the estimate fails
    """

    order: Literal[0, 1, 2]
    penalty: Literal["l1", "l0", "nonnegative"]
    penalty_bounds: tuple[float, float]
    busy_share: float
    s_min: float
    baseline: Literal["free", "nonnegative", "fixed"]
    noise_band: tuple[float, float]
    noise_average: Literal["mean", "median", "logmexp"]
    lags: int
    fudge_factor: float
    nominal_ar: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.nominal_ar) != self.order:
            raise ValueError(f"nominal_ar must have {self.order} values, got {self.nominal_ar}")


@dataclass(frozen=True)
class Deconvolution:
    """Result of ``deconvolve``; ``trace = baseline + denoised + noise``.

    Attributes
    ----------
    denoised, deconvolved : float32 (K, T), calcium and what enters it in each frame, in the traces' unit
    baseline, noise, sparsity : float32 (K,); the penalty is on the sum of ``deconvolved``, in the traces' unit
    ar : float32 (K, order)
    flags : (K,) words separated by blanks, empty where nothing is the matter
    own_decay : float32 (K,), 1/e decay of each trace's autocovariance, frames, NaN where it does not decay; None where
        it was not looked for
    """

    denoised: FloatArray
    deconvolved: FloatArray
    baseline: FloatArray
    noise: FloatArray
    ar: FloatArray
    sparsity: FloatArray
    flags: tuple[str, ...]
    own_decay: FloatArray | None = None


def deconvolve(
    traces: FloatArray,
    method: DeconvolutionMethod,
    *,
    noise: FloatArray | None = None,
    ar: FloatArray | None = None,
    baseline: FloatArray | None = None,
    sparsity: FloatArray | None = None,
    gain: FloatArray | None = None,
    start: Deconvolution | None = None,
    threads: int = 1,
) -> Deconvolution:
    """Deconvolve traces: min sum s with s_t = c_t - sum_k g_k c_(t-k) >= 0 and sum (y - b - c)^2 = noise^2 T.

    Parameters
    ----------
    traces : float32 (K, T)
        Any unit; frames that are not finite are missing data.
    method : DeconvolutionMethod
        Order, penalty, baseline, and how to estimate what is not given.
    noise : float (K,), optional
        Standard deviation per frame where it is known, else it is estimated.
    ar : float (K, order), optional
        AR coefficients where they are known, else they are estimated.
    baseline : float (K,), optional
        The level where ``method.baseline`` is ``fixed``; 0 without it.
    sparsity : float (K,), optional
        The penalty where it is known and the noise constraint is not to set it.
    gain : float (K,), optional
        By what the result is going to be multiplied, so that ``method.s_min`` is in the unit that it has then.
    start : Deconvolution, optional
        An earlier result for about the same traces, from which the search begins; it does not change the solution.
    threads : int
        Traces to work on at a time.

    Returns
    -------
    Deconvolution
        Calcium, activity, baseline and noise in the traces' unit.

    Notes
    -----
    Each row's result depends on that row alone. Missing frames are NaN in ``denoised`` and ``deconvolved``; what
    rises in a gap counts as activity of the first frame after it. The first frame's calcium is a starting value that
    decays from there, and its activity is 0. With order 0, activity is the calcium itself, in the first frame too.

    References
    ----------
    Friedrich, Zhou & Paninski 2017, 10.1371/journal.pcbi.1005423; Pnevmatikakis et al. 2016,
    10.1016/j.neuron.2015.11.037.

    Examples
    --------
    >>> import numpy as np
    >>> spikes = np.zeros(300)
    >>> spikes[[40, 120, 220]] = 1.0
    >>> calcium = np.convolve(spikes, 0.9 ** np.arange(60))[:300]
    >>> trace = 5 + calcium + np.random.default_rng(0).normal(0, 0.05, 300)
    >>> method = DeconvolutionMethod(order=1, penalty="l1", penalty_bounds=(0.0, np.inf), busy_share=1.0, s_min=0.0,
    ...                              baseline="free", noise_band=(0.25, 0.5), noise_average="logmexp", lags=5,
    ...                              fudge_factor=1.0, nominal_ar=(0.9,))
    >>> found = deconvolve(trace[None].astype(np.float32), method, ar=np.array([[0.9]]))
    >>> np.flatnonzero(found.deconvolved[0] > 0.5).tolist()
    [40, 120, 220]
    """
    filled, finite = fill_gaps(traces)
    if noise is None:
        noise = noise_level(traces, band=method.noise_band, average=method.noise_average, threads=threads)
    codes = np.zeros(len(filled), np.int64)
    if ar is None:
        ar, fallback = ar_coefficients(
            traces,
            noise,
            order=method.order,
            lags=method.lags,
            fudge_factor=method.fudge_factor,
            nominal=method.nominal_ar,
        )
        codes[fallback] |= AR_FALLBACK
    rows = _Rows(
        noise=np.array(noise, np.float64),
        ar=np.array(ar, np.float64).reshape(len(filled), method.order),
        baseline=np.zeros(len(filled)) if baseline is None else np.array(baseline, np.float64),
        sparsity=np.full(len(filled), -1.0) if sparsity is None else np.array(sparsity, np.float64),
        codes=codes,
        gain=np.ones(len(filled)) if gain is None else np.array(gain, np.float64),
    )
    denoised, deconvolved = _solve_rows(filled, finite, rows, method, start=start, threads=threads)
    columns = {name: getattr(rows, name).astype(np.float32) for name in ("baseline", "noise", "ar", "sparsity")}
    return Deconvolution(denoised, deconvolved, flags=tuple(_name_flags(int(code)) for code in codes), **columns)


@dataclass(frozen=True)
class _Rows:
    """Numbers of each row, float64 (K,), ``ar`` (K, order): given or estimated, and ``baseline`` to ``codes`` found."""

    noise: FloatArray
    ar: FloatArray
    gain: FloatArray
    baseline: FloatArray
    sparsity: FloatArray
    codes: IntArray


def _solve_rows(
    filled: FloatArray,
    finite: BoolArray,
    rows: _Rows,
    method: DeconvolutionMethod,
    *,
    start: Deconvolution | None,
    threads: int,
) -> tuple[FloatArray, FloatArray]:
    """Return calcium and activity, float32 (K, T), NaN in gaps; write baseline, sparsity and codes of each row."""
    denoised, deconvolved = np.empty_like(filled), np.empty_like(filled)
    guesses = None if start is None else np.nan_to_num(start.deconvolved)

    def solve(slab: tuple[int, int]) -> None:
        for k in range(*slab):
            problem = Problem(
                ar=tuple(rows.ar[k].tolist()),
                noise=float(rows.noise[k]),
                penalty=method.penalty,
                s_min=method.s_min / float(rows.gain[k]),
                bounds=method.penalty_bounds,
                busy_share=method.busy_share,
                baseline=method.baseline,
                level=float(rows.baseline[k]),
                sparsity=float(rows.sparsity[k]),
                guess=None if guesses is None else guesses[k],
            )
            row = solve_row(filled[k], finite[k], problem)
            denoised[k], deconvolved[k] = row.calcium, row.activity
            rows.sparsity[k], rows.baseline[k] = row.sparsity, row.baseline
            rows.codes[k] |= row.flags

    map_ordered(solve, row_slabs(len(filled), SLAB_ROWS), threads)
    denoised[~finite] = deconvolved[~finite] = np.nan
    return denoised, deconvolved


def _name_flags(code: int) -> str:
    return " ".join(name for bit, name in enumerate(FLAG_NAMES) if code >> bit & 1)
