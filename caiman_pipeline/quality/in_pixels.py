"""From the settings of the selection to thresholds in pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caiman_pipeline.extraction.footprints import cell_pixels
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.quality.accept import Thresholds

if TYPE_CHECKING:
    from caiman_pipeline.config.recording import RecordingSettings
    from caiman_pipeline.config.select import SelectSettings


def make_thresholds(settings: SelectSettings, recording: RecordingSettings, dims: Dims) -> Thresholds:
    """Return the thresholds for a movie of ``dims``, sizes turned from cells into pixels.

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
