"""Make a recording's template, and decide how its frames are corrected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.motion import Shifts
from caiman_pipeline.model.movie import MovieInfo
from caiman_pipeline.motion.choose import METHODS, judge
from caiman_pipeline.motion.in_pixels import MotionPlan
from caiman_pipeline.motion.nodes import middle_nodes
from caiman_pipeline.motion.records import TemplateResult, slice_shifts
from caiman_pipeline.motion.saved import check_template, modes_to_arrays, open_source
from caiman_pipeline.motion.scan import find_scan_offset
from caiman_pipeline.motion.source import Source, read_ahead
from caiman_pipeline.motion.template import OUTSIDE_SHARE, choose_stretches, refine_template, start_image, weight_of
from caiman_pipeline.motion.warp import Scratch, plan_warp, warp_sum
from caiman_pipeline.movies.readers.open import RawMovie, open_file
from caiman_pipeline.results.files import load_result
from caiman_pipeline.results.provenance import of_another_run
from caiman_pipeline.results.records import shifts_from_result

if TYPE_CHECKING:
    from caiman_pipeline.config.motion import MotionSettings

# Resonant mirrors are off by a few pixels at most.
MAX_SCAN_OFFSET_PX = 10
# Frames spread over the recording of which the scan offset, or a template from a movie file, is made.
SCAN_FRAMES = 200


def measure_scan_offset(source: Source) -> float:
    """Return how far odd rows lie to the right of even ones, from frames spread over the recording, pixels.

    Parameters
    ----------
    source : Source
        The recording's raw frames, scan offset not undone.

    Returns
    -------
    float
        Offset, pixels, to a hundredth.
    """
    good = np.flatnonzero(source.good(0, source.n_frames))
    chosen = good[np.unique(np.linspace(0, len(good) - 1, min(SCAN_FRAMES, len(good))).round().astype(int))]
    means = [source.read_frames(part).mean(0) for part in np.array_split(chosen, max(1, len(chosen) // 16))]
    return round(find_scan_offset(np.stack(means), max_offset_px=MAX_SCAN_OFFSET_PX), 2)


def make_template(
    source: Source,
    plan: MotionPlan,
    *,
    method: str,
    keep_better: bool,
    image: FloatArray | None,
    count: int,
    rounds: int,
    threads: int,
    progress: Callable[[int, int], None],
) -> TemplateResult:
    """Make a template and learn how to register frames to it.

    Parameters
    ----------
    source : Source
        The recording's raw frames.
    plan : MotionPlan
        What to estimate, in pixels.
    method : str
        none, rigid or piecewise: the most that is wanted.
    keep_better : bool
        Take less where that fits unseen pixels better.
    image : float32 (*dims), or None
        A template to use as it is, in raw pixel values.
    count : int
        Frames in the sample.
    rounds : int
        Rounds of rigid refinement.
    threads : int
        Threads for Fourier transforms.
    progress : callable
        Called with the rounds that are done, and those in all.

    Returns
    -------
    TemplateResult
        The template, and how to register frames to it.

    Notes
    -----
    Where no frame of the sample holds anything, or no axis may move, the mean of the sample is the template and the
    method is ``none``.

    References
    ----------
    Pnevmatikakis & Giovannucci 2017, NoRMCorre. doi:10.1016/j.jneumeth.2017.07.031
    """
    stretches = choose_stretches(source, count=count, reach=plan.reach)
    mean, _ = sample_mean(source, stretches, None)
    empty = not any(source.good(a, b).any() for a, b in stretches)
    if method == "none" or empty or not any(plan.max_shift):
        return _unregistered(source, mean if image is None else image, mean, stretches)
    start = image if image is not None else start_image(source, stretches, high_pass=plan.high_pass)
    refined = refine_template(
        source, stretches, start, plan=plan, rounds=rounds, fixed=image is not None, threads=threads, progress=progress
    )
    template = refined.image
    verdict = judge(source, stretches, refined.registration, wanted=method)
    kept = verdict.kept if keep_better else method
    if kept == "none" and image is None:
        template = mean
    return TemplateResult(
        template=template,
        weight=refined.registration.weight,
        mask=refined.inside,
        mean_before=mean,
        method=kept,
        scores=verdict.scores,
        scan_offset_px=source.scan_offset_px,
        sample=np.array(stretches),
        modes=modes_to_arrays(refined.registration.modes),
        given=None,
        no_shifts=np.zeros(0, np.int64),
    )


def make_given(source: Source, motion: Path | str, *, count: int) -> TemplateResult:
    """Return a template for frames whose shifts are known already, from another recording's ``motion.h5``.

    Parameters
    ----------
    source : Source
        The raw frames of the movie to move.
    motion : path
        ``motion.h5`` of the recording that the shifts come from.
    count : int
        Frames in the sample that the template is the mean of.

    Returns
    -------
    TemplateResult
        The mean of the sample's frames moved back, with method ``given``.

    Raises
    ------
    PipelineError
        If the shifts are those of a movie of another length or other dimensions.
    """
    with of_another_run():
        saved = load_result(motion, "motion")
    given, dims = shifts_from_result(saved), saved["template"].shape
    if given.n_frames != source.n_frames or dims != source.dims:
        raise PipelineError(
            f"{motion}: the given shifts are of {given.n_frames} frames of {dims}, but the movie has {source.n_frames} "
            f"frames of {source.dims}. Take them from a channel recorded at the same time."
        )
    stretches = choose_stretches(source, count=count, reach=0)
    mean, _ = sample_mean(source, stretches, None)
    template, outside = sample_mean(source, stretches, given)
    result = _unregistered(source, template, mean, stretches)
    unknown = np.flatnonzero(saved["left_out"]) if "left_out" in saved.arrays else result.no_shifts
    inside = result.mask & (outside <= OUTSIDE_SHARE)
    return replace(result, method="given", given=given, mask=inside, no_shifts=unknown)


def _unregistered(
    source: Source, template: FloatArray, mean: FloatArray, stretches: list[tuple[int, int]]
) -> TemplateResult:
    weight = weight_of(np.ones(source.dims), source)
    return TemplateResult(
        template=template,
        weight=weight,
        mask=weight > 0,
        mean_before=mean,
        method="none",
        scores=np.zeros(len(METHODS)),
        scan_offset_px=source.scan_offset_px,
        sample=np.array(stretches),
        modes={},
        given=None,
        no_shifts=np.zeros(0, np.int64),
    )


def sample_mean(
    source: Source, stretches: list[tuple[int, int]], given: Shifts | None
) -> tuple[FloatArray, FloatArray]:
    """Return the mean of the sample's good frames, raw or moved back by given shifts.

    Parameters
    ----------
    source : Source
        The recording's raw frames.
    stretches : list of (int, int)
        First frame of each stretch of the sample, and the one after its last.
    given : Shifts or None
        Shifts of the whole recording; None for the raw mean.

    Returns
    -------
    mean : float32 (*dims)
        Mean, in raw pixel values; 0 where no frame is good.
    outside : float64 (*dims)
        Share of good frames in which a pixel comes from outside the field of view.
    """
    total, used, outside, scratch = np.zeros(source.dims), 0, np.zeros(source.dims, np.int32), Scratch()
    nodes = given.grid if given and given.grid else middle_nodes(source.dims)
    warping = plan_warp(source.dims, nodes, inside=source.inside, border="nearest", minimum=0.0)
    spare: list[FloatArray] = []
    for start, stop, frames in read_ahead(source, stretches, spare):
        good = source.good(start, stop)
        frames[~good] = 0.0
        if given is None:
            total += frames.sum(0, dtype=np.float64)
        else:
            shifts = slice_shifts(given, start, stop)
            warp_sum(frames, shifts, warping, good=good, total=total, outside=outside, scratch=scratch)
        used += int(good.sum())
        spare.append(frames)
    return (total / max(used, 1)).astype(np.float32), outside / max(used, 1)


def build(
    info: MovieInfo,
    plan: MotionPlan,
    settings: MotionSettings,
    *,
    threads: int,
    progress: Callable[[int, int], None],
    movie: RawMovie | None = None,
) -> TemplateResult:
    """Make the template of an inspected recording as its settings say.

    Parameters
    ----------
    info : MovieInfo
        The inspected recording.
    plan : MotionPlan
        What to estimate, in pixels.
    settings : MotionSettings
        Section ``motion``.
    threads : int
        Threads for Fourier transforms.
    progress : callable
        Called with the rounds that are done, and those in all.
    movie : RawMovie, optional
        Frames of a recording that is in no file.

    Returns
    -------
    TemplateResult
        The template, and how to register frames to it.

    Raises
    ------
    PipelineError
        If a given template or given shifts cannot be read, or do not fit the movie.
    """
    offset = settings.scan_offset
    if settings.shifts_from is not None and offset == "auto":
        with of_another_run():
            offset = float(load_result(settings.shifts_from, "motion")["scan_offset_px"])
    source = open_source(info, plan, settings, scan_offset_px=0.0 if offset == "auto" else offset, movie=movie)
    if offset == "auto":
        source = replace(source, scan_offset_px=measure_scan_offset(source))
    if settings.shifts_from is not None:
        return make_given(source, settings.shifts_from, count=settings.template_frames)
    image = None
    if settings.template is not None:
        image = check_template(load_image(settings.template), plan, settings.template)
    return make_template(
        source,
        plan,
        method=settings.method,
        keep_better=settings.keep_better,
        image=image,
        count=settings.template_frames,
        rounds=settings.template_rounds,
        threads=threads,
        progress=progress,
    )


def load_image(path: str) -> FloatArray:
    """Read a template: a movie file (its mean), or another recording's ``motion.h5``.

    Parameters
    ----------
    path : str
        A movie, or a file named ``motion.h5``.

    Returns
    -------
    float32 (*dims)
        The image, in raw pixel values; of a movie, the mean of at most the first 200 frames.

    Raises
    ------
    PipelineError
        If it cannot be read.
    """
    if Path(path).name.endswith("motion.h5"):
        with of_another_run():
            return load_result(path, "motion")["template"]
    reader = open_file(path)
    return reader.read(0, min(reader.n_frames, SCAN_FRAMES)).mean(0, dtype=np.float64).astype(np.float32)
