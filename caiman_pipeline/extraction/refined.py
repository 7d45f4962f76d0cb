"""The refinement of a recording as its settings say, from wherever it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from caiman_pipeline.extraction.denoise import make_denoiser
from caiman_pipeline.extraction.refine import prepare_field, refine
from caiman_pipeline.extraction.refit import Start
from caiman_pipeline.extraction.tiles.in_pixels import plan_refine
from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.components import Components
from caiman_pipeline.movies.store.parts import MovieStore
from caiman_pipeline.results.long_tables import Tables
from caiman_pipeline.traces.timing import timing_from

if TYPE_CHECKING:
    from caiman_pipeline.config.recording import RecordingSettings
    from caiman_pipeline.config.refine import RefineSettings
    from caiman_pipeline.config.traces import TraceSettings


def refine_as_set(
    movie: MovieStore,
    start: Start,
    settings: RefineSettings,
    recording: RecordingSettings,
    *,
    model: TraceSettings,
    mean: FloatArray,
    noise: FloatArray,
    tables: Tables,
    threads: int,
    progress: Callable[[int, int], None],
) -> Components:
    """Update a recording's components over the full field as its settings say; see ``refine``.

    Parameters
    ----------
    start : merged candidates, or components to refine again; their ids are kept
    model : how traces are denoised inside the updates
    mean, noise : float32 (*dims), mean image and standard deviation per frame
    tables : where traces and background signals are kept

    Raises
    ------
    PipelineError
        If a fact about the recording is missing or does not fit the movie.
    """
    plan = plan_refine(settings, recording, movie.dims, bin_frames=start.bin_frames, shapeless=start.shapeless)
    timing = timing_from(plan.frame_rate_hz, plan.decay_time_s)
    components = refine(
        prepare_field(movie, mean=mean, noise=noise, background=plan.background, threads=threads),
        start.footprints,
        start.traces,
        n_seeds=start.n_seeds,
        settings=plan.updates,
        denoise=make_denoiser(model, timing, kept=movie.kept, threads=threads),
        tables=tables,
        progress=progress,
    )
    return replace(components, ids=start.ids[components.ids])
