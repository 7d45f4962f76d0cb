"""The model's traces inside the updates: raw traces deconvolved with the indicator's nominal decay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from caiman_pipeline.io.left_out import spread_over
from caiman_pipeline.traces.ar_model import nominal_coefficients
from caiman_pipeline.traces.foopsi import DeconvolutionMethod, deconvolve
from caiman_pipeline.types import FloatArray


def make_denoiser(
    *, frame_rate_hz: float, decay_time_s: float, kept: FloatArray, threads: int
) -> Callable[[FloatArray], FloatArray]:
    """Return a function from raw traces (K, T) to baseline plus calcium, float32 (K, T).

    Parameters
    ----------
    kept : bool (frames of the recording,), the T frames that take part; calcium decays through the others, too

    Notes
    -----
    AR(1) with the penalty set by the noise. The ``traces`` stage deconvolves with all its options; here the traces only
    have to be good enough to free neighbours from each other.
    """
    nominal = nominal_coefficients(order=1, decay_frames=decay_time_s * frame_rate_hz, rise_frames=0.0)
    method = DeconvolutionMethod(
        order=1, penalty="l1", penalty_bounds=(0.0, np.inf), s_min=0.0, baseline="free",
        noise_band=(0.25, 0.5), noise_average="mean", lags=5, fudge_factor=1.0, nominal_ar=nominal,
    )  # fmt: skip

    def denoise(raw: FloatArray) -> FloatArray:
        ar = np.tile(np.array(nominal), (len(raw), 1))
        result = deconvolve(spread_over(raw, kept), method, ar=ar, threads=threads)
        denoised = result.denoised if kept.all() else result.denoised[:, kept]
        return (denoised + result.baseline[:, None]).astype(np.float32)

    return denoise
