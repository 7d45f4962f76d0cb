"""From the settings to the way that components are found, and to the rules of the spatial update."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caiman_pipeline.extraction.background.low_rank import LowRank
from caiman_pipeline.extraction.background.nodes import Nodes, Static
from caiman_pipeline.extraction.background.protocol import BackgroundModel
from caiman_pipeline.extraction.background.ring import Ring
from caiman_pipeline.extraction.footprints import cell_pixels, min_pixels
from caiman_pipeline.extraction.pooled import Pooling
from caiman_pipeline.extraction.search.corr_pnr import CorrPnr
from caiman_pipeline.extraction.search.greedy import shows_beside
from caiman_pipeline.extraction.search.greedy_roi import GreedyRoi
from caiman_pipeline.extraction.search.initialise import Budget, Evidence, EvidenceSearch, Initialiser
from caiman_pipeline.extraction.search.nmf import NonNegativeFactors, PixelGraph, Smoothing
from caiman_pipeline.extraction.search.pca_ica import PcaIca
from caiman_pipeline.extraction.supports import FootprintRules
from caiman_pipeline.model.errors import PipelineError

if TYPE_CHECKING:
    from caiman_pipeline.config.background import BackgroundSettings
    from caiman_pipeline.config.base import Count
    from caiman_pipeline.config.footprints import FootprintSettings
    from caiman_pipeline.config.init_methods import SparseNmfSettings
    from caiman_pipeline.config.patch_cnmf import PatchSettings
    from caiman_pipeline.config.refine import RefineSettings

SHAPELESS = ("sparse_nmf", "graph_nmf")


def make_budget(components: Count, cell_px: tuple[float, ...]) -> Budget:
    """Return how many components a tile may have."""
    if components.per == "tile":
        return Budget(int(components.number), None)
    if components.per == "evidence":
        return Budget(None, None)
    return Budget(None, components.number / (cell_pixels(cell_px) if components.per == "cell" else 1.0))


def make_initialiser(
    settings: PatchSettings, cell_px: tuple[float, ...], *, bin_s: float, decay_time_s: float
) -> Initialiser:
    """Return the way that components are found in a tile.

    Parameters
    ----------
    cell_px : diameter of a cell along each axis
    bin_s, decay_time_s : length of a bin of time, and of a transient

    Raises
    ------
    PipelineError
        If the method does not work on volumes.
    """
    by_evidence = settings.components.per == "evidence"
    evidence = Evidence(settings.threshold, settings.min_evidence if by_evidence else 0.0)
    if settings.init == "greedy_roi":
        return _greedy_roi(settings, cell_px, evidence, bin_s)
    if settings.init == "corr_pnr":
        return _corr_pnr(settings, cell_px, evidence)
    if settings.init == "sparse_nmf":
        return _factors(settings.sparse_nmf, None, evidence)
    if settings.init == "graph_nmf":
        own = settings.graph_nmf
        return _factors(own, PixelGraph(own.kernel, own.width, own.weight), evidence)
    if settings.init == "pca_ica":
        return _pca_ica(settings, cell_px, evidence)
    return EvidenceSearch(cell_px, settings.transient * decay_time_s / bin_s, evidence)


def _greedy_roi(settings: PatchSettings, cell_px: tuple[float, ...], evidence: Evidence, bin_s: float) -> GreedyRoi:
    own = settings.greedy_roi
    return GreedyRoi(
        cell_px=cell_px,
        kernel_sd=own.kernel_sd,
        box=own.box,
        rolling_bins=max(1, round(own.rolling_s / bin_s)) if own.rolling_s else 0,
        iterations=own.iterations,
        min_energy=own.min_energy,
        evidence=evidence,
    )


def _corr_pnr(settings: PatchSettings, cell_px: tuple[float, ...], evidence: Evidence) -> CorrPnr:
    if len(cell_px) != 2:
        raise PipelineError("`patch_cnmf.init: corr_pnr` works on planes, this movie is a volume. Choose another.")
    own = settings.corr_pnr
    return CorrPnr(
        cell_px=cell_px,
        smooth_sd=own.smooth_sd,
        box=own.box,
        min_corr=own.min_corr,
        min_pnr=own.min_pnr,
        noise_sd=own.noise_sd,
        trace_corr=own.trace_corr,
        footprint_corr=own.footprint_corr,
        evidence=evidence,
    )


def _factors(own: SparseNmfSettings, graph: PixelGraph | None, evidence: Evidence) -> NonNegativeFactors:
    return NonNegativeFactors(
        smoothing=Smoothing(own.smooth_px, own.smooth_bins, own.baseline_percentile),
        sparsity=own.sparsity,
        graph=graph,
        iterations=own.iterations,
        tolerance=own.tolerance,
        rank_margin=own.rank_margin,
        min_coherence=own.min_coherence,
        evidence=evidence,
    )


def _pca_ica(settings: PatchSettings, cell_px: tuple[float, ...], evidence: Evidence) -> PcaIca:
    own = settings.pca_ica
    return PcaIca(
        time_weight=own.time_weight,
        iterations=own.iterations,
        tolerance=own.tolerance,
        smooth_px=own.smooth_px,
        threshold_sd=own.threshold_sd,
        split=own.split,
        min_pixels=min_pixels(cell_px, settings.min_size),
        rank_margin=own.rank_margin,
        evidence=evidence,
    )


def make_rules(
    settings: PatchSettings | RefineSettings, cell_px: tuple[float, ...], *, shapeless: bool
) -> FootprintRules:
    """Return the rules of the spatial update.

    Parameters
    ----------
    shapeless : components may be of any shape (dendrites, axons), unless the settings say otherwise
    """
    own: FootprintSettings = settings.footprints
    return FootprintRules(
        growth=own.growth,
        reach_px=_reach(cell_px, settings.grow),
        ellipse_factor=own.ellipse_factor,
        regression=own.regression,
        threshold=own.threshold,
        significance=settings.significance,
        max_fraction=own.max_fraction,
        energy_fraction=own.energy_fraction,
        median_px=own.median_px,
        closing_px=own.closing_px,
        connected=not shapeless if own.connected is None else own.connected,
        min_pixels=min_pixels(cell_px, settings.min_size),
        pooling=Pooling(tuple(own.pool * d for d in cell_px), settings.significance, own.pool_fraction),
    )


def _reach(cell_px: tuple[float, ...], share: float) -> tuple[float, ...]:
    """Return how far a footprint grows along each axis: a share of a cell, and to the plane beside where it shows."""
    reach = tuple(share * d for d in cell_px)
    return (max(reach[0], 1.0), *reach[1:]) if shows_beside(cell_px) and share > 0 else reach


def make_background(own: BackgroundSettings, cell_px: tuple[float, ...]) -> BackgroundModel:
    """Return how the background is modelled."""
    spacing_px = tuple(own.spacing * d for d in cell_px)
    if own.model == "low_rank":
        return LowRank(spacing_px=spacing_px, components=own.components, solved=own.update)
    if own.model == "ring":
        return Ring(radius_px=tuple(own.ring_size_factor * d for d in cell_px[-2:]), block_px=own.ssub_B)
    return Static() if own.model == "static" else Nodes(spacing_px)
