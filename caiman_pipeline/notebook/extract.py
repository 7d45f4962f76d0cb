"""Find components in a corrected movie or an array, measure them, and select among them."""

from __future__ import annotations

from typing import Any

import numpy as np

from caiman_pipeline.config.evaluate import EvaluateSettings
from caiman_pipeline.config.merge import MergeSettings
from caiman_pipeline.config.patch_cnmf import PatchSettings
from caiman_pipeline.config.refine import RefineSettings
from caiman_pipeline.config.root import Config, settings_for
from caiman_pipeline.config.select import SelectSettings
from caiman_pipeline.config.summary_images import ImageSettings
from caiman_pipeline.extraction.masks.seeds import assign_seeds, find_seeds
from caiman_pipeline.extraction.merge import merge_as_set
from caiman_pipeline.extraction.refined import refine_as_set
from caiman_pipeline.extraction.refit import Start
from caiman_pipeline.extraction.tiles.in_pixels import plan_search
from caiman_pipeline.extraction.tiles.run import search_tiles
from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.components import Components
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.quality import Quality
from caiman_pipeline.movies.store.parts import MovieStore
from caiman_pipeline.notebook.movie import as_movie, as_store
from caiman_pipeline.notebook.settings import Settings, config_of, make_config, threads_of, unreported
from caiman_pipeline.quality.accept import Selection
from caiman_pipeline.quality.evaluate import evaluate_as_set
from caiman_pipeline.quality.in_pixels import select_as_set
from caiman_pipeline.results.long_tables import in_memory
from caiman_pipeline.stages import STAGES
from caiman_pipeline.summary_images import SummaryImages, summarise_as_set


def summarise(
    movie: Any, *, frame_rate_hz: float | None = None, settings: Settings = None, threads: int = 0
) -> SummaryImages:
    """Make images that sum up a corrected movie, in one pass.

    Parameters
    ----------
    movie : array or Movie
        Corrected, (T, [D,] H, W). Frames without a finite pixel do not count.
    frame_rate_hz : float, optional
        Frames (or volumes) per second, where the movie does not state it.
    settings : mapping or path, optional
        Sections as in config.yaml, of which `summary_images` is read.
    threads : int, optional
        Threads to use; 0 for all cores that were granted.

    Returns
    -------
    SummaryImages
        ``mean``, ``std``, ``max``, ``correlation``, ``peak_to_noise`` and ``noise``, float32 (*dims).

    Raises
    ------
    PipelineError
        If a setting does not fit, or no frame holds a finite pixel.

    References
    ----------
    Smith & Häusser (2010), Nat Neurosci, https://doi.org/10.1038/nn.2620, for the correlation image.

    Examples
    --------
    >>> import numpy as np
    >>> import caiman_pipeline as cp
    >>> movie = np.random.default_rng(0).normal(100, 3, (400, 20, 30))
    >>> images = cp.summarise(movie, frame_rate_hz=20)
    >>> images.mean.shape, round(float(np.median(images.noise)))
    ((20, 30), 3)
    """
    opened = as_movie(movie)
    config, rate = config_of(opened, settings, {"frame_rate_hz": frame_rate_hz})
    own, recording = settings_for(config, ImageSettings)
    return summarise_as_set(as_store(opened, rate), own, recording, threads=threads_of(threads), progress=unreported)


