"""Deconvolved and relative traces of components."""

from __future__ import annotations

from dataclasses import dataclass

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.model.checks import require


@dataclass(frozen=True)
class Traces:
    """Deconvolution and DF/F of every component, row-aligned with ``ids``.

    Attributes
    ----------
    denoised, deconvolved : float32 (K, T), calcium without baseline, and activity per frame (same unit)
    baseline : float32 (K,), constant of the deconvolution
    fluorescence : float32 (K, T), F: the demixed trace and the running median of ``background``
    background : float32 (K, T), all background under the footprint, without dark level and ``neighbours_light``
    f0 : float32 (K, T), resting level of the demixed trace and the same running median; NaN where DF/F has no meaning
    dff : float32 (K, T), of the kind named by ``dff_kind``, made of ``fluorescence`` and ``f0``
    dff_denoised : float32 (K, T), the same of the fitted model, without noise
    neighbours_light : float32 (K,), light under the footprint of other components at rest
    noise : float32 (K,), standard deviation per frame
    ar : float32 (K, p), autoregressive coefficients; ``sparsity`` : float32 (K,), penalty used
    event_snr : float32 (K,), median height of events over noise, NaN without any; ``event_rate_hz`` : float32 (K,)
    own_decay_s : float32 (K,), 1/e decay of the trace's autocovariance; NaN without events or decay
    flags : (K,) text, empty or what is the matter with a trace
    """

    ids: IntArray
    denoised: FloatArray
    deconvolved: FloatArray
    baseline: FloatArray
    fluorescence: FloatArray
    background: FloatArray
    f0: FloatArray
    dff: FloatArray
    dff_denoised: FloatArray
    dff_kind: str
    neighbours_light: FloatArray
    noise: FloatArray
    ar: FloatArray
    sparsity: FloatArray
    event_snr: FloatArray
    event_rate_hz: FloatArray
    own_decay_s: FloatArray
    flags: tuple[str, ...]

    def __post_init__(self) -> None:
        for name, values in vars(self).items():
            if name != "dff_kind":
                require(len(values) == len(self.ids), f"{name} must have one row per component")
