"""Settings of the ways to find components, one section of ``patch_cnmf`` each; only the chosen one's count."""

from __future__ import annotations

import os
from typing import Literal

from caiman_pipeline.config.base import Section, key
from caiman_pipeline.stages import place


class GreedyRoiSettings(Section):
    """`init: greedy_roi`: the place with most energy in a cell-sized filter, a rank-one fit around it, and so on."""

    kernel_sd: float = key(
        0.3, "cell diameters", "Standard deviation of the Gaussian that the movie is filtered with.", gt=0, le=2
    )
    box: float = key(1.0, "cell diameters", "Half side of the box in which a component is fitted.", gt=0, le=5)
    rolling_s: float | None = key(
        3.0, "s", "Energy is that of the best window of this length; empty: of the whole movie.", gt=0
    )
    iterations: int = key(5, "", "Rank-one iterations per component.", ge=1, le=100)
    min_energy: float = key(
        6.0,
        "noise SD",
        "The search ends where energy is not this far above that of noise, when evidence decides.",
        ge=0,
    )


class CorrPnrSettings(Section):
    """`init: corr_pnr`: pixels that fire together with their neighbours and far above noise; planes only."""

    smooth_sd: float = key(
        0.12, "cell diameters", "Standard deviation of the Gaussian that the movie is smoothed with.", ge=0, le=2
    )
    box: float = key(1.0, "cell diameters", "Half side of the box in which a component is fitted.", gt=0, le=5)
    min_corr: float = key(0.4, "", "Least correlation of a seed pixel with its neighbours.", ge=-1, le=1)
    min_pnr: float = key(5.0, "noise SD", "Least peak-to-noise ratio of a seed pixel.", ge=0)
    noise_sd: float = key(2.0, "noise SD", "Values below this count as zero in the correlation.", ge=0)
    trace_corr: float = key(0.7, "", "Pixels whose correlation with the seed is above this make its trace.", ge=0, le=1)
    footprint_corr: float = key(
        0.3, "", "Pixels whose correlation with the seed is above this may be in its footprint.", ge=0, le=1
    )


class SparseNmfSettings(Section):
    """`init: sparse_nmf`: non-negative factors of the movie with sparse footprints, for dendrites and axons."""

    smooth_px: float = key(0.5, "px", "Standard deviation of the Gaussian that the movie is smoothed with.", ge=0)
    smooth_bins: float = key(0.5, "bins", "Standard deviation of the smoothing in time.", ge=0)
    baseline_percentile: float | None = key(
        None, "%", "Percentile of each pixel that is taken off; empty: the running baseline is enough.", ge=0, le=100
    )
    sparsity: float = key(1.0, "standard errors", "What footprints are shrunk by (L1 penalty).", ge=0)
    iterations: int = key(200, "", "Most iterations of the factorisation.", ge=1, le=10000)
    tolerance: float = key(1e-3, "", "Relative change of the footprints at which iterations end.", ge=0, lt=1)
    rank_margin: float = key(
        1.0, "", "Singular values above those of noise times this count as signal, when evidence decides.", gt=0
    )
    min_coherence: float = key(
        2.2,
        "px",
        "Pixels around one of a footprint (itself included) that belong to it: 1 for noise, 3 for a line.",
        ge=0,
    )


class GraphNmfSettings(SparseNmfSettings):
    """`init: graph_nmf`: as sparse_nmf, neighbouring pixels that fire together tied to similar weights."""

    sparsity: float = key(0.5, "standard errors", "What footprints are shrunk by (L1 penalty).", ge=0)
    weight: float = key(0.3, "", "Weight of the ties against the data.", ge=0)
    kernel: Literal["heat", "cosine", "binary"] = key(
        "heat", "", "Strength of a tie: exp(-(1 - r) / width^2) of the traces' correlation r, r itself, or 1."
    )
    width: float = key(0.5, "", "Width of the heat kernel.", gt=0)


class PcaIcaSettings(Section):
    """`init: pca_ica`: principal, then independent components, cut into regions."""

    time_weight: float = key(0.15, "", "Weight of the traces' skewness against that of the footprints.", ge=0, le=1)
    iterations: int = key(300, "", "Most iterations of the rotation.", ge=1, le=10000)
    tolerance: float = key(1e-6, "", "Change of the rotation at which iterations end.", ge=0, lt=1)
    smooth_px: float = key(1.0, "px", "Smoothing of a footprint before it is cut into regions.", ge=0)
    threshold_sd: float = key(2.5, "SD", "Pixels this far above their footprint's median belong to a region.", gt=0)
    split: bool = key(True, "", "Make each connected region a component of its own.")
    rank_margin: float = key(
        1.0, "", "Singular values above those of noise times this count as signal, when evidence decides.", gt=0
    )


class SeededSettings(Section):
    """`init: seeded`: one component for each mask of a file, in its place and order."""

    file: str | None = key(
        None,
        "file",
        "Masks: TIFF (labels or a stack), NPZ, NWB, MAT (suite2p's Fall.mat), a components.h5, HDF5 of CaImAn, JSON of "
        "Neurofinder, regions of ImageJ, or a results folder of a recording.",
    )
    pixel_order: Literal["C", "F"] = key(
        "C", "", "Order of pixels where an NPZ holds a matrix (pixels x masks): C rows first, F columns first (CaImAn)."
    )
    min_pixels: int = key(3, "px", "Masks with fewer pixels inside the field of view are left out.", ge=1)
    search: bool = key(False, "", "Search for more components, by evidence, on what the masks leave unexplained.")

    def path(self) -> str | None:
        """Return the file that holds the masks: the components, where a results folder is named."""
        if self.file and os.path.isdir(self.file):
            return os.path.join(self.file, place("components"))
        return self.file