def extract_components(
    movie: Any,
    *,
    frame_rate_hz: float | None = None,
    decay_time_s: float | None = None,
    cell_diameter: str | None = None,
    settings: Settings = None,
    threads: int = 0,
) -> Components:
    """Find the cells of a corrected movie: their footprints and demixed traces.

    Summary images, search in tiles, merging and refinement, as the workflow runs them.

    Parameters
    ----------
    movie : array or Movie
        Corrected, (T, [D,] H, W), any unit.
    frame_rate_hz : float, optional
        Frames (or volumes) per second, where neither the movie nor ``settings`` state it.
    decay_time_s : float, optional
        Time in which a transient of the indicator falls to 1/e, seconds.
    cell_diameter : str, optional
        Diameter of a typical cell with its unit, like ``"11 px"``.
    settings : mapping or path, optional
        Sections as in config.yaml, of which `recording`, `summary_images`, `patch_cnmf`, `merge`, `refine` and `traces`
        are read. What is not named has its default.
    threads : int, optional
        Threads to use; 0 for all cores that were granted.

    Returns
    -------
    Components
        Footprints, sparse (P, K) of unit norm; ``denoised`` and ``residual`` (K, T), whose sum is the demixed trace, in
        pixel values x footprint norm; background and noise.

    Raises
    ------
    PipelineError
        If a fact about the recording is missing, or a setting does not fit the movie.

    References
    ----------
    Pnevmatikakis et al. (2016), Neuron, https://doi.org/10.1016/j.neuron.2015.11.037.

    Examples
    --------
    >>> import caiman_pipeline as cp
    >>> movie = cp.open_results("results/mouse_a").movie
    >>> found = cp.extract_components(movie, decay_time_s=0.45, cell_diameter="9 px")
    >>> demixed = found.denoised + found.residual
    >>> demixed.shape == (found.n_components, movie.n_frames)
    True
    """
    opened = as_movie(movie)
    facts = {"frame_rate_hz": frame_rate_hz, "decay_time_s": decay_time_s, "cell_diameter": cell_diameter}
    config, rate = config_of(opened, settings, facts)
    store, used = as_store(opened, rate), threads_of(threads)
    images = summarise_as_set(store, *settings_for(config, ImageSettings), threads=used, progress=unreported)
    if not images.noise.any():
        raise PipelineError("every pixel is constant or not a number in some frame: there is nothing to look for.")
    start = _search(store, images, config, threads=used)
    own, recording = settings_for(config, RefineSettings)
    return refine_as_set(
        store,
        start,
        own,
        recording,
        model=config.traces.only(STAGES["refine"].reads["traces"]).completed(),
        mean=images.mean,
        noise=images.noise,
        tables=in_memory(),
        threads=used,
        progress=unreported,
    )


def _search(movie: MovieStore, images: SummaryImages, config: Config, *, threads: int) -> Start:
    """Search all tiles and merge what was found."""
    own, recording = settings_for(config, PatchSettings)
    plan, seeds = plan_search(own, recording, movie.dims, movie.n_frames), find_seeds(own, movie, images.noise)
    candidates = search_tiles(
        movie,
        plan.grid,
        batch=(0, 1),
        bin_frames=plan.bin_frames,
        noise=images.noise,
        seeds=assign_seeds(plan.grid, seeds),
        shapeless=plan.shapeless,
        settings=plan.tile,
        threads=threads,
        progress=unreported,
    )
    merged = merge_as_set(candidates, *settings_for(config, MergeSettings), n_masks=seeds.n_masks)
    return Start(
        merged.footprints,
        merged.traces,
        merged.ids,
        candidates.frames_per_bin,
        merged.n_seeds,
        seeds.n_masks,
        candidates.shapeless,
    )


