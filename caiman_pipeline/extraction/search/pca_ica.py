"""Initialisation by principal and then independent components, cut into regions.

After Mukamel, Nimmerjahn and Schnitzer 2009 (10.1016/j.neuron.2009.08.009): among all rotations of the principal
components, the one with the most skewed footprints and traces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi
from scipy.linalg import svd

from caiman_pipeline.extraction.search.greedy import Found
from caiman_pipeline.extraction.search.initialise import Evidence, with_evidence
from caiman_pipeline.extraction.search.nmf import regressed_traces
from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.numerics.low_rank import LowRank, leading_part, signal_rank


@dataclass(frozen=True)
class PcaIca:
    """Settings of the analysis.

    Attributes
    ----------
    time_weight : weight of the traces' skewness against that of the footprints (0 to 1)
    iterations, tolerance : most iterations of the rotation, and the change at which they end
    smooth_px : standard deviation of the Gaussian that footprints are smoothed with before they are cut
    threshold_sd : pixels above this many standard deviations of their footprint belong to a region
    split : each connected region is a component of its own
    min_pixels : smallest region
    rank_margin : singular values above the edge of noise times this count as signal
    evidence : what a component needs to be kept
    """

    time_weight: float
    iterations: int
    tolerance: float
    smooth_px: float
    threshold_sd: float
    split: bool
    min_pixels: int
    rank_margin: float
    evidence: Evidence

    def __call__(self, rest: FloatArray, dims: Dims, *, allowed: BoolArray, limit: int) -> Found:
        """Find components by rotating the movie's principal components."""
        inside = np.where(allowed[:, None], rest, 0).astype(np.float32)
        part = leading_part(inside, rank=limit)
        rank = len(part.values)
        if self.evidence.least > 0:
            rank = signal_rank(part, margin=self.rank_margin)
        regions = [
            region for footprint in self._rotated(part, rank).T for region in self._regions(footprint.reshape(dims))
        ]
        nothing = np.zeros((len(rest), 0), np.float32)
        footprints = np.stack(regions, axis=1) if regions else nothing
        return with_evidence(footprints, regressed_traces(footprints, rest), self.evidence, limit=limit)

    def _rotated(self, part: LowRank, rank: int) -> FloatArray:
        """Return the independent components' footprints (P, R), their sign such that they are skewed upwards."""
        if rank == 0:
            return part.left[:, :0]
        rotation = skewed_rotation(
            part.left[:, :rank],
            part.right[:rank].T,
            time_weight=self.time_weight,
            iterations=self.iterations,
            tolerance=self.tolerance,
        )
        footprints = (part.left[:, :rank] * part.values[:rank]) @ rotation
        return footprints * np.where((footprints**3).sum(0) < 0, -1, 1)

    def _regions(self, footprint: FloatArray) -> list[FloatArray]:
        smooth = ndi.gaussian_filter(footprint, [self.smooth_px if n > 1 else 0 for n in footprint.shape])
        bright = smooth - np.median(smooth) > self.threshold_sd * smooth.std()
        labels, count = ndi.label(bright) if self.split else (bright.astype(int), 1)
        pieces = (np.where(labels == label, np.maximum(footprint, 0), 0) for label in range(1, count + 1))
        return [p.ravel().astype(np.float32) for p in pieces if np.count_nonzero(p) >= self.min_pixels]


def skewed_rotation(
    space: FloatArray, time: FloatArray, *, time_weight: float, iterations: int, tolerance: float
) -> FloatArray:
    """Return the rotation (R, R) that makes the columns of space (P, R) and time (T, R) most skewed.

    Parameters
    ----------
    space : float (P, R)
        Principal components in space, orthonormal columns.
    time : float (T, R)
        The same in time.
    time_weight : float
        0 looks at space only, 1 at time only.
    iterations : int
        Most iterations.
    tolerance : float
        Change of a column, as one less its cosine, at which they end.

    Returns
    -------
    float64 (R, R)
        Orthogonal.

    Notes
    -----
    Fixed-point iteration on the third moment with symmetric orthogonalisation (Hyvärinen 1999, 10.1109/72.761722),
    from the principal components themselves.

    References
    ----------
    Mukamel, Nimmerjahn & Schnitzer 2009, 10.1016/j.neuron.2009.08.009; Hyvärinen 1999, 10.1109/72.761722.
    """
    blocks = [(1 - time_weight) * _standard(space), time_weight * _standard(time)]
    norm = np.sqrt((1 - time_weight) ** 2 + time_weight**2)
    signals = np.concatenate(blocks) / norm
    rotation = np.eye(signals.shape[1])
    for _ in range(iterations):
        turned = signals.T @ (signals @ rotation) ** 2 / len(signals)
        inner, _, outer = svd(turned, full_matrices=False)
        fresh = inner @ outer
        change = 1 - np.abs(np.einsum("ij,ij->j", fresh, rotation)).min()
        rotation = fresh
        if change < tolerance:
            break
    return rotation


def _standard(columns: FloatArray) -> FloatArray:
    centred = columns.astype(np.float64) - columns.mean(0)
    return centred / np.maximum(centred.std(0), 1e-12)
