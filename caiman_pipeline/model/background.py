"""Fluorescence that belongs to no component."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.checks import require

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix


@dataclass(frozen=True)
class Background:
    """Fluorescence that belongs to no component: ``static + spatial @ temporal``.

    Attributes
    ----------
    static : float32 (P,)
    spatial : sparse float32 (P, B)
    temporal : float32 (B, T)
    """

    static: FloatArray
    spatial: csc_matrix
    temporal: FloatArray

    def __post_init__(self) -> None:
        require(self.spatial.shape[0] == len(self.static), "background maps must have one row per pixel")
        require(self.spatial.shape[1] == len(self.temporal), "one temporal row per background map")
