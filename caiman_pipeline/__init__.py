"""Calcium-imaging analysis as a workflow: raw movies to curated neurons, traces and NWB files.

The names below are what a notebook or script works with; each is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# Where each public name lives.
_PLACES = {
    "Components": "model.components",
    "CorrectedMotion": "notebook.motion",
    "Deconvolution": "traces.foopsi",
    "Movie": "movies.lazy",
    "PipelineError": "model.errors",
    "Quality": "model.quality",
    "RecordingResults": "notebook.results",
    "Score": "simulation.scoring",
    "Selection": "quality.accept",
    "Shifts": "model.motion",
    "SimulationSettings": "simulation.settings",
    "SummaryImages": "summary_images",
    "bin_movie": "notebook.operations",
    "blur_movie": "notebook.operations",
    "correct_motion": "notebook.motion",
    "deconvolve": "notebook.traces",
    "delta_f_over_f": "notebook.traces",
    "detrend": "notebook.traces",
    "evaluate_components": "notebook.extract",
    "extract_components": "notebook.extract",
    "com": "notebook.sessions",
    "open_movie": "notebook.movie",
    "open_results": "notebook.results",
    "register_multisession": "notebook.sessions",
    "register_rois": "notebook.sessions",
    "project_movie": "notebook.operations",
    "relative_movie": "notebook.saving",
    "resize_movie": "notebook.operations",
    "save_movie": "notebook.saving",
    "score": "notebook.score",
    "select_components": "notebook.extract",
    "simulate": "simulation.recording",
    "summarise": "notebook.extract",
}

if TYPE_CHECKING:
    from caiman_pipeline.model.components import Components as Components
    from caiman_pipeline.model.errors import PipelineError as PipelineError
    from caiman_pipeline.model.motion import Shifts as Shifts
    from caiman_pipeline.model.quality import Quality as Quality
    from caiman_pipeline.movies.lazy import Movie as Movie
    from caiman_pipeline.notebook.extract import evaluate_components as evaluate_components
    from caiman_pipeline.notebook.extract import extract_components as extract_components
    from caiman_pipeline.notebook.extract import select_components as select_components
    from caiman_pipeline.notebook.extract import summarise as summarise
    from caiman_pipeline.notebook.motion import CorrectedMotion as CorrectedMotion
    from caiman_pipeline.notebook.motion import correct_motion as correct_motion
    from caiman_pipeline.notebook.movie import open_movie as open_movie
    from caiman_pipeline.notebook.operations import bin_movie as bin_movie
    from caiman_pipeline.notebook.operations import blur_movie as blur_movie
    from caiman_pipeline.notebook.operations import project_movie as project_movie
    from caiman_pipeline.notebook.operations import resize_movie as resize_movie
    from caiman_pipeline.notebook.results import RecordingResults as RecordingResults
    from caiman_pipeline.notebook.results import open_results as open_results
    from caiman_pipeline.notebook.saving import relative_movie as relative_movie
    from caiman_pipeline.notebook.saving import save_movie as save_movie
    from caiman_pipeline.notebook.score import score as score
    from caiman_pipeline.notebook.sessions import com as com
    from caiman_pipeline.notebook.sessions import register_multisession as register_multisession
    from caiman_pipeline.notebook.sessions import register_rois as register_rois
    from caiman_pipeline.notebook.traces import deconvolve as deconvolve
    from caiman_pipeline.notebook.traces import delta_f_over_f as delta_f_over_f
    from caiman_pipeline.notebook.traces import detrend as detrend
    from caiman_pipeline.quality.accept import Selection as Selection
    from caiman_pipeline.simulation.recording import simulate as simulate
    from caiman_pipeline.simulation.scoring import Score as Score
    from caiman_pipeline.simulation.settings import SimulationSettings as SimulationSettings
    from caiman_pipeline.summary_images import SummaryImages as SummaryImages
    from caiman_pipeline.traces.foopsi import Deconvolution as Deconvolution

__all__ = ["__version__", *_PLACES]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that importing the package alone costs nothing."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
