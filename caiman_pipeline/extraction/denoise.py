"""The model's traces inside the updates: raw traces without noise, by the model of the ``traces`` stage."""

from __future__ import annotations

from collections.abc import Callable

from caiman_pipeline.config.traces import TraceSettings
from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.movies.left_out import put_back_left_out
from caiman_pipeline.traces.activity import infer_block
from caiman_pipeline.traces.timing import Timing


def make_denoiser(
    settings: TraceSettings, timing: Timing, *, kept: BoolArray, threads: int
) -> Callable[[FloatArray], FloatArray]:
    """Return a function from raw traces (K, T) to the fluorescence of their model, float32 (K, T), with slow drifts.

    Parameters
    ----------
    settings : how calcium moves and noise is measured is the recording's, the other keys have their defaults: which
        events count is a matter of the ``traces`` stage, here neighbours are to be freed from each other
    kept : bool (frames of the recording,), the T frames that take part; calcium decays through the others, too
    """

    def denoise(raw: FloatArray) -> FloatArray:
        model = infer_block(put_back_left_out(raw, kept), settings, timing, threads=threads).fluorescence
        return model if kept.all() else model[:, kept]

    return denoise
