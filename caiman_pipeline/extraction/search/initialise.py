"""One interface for all ways of finding components in a tile, and what these ways share.

An initialiser is handed what the model so far leaves of a tile: a binned movie without background and slow baseline, in
units of each pixel's noise. It returns footprints and traces; the tile's updates then fit background, footprints and
traces together, and what is left may be searched again.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Protocol

import numpy as np

from caiman_pipeline.extraction.search.greedy import Found, evidence_map, greedy_search
from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.numerics.noise import quiet_level


class Initialiser(Protocol):
    """A way of finding components."""

    def __call__(self, rest: FloatArray, dims: Dims, *, allowed: BoolArray, limit: int) -> Found:
        """Find at most ``limit`` components.

        Parameters
        ----------
        rest : float32 (P, T), in units of each pixel's noise, quiet level near zero; not changed
        dims : shape of the P pixels
        allowed : bool (P,), pixels that components may cover
        limit : most components

        Returns
        -------
        Components, the most certain first.
        """
        ...


@dataclass(frozen=True)
class Budget:
    """How many components a tile may have: a number, a number per pixel, or (both None) what evidence there is for."""

    per_tile: int | None
    per_pixel: float | None

    def of(self, n_pixels: int) -> int | None:
        """Return the components of a tile of ``n_pixels``, None if evidence decides.

        Parameters
        ----------
        n_pixels : int
            Pixels of the tile that count.

        Returns
        -------
        int or None
            How many.
        """
        if self.per_pixel is not None:
            return max(ceil(self.per_pixel * n_pixels), 1)
        return self.per_tile


@dataclass(frozen=True)
class Evidence:
    """What counts as activity: above ``threshold`` standard deviations; at least ``least`` noise variances in all.

    With ``least`` zero evidence does not decide, the limit of an initialiser is how many components it looks for.
    """

    threshold: float
    least: float

    def of(self, traces: FloatArray) -> FloatArray:
        """Return the evidence in traces.

        Parameters
        ----------
        traces : float32 (K, T)
            Any unit, no gaps.

        Returns
        -------
        float32 (K,)
            Activity above threshold, in noise variances.
        """
        if len(traces) == 0:
            return np.zeros(0, np.float32)
        level, noise = quiet_level(traces)
        scaled = np.divide(traces - level, noise, out=np.zeros_like(traces, np.float32), where=noise > 0)
        return evidence_map(scaled.astype(np.float32), self.threshold)


def with_evidence(footprints: FloatArray, traces: FloatArray, evidence: Evidence, *, limit: int) -> Found:
    """Keep the components that have a footprint and enough evidence; the strongest first.

    Parameters
    ----------
    footprints : float32 (P, K)
        In units of noise.
    traces : float32 (K, T)
        Their traces.
    evidence : Evidence
        What counts.
    limit : int
        How many, at most.

    Returns
    -------
    Found
        Those.
    """
    strength = evidence.of(traces)
    strength[~(footprints > 0).any(0)] = -1
    order = np.argsort(-strength, kind="stable")[:limit]
    order = order[strength[order] >= evidence.least]
    return Found(footprints[:, order].astype(np.float32, copy=False), traces[order].astype(np.float32), strength[order])


@dataclass(frozen=True)
class EvidenceSearch:
    """The greedy search for evidence of ``greedy_search``, the default."""

    cell_px: tuple[float, ...]
    decay_bins: float
    evidence: Evidence

    def __call__(self, rest: FloatArray, dims: Dims, *, allowed: BoolArray, limit: int) -> Found:
        """Find components where there is most evidence of activity."""
        return greedy_search(
            rest,
            dims,
            cell_px=self.cell_px,
            decay_bins=self.decay_bins,
            threshold=self.evidence.threshold,
            min_evidence=max(self.evidence.least, 1e-6),
            max_components=limit,
            allowed=allowed,
        )