def evaluate_components(
    movie: Any,
    components: Components,
    *,
    shifts: FloatArray | None = None,
    at_limit: FloatArray | None = None,
    ceiling: float | None = None,
    frame_rate_hz: float | None = None,
    decay_time_s: float | None = None,
    cell_diameter: str | None = None,
    settings: Settings = None,
    threads: int = 0,
) -> Quality:
    """Measure the quality of every component: its trace, its shape, and whether the movie shows it.

    Parameters
    ----------
    movie : array or Movie
        The corrected movie (T, [D,] H, W) in which the components were found.
    components : Components
        As ``extract_components`` returns them.
    shifts : (T, ndim) array, optional
        Displacement of each frame in pixels, like ``correct_motion(...).shifts.rigid``. Where none is given, no share
        of a trace is put down to motion.
    at_limit : (T,) bool array, optional
        Frames that were shifted as far as allowed, like ``correct_motion(...).measures.at_limit``: where they are is
        not known, so that they do not count.
    ceiling : float, optional
        The largest value that the detector gives, where the recording is saturated; else no pixel counts as saturated.
    frame_rate_hz, decay_time_s, cell_diameter : optional
        As for ``extract_components``.
    settings : mapping or path, optional
        Sections as in config.yaml, of which `recording` and `evaluate` are read.
    threads : int, optional
        Threads to use; 0 for all cores that were granted.

    Returns
    -------
    Quality
        Measures, each (K,): ``snr``, ``r_value``, ``soma_score``, ``size_px`` and others.

    Raises
    ------
    PipelineError
        If a fact about the recording is missing, or components, shifts and movie do not fit together.

    References
    ----------
    Giovannucci et al. (2019), eLife, https://doi.org/10.7554/eLife.38173.

    Examples
    --------
    >>> import caiman_pipeline as cp
    >>> results = cp.open_results("results/mouse_a")
    >>> quality = cp.evaluate_components(
    ...     results.movie,
    ...     results.components,
    ...     shifts=results.shifts.rigid,
    ...     decay_time_s=0.45,
    ...     cell_diameter="9 px",
    ... )
    >>> bool(abs(quality.snr - results.quality["snr"]).max() < 1e-3)
    True
    """
    opened = as_movie(movie)
    facts = {"frame_rate_hz": frame_rate_hz, "decay_time_s": decay_time_s, "cell_diameter": cell_diameter}
    config, rate = config_of(opened, settings, facts)
    store = as_store(opened, rate)
    moved = np.zeros((opened.n_frames, len(opened.dims)), np.float32) if shifts is None else np.asarray(shifts)
    if moved.shape != (opened.n_frames, len(opened.dims)) or components.dims != opened.dims:
        raise PipelineError(
            f"the movie has {opened.n_frames} frames of {opened.dims}, but the components are of frames of "
            f"{components.dims}, the shifts of {moved.shape}. Are they of one recording?"
        )
    own, recording = settings_for(config, EvaluateSettings)
    return evaluate_as_set(
        store,
        components,
        own,
        recording,
        shifts=moved,
        at_limit=np.zeros(len(moved), bool) if at_limit is None else np.asarray(at_limit, bool),
        ceiling=ceiling,
        new_table=in_memory().working,
        threads=threads_of(threads),
        progress=unreported,
    )


def select_components(
    quality: Quality, *, dims: tuple[int, ...], cell_diameter: str | None = None, settings: Settings = None
) -> Selection:
    """Accept or reject components by thresholds on their measures.

    Parameters
    ----------
    quality : Quality
        As ``evaluate_components`` returns it, or ``open_results(...).outcome.quality``.
    dims : tuple of int
        Size of a frame, (H, W) or (D, H, W).
    cell_diameter : str, optional
        Diameter of a typical cell with its unit, like ``"11 px"``.
    settings : mapping or path, optional
        Sections as in config.yaml, of which `recording` and `select` are read. Components that start from given masks
        are judged like all others.

    Returns
    -------
    Selection
        ``accepted``, bool (K,), and ``reasons``, the rule that decided for each.

    Raises
    ------
    PipelineError
        If the cell diameter is missing, or decisions by hand do not fit.

    Examples
    --------
    >>> import caiman_pipeline as cp
    >>> results = cp.open_results("results/mouse_a")
    >>> strict = {"select": {"min_snr": 12, "snr_lowest": 8, "min_r_value": 1, "use_classifier": False}}
    >>> chosen = cp.select_components(
    ...     results.outcome.quality, dims=results.dims, cell_diameter="9 px", settings=strict
    ... )
    >>> bool((results.quality["snr"][chosen.accepted] >= 12).all())
    True
    """
    own, recording = settings_for(make_config(settings, {"cell_diameter": cell_diameter}), SelectSettings)
    return select_as_set(quality, own, recording, dims=dims, n_masks=0)
