"""From the settings of the search to pixels, bins and tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from caiman_pipeline.extraction.background.protocol import BackgroundModel
from caiman_pipeline.extraction.binning import frames_per_bin
from caiman_pipeline.extraction.refine import RefineRules
from caiman_pipeline.extraction.tile import TileSettings
from caiman_pipeline.extraction.tiles.methods import (
    SHAPELESS,
    make_background,
    make_budget,
    make_initialiser,
    make_rules,
)
from caiman_pipeline.extraction.tiles.run import make_grid
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.model.tiles import TileGrid

if TYPE_CHECKING:
    from caiman_pipeline.config.patch_cnmf import PatchSettings
    from caiman_pipeline.config.recording import RecordingSettings
    from caiman_pipeline.config.refine import RefineSettings


# Beyond this, a cell larger than the frame is a mistake and not a small frame.
LARGEST_CELL_PX = 100


@dataclass(frozen=True)
class Facts:
    """What has to be known of a recording: cell size per axis, frames per second, decay time."""

    cell_px: tuple[float, ...]
    frame_rate_hz: float
    decay_time_s: float


def needed_facts(recording: RecordingSettings, ndim: int, stage: str) -> Facts:
    """Return the facts, cell size in pixels along each of ``ndim`` axes.

    Raises
    ------
    PipelineError
        If one is missing or does not fit the movie.
    """
    if recording.frame_rate_hz is None or recording.decay_time_s is None or recording.cell_diameter is None:
        raise PipelineError(f"{stage} needs the recording's frame rate, decay time and cell diameter.")
    try:
        return Facts(recording.cell_diameter.per_axis(ndim), recording.frame_rate_hz, recording.decay_time_s)
    except ValueError as error:
        raise PipelineError(f"{stage}: `cell_diameter` {error}.") from None


@dataclass(frozen=True)
class SearchPlan:
    """Tiles, frames per bin, whether components may have any shape, and the settings of the search in a tile."""

    grid: TileGrid
    bin_frames: int
    shapeless: bool
    tile: TileSettings


def plan_search(settings: PatchSettings, recording: RecordingSettings, dims: Dims, n_frames: int) -> SearchPlan:
    """Turn seconds, cells and lengths into frames, bins and pixels of one movie.

    Raises
    ------
    PipelineError
        If a fact about the recording is missing, a length does not fit the movie, or tiles are too small.
    """
    ndim = len(dims)
    facts = needed_facts(recording, ndim, "patch_cnmf")
    cell_px, rate = facts.cell_px, facts.frame_rate_hz
    try:
        tile_px = settings.tile_size.per_axis(ndim) if settings.tile_size else None
        overlap_px = settings.tile_overlap.per_axis(ndim)
    except ValueError as error:
        raise PipelineError(f"patch_cnmf: {error}.") from None
    frames = settings.bin_decay_times * facts.decay_time_s * rate
    bin_frames = frames_per_bin(n_frames, bin_frames=frames, max_bins=settings.max_bins)
    _check_fit(facts, cell_px, dims, n_frames, bin_frames)
    grid = make_grid(dims, n_bins=n_frames // bin_frames, cell_px=cell_px, tile_px=tile_px, overlap_px=overlap_px)
    shapeless = settings.init in SHAPELESS
    tile = TileSettings(
        cell_px=cell_px,
        baseline_bins=max(1, round(settings.baseline_s * rate / bin_frames)),
        initialise=make_initialiser(settings, cell_px, bin_s=bin_frames / rate, decay_time_s=facts.decay_time_s),
        budget=make_budget(settings.components, cell_px),
        searches=0 if settings.init == "seeded" and not settings.seeded.search else settings.searches,
        max_components=settings.max_components,
        rules=make_rules(settings, cell_px, shapeless=shapeless),
        background=make_background(settings.background, cell_px),
        max_gain=settings.max_gain,
    )
    return SearchPlan(grid, bin_frames, shapeless, tile)


def _check_fit(facts: Facts, cell_px: tuple[float, ...], dims: Dims, n_frames: int, bin_frames: int) -> None:
    if n_frames < bin_frames:
        raise PipelineError(
            f"`recording.decay_time_s` is {facts.decay_time_s:g} s, but the movie lasts "
            f"{n_frames / facts.frame_rate_hz:.3g} s. Give it in seconds, and the frame rate in Hz."
        )
    if min(cell_px[-2:]) > max(*dims[-2:], LARGEST_CELL_PX):
        raise PipelineError(
            f"`recording.cell_diameter` is {max(cell_px[-2:]):g} px, and a frame is {dims[-2]} x {dims[-1]} pixels. "
            "Give it with its unit, and the pixel size in um."
        )


@dataclass(frozen=True)
class RefinePlan:
    """Settings of the updates and of the background, and the facts for the traces' model."""

    updates: RefineRules
    background: BackgroundModel
    frame_rate_hz: float
    decay_time_s: float


def plan_refine(
    settings: RefineSettings, recording: RecordingSettings, dims: Dims, *, bin_frames: int, shapeless: bool
) -> RefinePlan:
    """Turn the settings of the refinement into pixels and frames of one movie.

    Parameters
    ----------
    bin_frames : frames averaged for the spatial update
    shapeless : components were found in a way that leaves their shape open

    Raises
    ------
    PipelineError
        If a fact about the recording is missing or does not fit.
    """
    facts = needed_facts(recording, len(dims), "refine")
    updates = RefineRules(
        cell_px=facts.cell_px,
        bin_frames=bin_frames,
        rules=make_rules(settings, facts.cell_px, shapeless=shapeless),
        keep_seeds=settings.seeds == "keep",
        rounds=settings.rounds,
    )
    background = make_background(settings.background, facts.cell_px)
    return RefinePlan(updates, background, facts.frame_rate_hz, facts.decay_time_s)
