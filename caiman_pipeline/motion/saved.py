"""From settings and results to what the motion stage works with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from caiman_pipeline.config.bad_frames import frames_listed
from caiman_pipeline.model.arrays import FloatArray, NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import MovieInfo
from caiman_pipeline.motion.correct import Correction
from caiman_pipeline.motion.estimate import Registration, prepare_registration
from caiman_pipeline.motion.in_pixels import MotionPlan
from caiman_pipeline.motion.modes import Modes
from caiman_pipeline.motion.nodes import middle_nodes
from caiman_pipeline.motion.records import TemplateResult, sum_scale
from caiman_pipeline.motion.source import Source, usable_bounds
from caiman_pipeline.motion.sums import Likeness
from caiman_pipeline.motion.warp import plan_warp
from caiman_pipeline.movies.readers.open import RawMovie, open_inspected

if TYPE_CHECKING:
    from caiman_pipeline.config.motion import MotionSettings


def open_source(
    info: MovieInfo,
    plan: MotionPlan,
    settings: MotionSettings,
    *,
    scan_offset_px: float,
    movie: RawMovie | None = None,
) -> Source:
    """Open a recording's raw frames for motion correction; ``movie`` are those of a recording that is in no file.

    Parameters
    ----------
    info : MovieInfo
        The inspected recording.
    plan : MotionPlan
        Which region of the frames to use.
    settings : MotionSettings
        Section ``motion``: frames that the user lists as bad.
    scan_offset_px : float
        How far odd rows lie to the right of even ones.
    movie : RawMovie, optional
        Frames of a recording that is in no file; else they are read from the files of ``info``.

    Returns
    -------
    Source
        Frames as motion correction reads them.
    """
    return Source(
        movie=open_inspected(info) if movie is None else movie,
        inside=usable_bounds(info.border_px, plan.region, info.dims),
        scan_offset_px=scan_offset_px,
        bad_frames=tuple(sorted({*info.bad_frames, *frames_listed(settings.bad_frames, info.file_frames)})),
        filled=any(map(any, info.border_px)),
    )


def make_correction(
    source: Source,
    template: TemplateResult,
    plan: MotionPlan,
    *,
    settings: MotionSettings,
    values: tuple[float, float],
    threads: int,
) -> Correction:
    """Prepare for correcting a recording's frames.

    Parameters
    ----------
    source : Source
        The recording's raw frames.
    template : TemplateResult
        What to register to, or shifts that are given.
    plan : MotionPlan
        What to estimate, in pixels.
    settings : MotionSettings
        Section ``motion``: border and interpolation.
    values : (float, float)
        Smallest and largest pixel value of the movie.
    threads : int
        Threads for Fourier transforms.

    Returns
    -------
    Correction
        What ``correct_block`` does with every frame.
    """
    local = replace(plan, spacing=plan.patch_spacing)
    flow = prepare(template, local, threads=threads) if any(plan.max_shift) else None
    registration = None
    if template.method in ("rigid", "piecewise"):
        prepared = flow if flow and plan == local else prepare(template, plan, threads=threads)
        registration = replace(prepared, rigid=template.method == "rigid")
    scale, nodes = sum_scale(*values), _nodes(template, registration)
    return Correction(
        registration=registration,
        given=template.given,
        warping=plan_warp(plan.dims, nodes, inside=source.inside, border=settings.border, minimum=values[0]),
        fourier=settings.interpolation == "fourier",
        blank=template.template,
        before=Likeness(template.mean_before, template.mask, scale),
        after=Likeness(template.template, template.mask, scale),
        flow=flow,
        scale=scale,
    )


def prepare(template: TemplateResult, plan: MotionPlan, *, threads: int) -> Registration:
    """Prepare for registering frames to a saved template.

    Parameters
    ----------
    template : TemplateResult
        With the modes that were learned.
    plan : MotionPlan
        What to estimate, in pixels.
    threads : int
        Threads for Fourier transforms.

    Returns
    -------
    Registration
        All that ``estimate`` needs.
    """
    return prepare_registration(
        template.template, template.weight, plan, modes=modes_from_arrays(template), threads=threads
    )


def modes_to_arrays(modes: Modes) -> dict[str, NumberArray]:
    """Flatten modes for ``save_result``.

    Parameters
    ----------
    modes : Modes
        The modes.

    Returns
    -------
    dict
        Arrays by the names of their fields.
    """
    return {name: np.asarray(value) for name, value in vars(modes).items()}


def modes_from_arrays(template: TemplateResult) -> Modes | None:
    """Rebuild modes, None if there are none.

    Parameters
    ----------
    template : TemplateResult
        As it was read.

    Returns
    -------
    Modes or None
        The modes; None without registration.
    """
    if not template.modes:
        return None
    values = dict(template.modes)
    values["axes"], values["noise"] = tuple(int(a) for a in values["axes"]), float(values["noise"])
    return Modes(**values)


def _nodes(template: TemplateResult, registration: Registration | None) -> tuple[FloatArray, ...]:
    if template.given is not None and template.given.field is not None:
        return template.given.grid
    if registration is not None:
        return registration.nodes
    return middle_nodes(template.template.shape)


def check_template(image: FloatArray, plan: MotionPlan, path: str) -> FloatArray:
    """Return a template given by the user as float32 dims.

    Parameters
    ----------
    image : array (*dims)
        The template, in raw pixel values.
    plan : MotionPlan
        Of the movie.
    path : str
        Where it was read from, for the message.

    Returns
    -------
    float32 (*dims)
        The same image.

    Raises
    ------
    PipelineError
        If it does not fit the movie or holds pixels that are not finite.
    """
    if image.shape != plan.dims:
        raise PipelineError(
            f"{path}: a template of {image.shape} does not fit frames of {plan.dims}. Give one of the movie's size."
        )
    if not np.isfinite(image).all():
        raise PipelineError(f"{path}: the template holds pixels that are not finite. Fill them first.")
    return np.ascontiguousarray(image, np.float32)
