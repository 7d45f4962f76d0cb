"""Settings of the spatial update, a section of ``patch_cnmf`` and of ``refine``."""

from __future__ import annotations

from typing import Literal

from caiman_pipeline.config.base import Section, key


class FootprintSettings(Section):
    """How footprints grow, are solved for and are cleaned in a spatial update."""

    growth: Literal["dilate", "ellipse"] = key(
        "dilate", "", "Where a footprint may be: its pixels and those within `grow`, or an ellipse fitted to it."
    )
    ellipse_factor: float = key(
        3.0, "", "Half axes of the ellipse, in standard deviations of the footprint.", gt=0, le=20
    )
    regression: Literal["nonnegative", "nnls_l0"] = key(
        "nonnegative",
        "",
        "Each pixel's regression: non-negative least squares, or with as few components as explain it.",
    )
    threshold: Literal["pooled", "significance", "max", "energy"] = key(
        "pooled",
        "",
        "Which pixels are dropped: by what they and those around them show together, by each one's standard errors, by "
        "share of the peak, or by share of energy.",
    )
    pool: float = key(
        0.12,
        "cell diameters",
        "Standard deviation of the Gaussian that `pooled` looks around a pixel with.",
        ge=0,
        le=1,
    )
    pool_fraction: float = key(
        0.2, "", "Share of the highest local mean that a pixel's local mean needs to be kept by `pooled`.", ge=0, lt=1
    )
    max_fraction: float = key(0.1, "", "Share of the peak below which `max` drops a pixel.", ge=0, lt=1)
    energy_fraction: float = key(0.9999, "", "Share of the energy that the pixels kept by `energy` hold.", gt=0, le=1)
    median_px: int = key(0, "px", "Side of a median filter before thresholding, odd; 0 for none.", ge=0, le=15)
    closing_px: int = key(0, "px", "Side of the square that closes gaps after thresholding; 0 for none.", ge=0, le=15)
    connected: bool | None = key(
        None,
        "",
        "Keep a footprint's main connected part only; empty: unless found by sparse_nmf or graph_nmf, or a seed.",
    )
