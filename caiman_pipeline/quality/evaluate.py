"""All measures of quality of all components."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from caiman_pipeline.extraction.footprints import cell_pixels
from caiman_pipeline.extraction.gaps import without_gaps
from caiman_pipeline.extraction.tiles.in_pixels import needed_facts
from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.model.components import Components
from caiman_pipeline.model.quality import Quality
from caiman_pipeline.movies.store.parts import MovieStore
from caiman_pipeline.numerics.threads import value_slabs
from caiman_pipeline.quality.classifier import Network, classify, load_network
from caiman_pipeline.quality.crops import crop_footprints, main_planes
from caiman_pipeline.quality.movement import Movement, displacement_basis, explained_share
from caiman_pipeline.quality.probability import cell_probability, cell_terms, load_cell_model
from caiman_pipeline.quality.shape import border_share, elongation, likeness, nesting, saturated_share
from caiman_pipeline.quality.snr import trace_snr
from caiman_pipeline.quality.spatial_corr import Contrast, activity_weights, compare_with_movie
from caiman_pipeline.results.stored_rows import row_blocks

if TYPE_CHECKING:
    from caiman_pipeline.config.evaluate import EvaluateSettings
    from caiman_pipeline.config.recording import RecordingSettings


def evaluate_as_set(
    movie: MovieStore,
    components: Components,
    settings: EvaluateSettings,
    recording: RecordingSettings,
    *,
    shifts: FloatArray,
    at_limit: BoolArray,
    ceiling: float | None,
    new_table: Callable[[tuple[int, int]], Any],
    threads: int,
    progress: Callable[[int, int], None],
) -> Quality:
    """Measure every component of a recording as its settings say; see ``evaluate``.

    Parameters
    ----------
    movie : MovieStore
        The corrected movie.
    components : Components
        Their traces have a sample for every frame of the recording.
    settings : EvaluateSettings
        Section ``evaluate``.
    recording : RecordingSettings
        Frame rate, decay time and cell diameter.
    shifts : float32 (T, ndim)
        Rigid displacement of all frames of the recording, pixels.
    at_limit : bool (T,)
        Frames that were shifted as far as allowed.
    ceiling : float or None
        Largest pixel value of a saturated recording, None for others.
    new_table : callable
        Returns a table of the given shape (rows, frames) to work on, by slices of rows or of frames.
    threads : int
        Threads to use.
    progress : callable
        Called with the frames that are done, and those in all.

    Returns
    -------
    Quality
        Every measure of every component.

    Raises
    ------
    PipelineError
        If a fact about the recording is missing or does not fit the movie.
    """
    facts, kept = needed_facts(recording, len(movie.dims), "evaluate"), movie.kept
    window = round(settings.motion_window_s * facts.frame_rate_hz)
    return evaluate(
        movie,
        without_gaps(components, kept),
        transient_frames=ceil(facts.frame_rate_hz * facts.decay_time_s),
        transients=settings.transients,
        margin_px=settings.margin.per_axis(len(movie.dims)),
        network=load_network(settings.model) if settings.classifier else None,
        cell_px=facts.cell_px,
        scales=settings.scales,
        ceiling=ceiling,
        movement=Movement(shifts[kept], ~at_limit[kept], window),
        new_table=new_table,
        threads=threads,
        progress=progress,
    )


def evaluate(
    movie: MovieStore,
    components: Components,
    *,
    transient_frames: int,
    transients: int,
    margin_px: tuple[float, ...],
    network: Network | None,
    cell_px: tuple[float, ...],
    scales: tuple[float, ...],
    ceiling: float | None,
    movement: Movement,
    new_table: Callable[[tuple[int, int]], Any],
    threads: int,
    progress: Callable[[int, int], None],
) -> Quality:
    """Measure every component; one pass over the movie.

    Parameters
    ----------
    movie : MovieStore
        The corrected movie.
    components : Components
        Their traces have a sample for every frame that takes part.
    transient_frames : int
        Frames that a typical transient lasts.
    transients : int
        Most transients that the spatial correlation looks at.
    margin_px : tuple of float
        How far around a footprint the spatial correlation looks, pixels along each axis.
    network : Network or None
        Judges the footprints' shapes; without one there are no scores (NaN).
    cell_px : tuple of float
        Diameter of a cell along each axis, pixels.
    scales : tuple of float
        Multiples of it to judge the shapes by.
    ceiling : float or None
        Largest pixel value of a saturated recording, None for others.
    movement : Movement
        Displacement of the movie's frames.
    new_table : callable
        Returns a table of the given shape (rows, frames) to work on, by slices of rows or of frames.
    threads : int
        Threads to use.
    progress : callable
        Called with the frames that are done, and those in all.

    Returns
    -------
    Quality
        Every measure of every component.

    References
    ----------
    Giovannucci et al. 2019, 10.7554/eLife.38173
    """
    footprints, dims, raw = components.footprints, components.dims, RawTraces(components)
    contrast, snr, moving = _measure_traces(
        components,
        movement.binned(components.frames_per_bin),
        transients=transients,
        transient_frames=transient_frames,
        new_table=new_table,
    )
    seen = compare_with_movie(movie, components, contrast, margin_px=margin_px, threads=threads, progress=progress)
    soma_score, size = soma_scores(components, network, cell_px=cell_px, scales=scales), footprint_sizes(components)
    strength = wholeness(len(dims), snr=snr, soma_score=soma_score, size_px=size, r_value=seen.r_value)
    return Quality(
        ids=components.ids,
        snr=snr,
        r_value=seen.r_value,
        size_px=size,
        soma_score=soma_score,
        probability=_probability(soma_score, snr, seen.r_value, size, cell_px),
        elongation=elongation(footprints, dims, cell_px=cell_px),
        border_share=border_share(footprints, dims, usable=components.noise > 0),
        saturated_share=saturated_share(footprints, seen.peaks, ceiling=ceiling),
        likeness=likeness(footprints, raw, snr),
        nesting=nesting(footprints, dims, strength, traces=raw if len(dims) == 2 else None),
        motion_share=moving,
    )


def _probability(
    soma_score: FloatArray, snr: FloatArray, r_value: FloatArray, size_px: FloatArray, cell_px: tuple[float, ...]
) -> FloatArray:
    """Return the probability that each component is a cell, float32 (K,); NaN in volumes: it was fitted to planes."""
    if len(cell_px) != 2:
        return np.full(len(snr), np.nan, np.float32)
    terms = cell_terms(
        soma_score=soma_score, snr=snr, r_value=r_value, size_px=size_px, cell_area_px=cell_pixels(cell_px)
    )
    return cell_probability(load_cell_model(), terms)


def wholeness(
    ndim: int, *, snr: FloatArray, soma_score: FloatArray, size_px: FloatArray, r_value: FloatArray
) -> FloatArray:
    """Return which of two components within each other is the cell and which a piece of it: the higher one.

    Parameters
    ----------
    ndim : int
        Axes of a frame, 2 or 3.
    snr : float32 (K,)
        Signal to noise of the traces.
    soma_score : float32 (K,)
        Probability of a soma; NaN, where it is not known, does not count.
    size_px : float32 (K,)
        Pixels of the footprints.
    r_value : float32 (K,)
        Correlation of the footprints with the movie.

    Returns
    -------
    float32 (K,)
        A rank, without unit.

    Notes
    -----
    In planes signal to noise tells. In volumes pieces come from motion across planes, which may be brighter than the
    cell's own activity: the whole is the larger one that the movie shows as it is, whose correlations lie near one.
    """
    looks = np.where(np.isfinite(soma_score), soma_score, 1)
    return looks * (snr if ndim == 2 else size_px * r_value**4)


@dataclass(frozen=True)
class RawTraces:
    """Demixed traces with their noise, float32 (K, T), of which some rows are read at a time."""

    components: Components

    @property
    def shape(self) -> tuple[int, int]:
        """Components and frames."""
        n_components, n_frames = self.components.denoised.shape
        return n_components, n_frames

    def __getitem__(self, rows: Any) -> FloatArray:
        return self.components.denoised[rows] + self.components.residual[rows]


def _measure_traces(
    components: Components,
    movement: Movement,
    *,
    transients: int,
    transient_frames: int,
    new_table: Callable[[tuple[int, int]], Any],
) -> tuple[Contrast, FloatArray, FloatArray]:
    """Return what to look at the movie with, and signal to noise and share of motion of each trace, float32 (K,)."""
    raw, signals = RawTraces(components), components.background.parts()[1]
    contrast = Contrast(new_table(raw.shape), new_table(raw.shape), new_table(signals.shape))
    snr, moving = np.empty(raw.shape[0], np.float32), np.empty(raw.shape[0], np.float32)
    basis = displacement_basis(movement)
    for start, stop in value_slabs(*raw.shape):
        rows = slice(start, stop)
        traces = raw[rows]
        contrast.weights[rows] = activity_weights(traces, transients=transients, transient_frames=transient_frames)
        contrast.denoised[rows] = components.denoised[rows]
        snr[rows] = trace_snr(traces, transient_frames=transient_frames)
        moving[rows] = explained_share(traces, movement, basis)
    for rows in row_blocks(signals):
        contrast.background[rows] = signals[rows]
    return contrast, snr, moving


def soma_scores(
    components: Components, network: Network | None, *, cell_px: tuple[float, ...], scales: tuple[float, ...]
) -> FloatArray:
    """Return the probability that each footprint is a soma's.

    Parameters
    ----------
    components : Components
        K of them.
    network : Network or None
        What judges the shapes.
    cell_px : tuple of float
        Diameter of a cell along each axis, pixels.
    scales : tuple of float
        Multiples of it to judge the shapes by.

    Returns
    -------
    float32 (K,)
        Probability; NaN without a network.

    Notes
    -----
    Of a volume's footprint the plane of most weight is looked at: there a soma looks like one in a plane. Of several
    scales the one that makes it look most like a soma counts.
    """
    if network is None:
        return np.full(components.n_components, np.nan, np.float32)
    sizes = [tuple(scale * d for d in cell_px[-2:]) for scale in scales]
    shown = main_planes(components.footprints, components.dims)
    crops = (crop_footprints(shown, components.dims[-2:], cell_px=size) for size in sizes)
    return np.max([classify(network, crop) for crop in crops], axis=0)


def footprint_sizes(components: Components) -> FloatArray:
    """Return the pixels of each footprint above half its peak.

    Parameters
    ----------
    components : Components
        K of them.

    Returns
    -------
    float32 (K,)
        Pixels; 0 for an empty footprint.
    """
    footprints = components.footprints
    cuts = zip(footprints.indptr[:-1], footprints.indptr[1:], strict=True)
    values = (footprints.data[a:b] for a, b in cuts)
    return np.array([np.count_nonzero(v > 0.5 * v.max()) if len(v) else 0 for v in values], np.float32)
