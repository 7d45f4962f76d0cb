"""Apply shifts that are known already to another movie of the same scene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from caiman_pipeline.model.arrays import BoolArray
from caiman_pipeline.model.movie import MovieInfo
from caiman_pipeline.motion.correct import correct_block
from caiman_pipeline.motion.in_pixels import make_plan
from caiman_pipeline.motion.make import make_given
from caiman_pipeline.motion.saved import make_correction, open_source
from caiman_pipeline.movies.store.bounds import block_parts
from caiman_pipeline.results.files import load_result

if TYPE_CHECKING:
    from caiman_pipeline.config.motion import MotionSettings


def apply_shifts(
    info: MovieInfo,
    motion: Path,
    folder: Path,
    *,
    settings: MotionSettings,
    threads: int,
    progress: Callable[[int, int], None],
) -> BoolArray:
    """Write the frames of an inspected movie, moved back by the shifts in ``motion.h5``, as parts into ``folder``.

    Parameters
    ----------
    info : MovieInfo
        The inspected movie to move.
    motion : path
        ``motion.h5`` of a movie of as many frames, of the same size.
    folder : path
        Where the parts are written.
    settings : MotionSettings
        Section ``motion``: region, border, interpolation, listed frames.
    threads : int
        Threads to use.
    progress : callable
        Called with the frames that are done, and those in all.

    Returns
    -------
    valid : bool (*dims)
        Pixels inside the field of view in nearly all frames.

    Raises
    ------
    PipelineError
        If the shifts are those of another number of frames or other dimensions.
    """
    plan = make_plan(settings, dims=info.dims, frame_rate_hz=info.frame_rate_hz)
    offset = float(load_result(motion, "motion")["scan_offset_px"])
    source = open_source(info, plan, settings, scan_offset_px=offset)
    template = make_given(source, motion, count=settings.template_frames)
    correction = make_correction(
        source, template, plan, settings=settings, values=(info.value_min, info.value_max), threads=threads
    )
    parts = block_parts(info.n_frames, info.dims, 0, 1)
    block = correct_block(source, parts, folder, correction=correction, progress=progress)
    number = max(int(source.good(0, source.n_frames).sum()), 1)
    allowed = 0.0 if settings.border == "nan" else settings.max_outside_fraction
    return np.asarray(block.outside <= allowed * number)
