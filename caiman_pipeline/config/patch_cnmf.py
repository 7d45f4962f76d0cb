"""Settings of the ``patch_cnmf`` stage."""

from __future__ import annotations

from typing import ClassVar, Literal

from caiman_pipeline.config.background import BackgroundSettings
from caiman_pipeline.config.base import Count, Length, Section, key
from caiman_pipeline.config.footprints import FootprintSettings
from caiman_pipeline.config.init_methods import (
    CorrPnrSettings,
    GraphNmfSettings,
    GreedyRoiSettings,
    PcaIcaSettings,
    SeededSettings,
    SparseNmfSettings,
)


class PatchSettings(Section):
    """Search for components in tiles of the time-binned movie."""

    stage: ClassVar[str] = "patch_cnmf"

    init: Literal["evidence", "greedy_roi", "corr_pnr", "sparse_nmf", "graph_nmf", "pca_ica", "seeded"] = key(
        "evidence", "", "How components are found; each way but the first has a section of its own below."
    )
    components: Count = key(
        Count(0.0, "evidence"),
        "",
        "How many: as many as there is evidence for, or '30 per tile', '0.2 per cell', '400 per mm2', '20000 per mm3'.",
    )
    tile_size: Length | None = key(
        None,
        "px, um or cells",
        "Size of a tile, overlap included; at least four cells. Empty: as large as a tile's share of memory allows.",
    )
    tile_overlap: Length = key(
        Length((2.0,), "cells"), "px, um or cells", "What neighbouring tiles share; at least two cells."
    )
    bin_decay_times: float = key(
        0.45, "decay times", "Length of the bins of time in which components are searched for.", gt=0, le=10
    )
    max_bins: int = key(2000, "bins", "Most bins; a longer movie gets longer bins.", ge=100)
    baseline_s: float = key(30.0, "s", "Window of the running baseline that is taken off each pixel.", gt=0)
    threshold: float = key(2.5, "noise SD", "Activity counts above this many standard deviations of the noise.", gt=0)
    transient: float = key(
        1.0,
        "decay times",
        "Decay of the transients that activity is matched with, beside single bins; 0 for single bins only.",
        ge=0,
        le=5,
    )
    min_evidence: float = key(
        25.0,
        "noise variances",
        "Least activity above the threshold that makes a component, when evidence decides.",
        gt=0,
    )
    significance: float = key(
        2.5,
        "standard errors",
        "Pixels of a footprint that show less than this, with those around them or alone, are dropped.",
        ge=0,
    )
    searches: int = key(2, "", "Searches of a tile, each on what the one before left unexplained.", ge=1, le=10)
    max_components: int = key(400, "", "Most components that one search of a tile may add by evidence.", ge=1)
    min_size: float = key(
        0.2, "", "Smallest footprint, as a share of the area (volume) of a cell of the given diameter.", gt=0, le=1
    )
    max_gain: float = key(
        2.0,
        "",
        "Most that a pixel may follow the background's nodes before components are known: cells that fire together, "
        "and long processes, would pass for background.",
        gt=0,
    )
    grow: float = key(0.2, "cell diameters", "How far a footprint may grow in one spatial update.", ge=0, le=2)
    footprints: FootprintSettings = FootprintSettings()
    background: BackgroundSettings = BackgroundSettings()
    greedy_roi: GreedyRoiSettings = GreedyRoiSettings()
    corr_pnr: CorrPnrSettings = CorrPnrSettings()
    sparse_nmf: SparseNmfSettings = SparseNmfSettings()
    graph_nmf: GraphNmfSettings = GraphNmfSettings()
    pca_ica: PcaIcaSettings = PcaIcaSettings()
    seeded: SeededSettings = SeededSettings()

    def unused(self) -> set[str]:
        """Return the sections of the ways that were not chosen."""
        return {"greedy_roi", "corr_pnr", "sparse_nmf", "graph_nmf", "pca_ica", "seeded"} - {self.init}

    def incomplete(self) -> str:
        """Return what is missing: `seeded` needs a file."""
        if self.init == "seeded" and not self.seeded.file:
            return "seeded.file` must name the file of masks that `init: seeded` starts from."
        return ""
