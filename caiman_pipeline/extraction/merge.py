"""Overlap and correlation between components -> groups that are one cell -> one component each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_matrix, csc_matrix, hstack
from scipy.sparse.csgraph import connected_components

from caiman_pipeline.extraction.footprints import min_pixels
from caiman_pipeline.extraction.pairs import similar_pairs, touching_pairs, trace_correlations
from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.components import Candidates

if TYPE_CHECKING:
    from caiman_pipeline.config.merge import MergeSettings
    from caiman_pipeline.config.recording import RecordingSettings


@dataclass(frozen=True)
class Merged:
    """Components after merging: float32 footprints (P, K) of unit norm, traces (K, T), and where they came from.

    Attributes
    ----------
    parents : one tuple per component, the candidates' numbers that it was made from
    dropped : candidates left out as the same cell seen from a neighbouring tile, or as a seed's, with the candidate
        kept instead
    n_seeds : so many components at the front are seeds
    ids : int64 (K,), the numbers of the seeds' masks, then those that follow
    """

    footprints: csc_matrix
    traces: FloatArray
    parents: tuple[tuple[int, ...], ...]
    dropped: tuple[tuple[int, int], ...]
    n_seeds: int
    ids: IntArray


def merge_candidates(
    candidates: Candidates,
    *,
    merge: bool,
    min_correlation: float,
    min_overlap: float,
    duplicate_overlap: float,
    max_pixels: int,
    n_masks: int,
) -> Merged:
    """Remove cells found twice at tile borders, then merge what overlaps and fires together.

    Parameters
    ----------
    candidates : Candidates
        What the search found in all tiles.
    merge : bool
        False only removes cells found twice.
    min_correlation : float
        Correlation of traces from which overlapping components are one.
    min_overlap : float
        Share of the smaller footprint within a pixel of the other from which they count as overlapping.
    duplicate_overlap : float
        Cosine from which components of different tiles with correlated traces are the same one.
    max_pixels : int
        Largest merged footprint; groups that would pass it are left apart.
    n_masks : int
        Masks that seeds were chosen from; other components are numbered after them.

    Returns
    -------
    Merged
        Components, and where they came from.

    Notes
    -----
    Numbering follows the candidates', so the result does not depend on how tiles were batched. Seeds come first, in the
    order of their masks, and are neither merged nor dropped; what else was found and fires with a seed that it touches
    is left out.

    References
    ----------
    Pnevmatikakis et al. 2016, 10.1016/j.neuron.2015.11.037
    """
    keep, dropped = drop_duplicates(candidates, min_overlap=duplicate_overlap, min_correlation=min_correlation)
    footprints, traces = candidates.footprints[:, keep], candidates.traces[keep]
    is_seed = candidates.seeds[keep] >= 0
    first, second = touching_pairs(footprints, candidates.dims, min_overlap=min_overlap)
    joined = trace_correlations(traces, first, second) >= min_correlation
    first, second = first[joined], second[joined]
    taken = _taken_by_seeds(first, second, is_seed)
    dropped = tuple(sorted([*dropped, *((int(keep[a]), int(keep[b])) for a, b in taken.items())]))
    free = ~is_seed[first] & ~is_seed[second] & ~np.isin(first, list(taken)) & ~np.isin(second, list(taken)) & merge
    groups = merge_groups(footprints, first[free], second[free], max_pixels=max_pixels)
    groups = [g for g in groups if g[0] not in taken]
    seeds = candidates.seeds[keep]
    groups.sort(key=lambda g: (seeds[g[0]] < 0, seeds[g[0]], g))
    parts = [merge_group(footprints, traces, group) for group in groups]
    empty = csc_matrix((footprints.shape[0], 0), dtype=np.float32)
    return Merged(
        hstack([empty, *(a for a, _ in parts)]).tocsc().astype(np.float32),
        np.stack([c for _, c in parts]).astype(np.float32) if parts else traces,
        tuple(tuple(int(keep[k]) for k in group) for group in groups),
        dropped,
        int(np.count_nonzero(is_seed)),
        number_components(np.array([seeds[g[0]] for g in groups], np.int64), n_masks=n_masks),
    )


def merge_as_set(
    candidates: Candidates, settings: MergeSettings, recording: RecordingSettings, *, n_masks: int
) -> Merged:
    """Merge a recording's candidates as its settings say; see ``merge_candidates``.

    Parameters
    ----------
    candidates : Candidates
        What the search found in all tiles.
    settings : MergeSettings
        Section ``merge``.
    recording : RecordingSettings
        The cell diameter.
    n_masks : int
        Masks that seeds were chosen from.

    Returns
    -------
    Merged
        Components, and where they came from.
    """
    ndim = len(candidates.dims)
    cell_px = recording.cell_diameter.per_axis(ndim) if recording.cell_diameter else ()
    return merge_candidates(
        candidates,
        merge=settings.merge,
        min_correlation=settings.min_correlation,
        min_overlap=settings.min_overlap,
        duplicate_overlap=settings.duplicate_overlap,
        max_pixels=min_pixels(cell_px, settings.max_size),
        n_masks=n_masks,
    )


def _taken_by_seeds(first: IntArray, second: IntArray, is_seed: BoolArray) -> dict[int, int]:
    """Return the components that are not seeds but joined to one, and that seed."""
    taken: dict[int, int] = {}
    for a, b in zip(first, second, strict=True):
        if is_seed[a] != is_seed[b]:
            seed, other = (a, b) if is_seed[a] else (b, a)
            taken.setdefault(int(other), int(seed))
    return taken


def number_components(seeds: IntArray, *, n_masks: int) -> IntArray:
    """Return ids: the seeds' own numbers, and for the others those that follow all masks'.

    Parameters
    ----------
    seeds : int64 (K,)
        Number of each component's mask, -1 for none.
    n_masks : int
        Masks in the file.

    Returns
    -------
    int64 (K,)
        Ids, each once.

    Examples
    --------
    >>> import numpy as np
    >>> number_components(np.array([0, 2, -1, -1]), n_masks=3).tolist()
    [0, 2, 3, 4]
    """
    others = seeds < 0
    ids = seeds.astype(np.int64)
    ids[others] = n_masks + np.arange(np.count_nonzero(others))
    return ids


def drop_duplicates(
    candidates: Candidates, *, min_overlap: float, min_correlation: float
) -> tuple[IntArray, tuple[tuple[int, int], ...]]:
    """Return the candidates to keep: of two tiles' views of a cell the deeper one.

    Parameters
    ----------
    candidates : Candidates
        What the search found in all tiles.
    min_overlap : float
        Cosine of footprints from which they are of one cell.
    min_correlation : float
        Correlation of traces; three quarters of it are enough here.

    Returns
    -------
    keep : int64 (n,)
        Numbers of candidates.
    dropped : tuple of (int, int)
        Candidate that was dropped, and the one kept instead.
    """
    first, second = similar_pairs(candidates.footprints, min_cosine=min_overlap)
    across = candidates.tiles[first] != candidates.tiles[second]
    across &= (candidates.seeds[first] < 0) & (candidates.seeds[second] < 0)
    first, second = first[across], second[across]
    same = trace_correlations(candidates.traces, first, second) >= 0.75 * min_correlation
    gone: dict[int, int] = {}
    for a, b in zip(first[same], second[same], strict=True):
        if a in gone or b in gone:
            continue
        loser, winner = (a, b) if candidates.depth[a] < candidates.depth[b] else (b, a)
        gone[int(loser)] = int(winner)
    keep = np.array([k for k in range(len(candidates.traces)) if k not in gone], dtype=np.int64)
    return keep, tuple(sorted(gone.items()))


def merge_groups(
    footprints: csc_matrix, first: IntArray, second: IntArray, *, max_pixels: int
) -> list[tuple[int, ...]]:
    """Group components that the given pairs join, in the order of their first members; large groups fall apart.

    Parameters
    ----------
    footprints : csc_matrix (P, K)
        Footprints, of any norm.
    first : int (n,)
        One of each pair.
    second : int (n,)
        The other.
    max_pixels : int
        Pixels that all footprints of a group cover at most; larger groups fall apart into single components.

    Returns
    -------
    list of tuple of int
        Members of each group.
    """
    n = footprints.shape[1]
    graph = coo_matrix((np.ones(len(first)), (first, second)), shape=(n, n))
    _, labels = connected_components(graph, directed=False)
    groups: dict[int, list[int]] = {}
    for k, label in enumerate(labels):
        groups.setdefault(int(label), []).append(k)
    result: list[tuple[int, ...]] = []
    for members in groups.values():
        too_large = len(members) > 1 and _union_size(footprints, members) > max_pixels
        result += [(k,) for k in members] if too_large else [tuple(members)]
    return sorted(result)


def _union_size(footprints: csc_matrix, members: list[int]) -> int:
    return int(np.count_nonzero(np.asarray(footprints[:, members].sum(1))))


def merge_group(footprints: csc_matrix, traces: FloatArray, group: tuple[int, ...]) -> tuple[csc_matrix, FloatArray]:
    """Return the best rank-one footprint and trace for the sum of a group.

    Parameters
    ----------
    footprints : csc_matrix (P, K)
        Footprints of unit norm.
    traces : float32 (K, T)
        Their traces.
    group : tuple of int
        Its members.

    Returns
    -------
    footprint : csc_matrix (P, 1)
        Of unit norm.
    trace : float32 (T,)
        In the traces' unit.
    """
    members = list(group)
    part, own = footprints[:, members], traces[members].astype(np.float64)
    if len(members) == 1:
        return part, traces[members[0]]
    readout, weights = rank_one((part.T @ part).toarray(), own)
    footprint = csc_matrix(part @ weights.reshape(-1, 1)).astype(np.float32)
    norm = np.sqrt(float(footprint.multiply(footprint).sum())) or 1.0
    return footprint / norm, (readout @ own * norm).astype(np.float32)


def rank_one(gram: FloatArray, traces: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the best one component for a sum of several.

    Parameters
    ----------
    gram : float64 (K, K)
        Products of their footprints.
    traces : float64 (K, T)
        Their traces, no gaps.

    Returns
    -------
    readout : float64 (K,)
        Its trace is ``readout @ traces``.
    weights : float64 (K,)
        Its footprint is ``footprints @ weights``.
    """
    weights = np.linalg.norm(traces, axis=1)
    for _ in range(10):
        readout = weights @ gram / max(weights @ gram @ weights, 1e-30)
        trace = readout @ traces
        weights = np.maximum(traces @ trace / max(trace @ trace, 1e-30), 0)
    return readout, weights
