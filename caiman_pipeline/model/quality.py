"""Measures by which components are accepted."""

from __future__ import annotations

from dataclasses import dataclass

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.model.checks import require


@dataclass(frozen=True)
class Quality:
    """Measured quality of every component, row-aligned with ``ids``.

    Attributes
    ----------
    snr : float32 (K,), peak of a transient's length over noise
    r_value : float32 (K,), correlation of the footprint with the movie around its transients
    size_px : float32 (K,), pixels above half the peak
    soma_score : float32 (K,), probability that the footprint is a soma's; NaN where it was not asked
    probability : float32 (K,), calibrated probability of a cell, from soma score, snr, r_value and size together; NaN
        without soma scores and in volumes
    elongation : float32 (K,), length over width of the footprint in the plane
    border_share, saturated_share : float32 (K,), share of the footprint's weight next to the end of what the movie
        shows, and on saturated pixels
    likeness : float32 (K,), how much it repeats a stronger component, in footprint and trace, 0 to 1
    nesting : float32 (K,), how far it and a stronger component lie within each other's outline, 0 to 1; in planes only
        where their traces are related
    motion_share : float32 (K,), share of its trace's variance that the displacement of the frames explains
    """

    ids: IntArray
    snr: FloatArray
    r_value: FloatArray
    size_px: FloatArray
    soma_score: FloatArray
    probability: FloatArray
    elongation: FloatArray
    border_share: FloatArray
    saturated_share: FloatArray
    likeness: FloatArray
    nesting: FloatArray
    motion_share: FloatArray

    def __post_init__(self) -> None:
        for name, values in vars(self).items():
            require(len(values) == len(self.ids), f"{name} must have one row per component")
