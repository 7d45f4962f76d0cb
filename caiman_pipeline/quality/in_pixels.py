"""From the settings of the selection to thresholds in pixels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from caiman_pipeline.extraction.footprints import cell_pixels
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.model.quality import Quality
from caiman_pipeline.quality.accept import Selection, Thresholds, accept_masks, probability_decides, select
from caiman_pipeline.quality.by_hand import apply_decisions, read_decisions

if TYPE_CHECKING:
    from caiman_pipeline.config.recording import RecordingSettings
    from caiman_pipeline.config.select import SelectSettings


def select_as_set(
    quality: Quality, settings: SelectSettings, recording: RecordingSettings, *, dims: Dims, n_masks: int
) -> Selection:
    """Accept or reject components as the settings say.

    Parameters
    ----------
    quality : Quality
        Measures of K components.
    settings : SelectSettings
        Section ``select``.
    recording : RecordingSettings
        The cell diameter.
    dims : tuple of int
        (H, W) or (D, H, W).
    n_masks : int
        Masks that were given: components that start from them have ids below this, and are accepted unless
        ``judge_masks``.

    Returns
    -------
    Selection
        Which are accepted, and the rule that decided for each.

    Raises
    ------
    PipelineError
        If the cell diameter is missing or does not fit, or decisions by hand cannot be read or do not fit.
    """
    selection = select(quality, make_thresholds(settings, recording, dims))
    if not settings.judge_masks:
        selection = accept_masks(selection, n_masks)
    if settings.curation:
        selection = apply_decisions(selection, read_decisions(Path(settings.curation)))
    return selection


# What accepts where no probability of a cell does, see ``select``.
WITHOUT_PROBABILITY = ("min_snr", "min_r_value", "min_soma_score", "soma_score_lowest")


def idle_thresholds(quality: Quality, settings: SelectSettings) -> list[str]:
    """Return the thresholds that were set, and decide nothing since the probability of a cell does.

    Parameters
    ----------
    quality : Quality
        Measures of K components.
    settings : SelectSettings
        Section ``select``.

    Returns
    -------
    list of str
        Names of keys that are not at their defaults; none where no component has a probability that counts.
    """
    if not probability_decides(quality, settings.min_probability, use_classifier=settings.use_classifier):
        return []
    usual = {name: field.default for name, field in type(settings).model_fields.items()}
    return [name for name in WITHOUT_PROBABILITY if getattr(settings, name) != usual[name]]


def make_thresholds(settings: SelectSettings, recording: RecordingSettings, dims: Dims) -> Thresholds:
    """Return the thresholds for a movie of ``dims``, sizes turned from cells into pixels.

    Parameters
    ----------
    settings : SelectSettings
        Section ``select``; sizes in cells.
    recording : RecordingSettings
        The cell diameter.
    dims : tuple of int
        (H, W) or (D, H, W).

    Returns
    -------
    Thresholds
        The same, sizes in pixels.

    Raises
    ------
    PipelineError
        If the cell diameter is missing or does not fit the movie.
    """
    if recording.cell_diameter is None:
        raise PipelineError("select needs the recording's cell diameter.")
    try:
        cell = cell_pixels(recording.cell_diameter.per_axis(len(dims)))
    except ValueError as error:
        raise PipelineError(f"select: `cell_diameter` {error}.") from None
    return Thresholds(
        min_probability=settings.min_probability if settings.use_classifier else None,
        min_snr=settings.min_snr,
        snr_lowest=settings.snr_lowest,
        min_r_value=settings.min_r_value,
        r_value_lowest=settings.r_value_lowest,
        min_soma_score=settings.min_soma_score if settings.use_classifier else None,
        soma_score_lowest=settings.soma_score_lowest,
        min_size_px=None if settings.min_size is None else settings.min_size * cell,
        max_size_px=None if settings.max_size is None else settings.max_size * cell,
        max_elongation=settings.max_elongation,
        max_border=settings.max_border,
        max_saturated=settings.max_saturated,
        max_likeness=settings.max_likeness,
        max_nesting=settings.max_nesting if len(dims) == 2 else settings.max_nesting_volume,
        max_motion_share=settings.max_motion_share,
    )
