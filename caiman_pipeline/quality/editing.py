"""Edit a set of components by hand or by simple rules: select, remove, restore, merge, threshold.

Small functions from one set to the next. Ids never change: what is removed keeps its id and can be restored, what is
merged gets a new one, and each step is written down. Traces that were computed from components before an edit (DF/F,
quality) no longer fit them; their tables say so by their ids.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from caiman_pipeline.extraction.pairs import similar_pairs, trace_correlations
from caiman_pipeline.extraction.spatial import normalise
from caiman_pipeline.extraction.supports import map_footprints
from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.components import Components, Curated
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.quality.sets import joined, merged_component, take


def uncurated(components: Components) -> Curated:
    """Return components to which nothing has been done yet.

    Parameters
    ----------
    components : Components
        Of a recording.

    Returns
    -------
    Curated
        All present, none removed, no history.
    """
    return Curated(components, take(components, np.zeros(0, np.int64)), ())


def _rows(components: Components, ids: Iterable[int], what: str) -> BoolArray:
    """Return which components have the given ids, bool (K,)."""
    wanted = [int(i) for i in ids]
    known = set(components.ids.tolist())
    missing = sorted({i for i in wanted if i not in known})
    if missing:
        listed = ", ".join(map(str, missing[:10]))
        raise PipelineError(f"there is no {what} component {listed}. Ids are in the table of components.")
    if not wanted:
        raise PipelineError(f"name the {what} components that are meant.")
    return np.isin(components.ids, wanted)


def _line(word: str, ids: IntArray) -> str:
    return " ".join([word, *map(str, ids)])


def remove(curated: Curated, ids: Iterable[int]) -> Curated:
    """Take components out; they can be restored.

    Parameters
    ----------
    curated : Curated
        A set of components.
    ids : iterable of int
        Those to take out.

    Returns
    -------
    Curated
        The set without them.

    Raises
    ------
    PipelineError
        If one of them is not there.
    """
    gone = _rows(curated.present, ids, "present")
    return _removed(curated, gone, _line("remove", curated.present.ids[gone]))


def select(curated: Curated, ids: Iterable[int]) -> Curated:
    """Keep only the given components; the others can be restored.

    Parameters
    ----------
    curated : Curated
        A set of components.
    ids : iterable of int
        Those to keep.

    Returns
    -------
    Curated
        The set with these alone.

    Raises
    ------
    PipelineError
        If one of them is not there.
    """
    kept = _rows(curated.present, ids, "present")
    return _removed(curated, ~kept, _line("select", curated.present.ids[kept]))


def _removed(curated: Curated, gone: BoolArray, line: str) -> Curated:
    return Curated(
        take(curated.present, ~gone), joined(curated.removed, take(curated.present, gone)), (*curated.history, line)
    )


def restore(curated: Curated, ids: Iterable[int]) -> Curated:
    """Put removed components back.

    Parameters
    ----------
    curated : Curated
        A set of components.
    ids : iterable of int
        Removed ones to put back.

    Returns
    -------
    Curated
        The set with them.

    Raises
    ------
    PipelineError
        If one of them was not removed, or is part of a merged component that is there.
    """
    back = _rows(curated.removed, ids, "removed")
    for parents, child in merges(curated.history):
        both = sorted(set(parents) & set(curated.removed.ids[back].tolist()))
        if both and child in curated.present.ids:
            raise PipelineError(f"component {both[0]} is part of {child}, which is there. Remove {child} first.")
    line = _line("restore", curated.removed.ids[back])
    present = joined(curated.present, take(curated.removed, back))
    return Curated(present, take(curated.removed, ~back), (*curated.history, line))


def merges(history: tuple[str, ...]) -> list[tuple[tuple[int, ...], int]]:
    """Return (parents, child) of every merge in a history.

    Parameters
    ----------
    history : tuple of str
        A line for each edit.

    Returns
    -------
    list of (tuple of int, int)
        Ids of the parents, and of the child.

    Examples
    --------
    >>> merges(("remove 4", "merge 1 2 -> 9"))
    [((1, 2), 9)]
    """
    found = []
    for line in history:
        if line.startswith("merge "):
            parents, _, child = line.removeprefix("merge ").partition(" -> ")
            found.append((tuple(map(int, parents.split())), int(child)))
    return found


def merge(curated: Curated, ids: Iterable[int]) -> Curated:
    """Make one component of several: the best rank-one footprint and trace of their sum, with a new id.

    The parents are removed (and can be restored once the child is removed).

    Parameters
    ----------
    curated : Curated
        A set of components.
    ids : iterable of int
        Two or more to make one of.

    Returns
    -------
    Curated
        The set with the child, its parents removed.

    Raises
    ------
    PipelineError
        If there are fewer than two, or one of them is not there.
    """
    parents = _rows(curated.present, ids, "present")
    if np.count_nonzero(parents) < 2:
        raise PipelineError("a merge needs at least two components.")
    taken = curated.present.ids[parents]
    new_id = 1 + max(_largest(curated.present.ids), _largest(curated.removed.ids))
    child = merged_component(take(curated.present, parents), new_id)
    line = f"{_line('merge', taken)} -> {new_id}"
    rest = _removed(curated, parents, line)
    return replace(rest, present=joined(rest.present, child))


def _largest(ids: IntArray) -> int:
    return int(ids.max(initial=-1))


def remove_by_size(curated: Curated, *, min_px: float, max_px: float) -> Curated:
    """Take out components whose footprint has fewer or more pixels.

    Parameters
    ----------
    curated : Curated
        A set of components.
    min_px : float
        Fewest pixels of a footprint.
    max_px : float
        Most pixels of a footprint.

    Returns
    -------
    Curated
        The set without the others.
    """
    sizes = np.diff(curated.present.footprints.tocsc().indptr)
    gone = (sizes < min_px) | (sizes > max_px)
    return _removed(curated, gone, _line(f"size {min_px:g} to {max_px:g} px: remove", curated.present.ids[gone]))


def remove_duplicates(curated: Curated, *, min_cosine: float, min_correlation: float) -> Curated:
    """Of components with like footprints and like traces, take out those with the weaker trace.

    Parameters
    ----------
    curated : Curated
        A set of components.
    min_cosine : float
        Cosine of two footprints from which they are alike, 0 to 1.
    min_correlation : float
        Correlation of denoised traces from which these are.

    Returns
    -------
    Curated
        The set with one of each pair. Frames in which any trace is missing do not count.
    """
    present = curated.present
    first, second = similar_pairs(present.footprints, min_cosine=min_cosine)
    observed = np.isfinite(present.denoised).all(0) & np.isfinite(present.residual).all(0)
    denoised, residual = present.denoised[:, observed], present.residual[:, observed]
    same = trace_correlations(denoised, first, second) >= min_correlation
    strength = denoised.std(1) / np.maximum(residual.std(1), 1e-12)
    gone = np.zeros(present.n_components, bool)
    for a, b in zip(first[same], second[same], strict=True):
        if not (gone[a] or gone[b]):
            gone[a if strength[a] < strength[b] else b] = True
    return _removed(curated, gone, _line("duplicates: remove", present.ids[gone]))


def threshold_footprints(curated: Curated, *, fraction: float) -> Curated:
    """Drop the pixels of each footprint below a share of its peak; traces are scaled so that the rest is explained.

    Parameters
    ----------
    curated : Curated
        A set of components.
    fraction : float
        Share of its peak below which a footprint's pixels go, 0 to 1.

    Returns
    -------
    Curated
        The set with smaller footprints, of unit norm again.
    """

    def cut(rows: IntArray, values: FloatArray) -> tuple[IntArray, FloatArray]:
        kept = values >= fraction * values.max()
        return rows[kept], values[kept]

    footprints, norms = normalise(map_footprints(curated.present.footprints.tocsc(), cut))
    present = replace(
        curated.present,
        footprints=footprints,
        denoised=curated.present.denoised * norms[:, None],
        residual=curated.present.residual * norms[:, None],
    )
    return replace(curated, present=present, history=(*curated.history, f"threshold {fraction:g}"))


def _check_numbers(name: str, values: list[float]) -> None:
    """Refuse numbers by which nothing, or everything, would be taken out."""
    ascending = name != "size" or 0 <= values[0] <= values[-1]
    shares = name == "size" or all(0 <= value <= 1 for value in values)
    if not (ascending and shares):
        asked = {
            "size": "the smallest and the largest number of pixels, in this order",
            "duplicates": "two numbers from 0 to 1: cosine of footprints, correlation of traces",
        }.get(name, "a share of the peak from 0 to 1")
        raise PipelineError(f"`--{name}` takes {asked}; found {' '.join(f'{value:g}' for value in values)}.")


def apply_step(curated: Curated, name: str, values: list[float]) -> Curated:
    """Apply one edit by its name: select, remove, restore, merge (ids), size, duplicates, threshold (numbers).

    Parameters
    ----------
    curated : Curated
        A set of components.
    name : str
        select, remove, restore, merge, size, duplicates or threshold.
    values : list of float
        Ids; or fewest and most pixels, least cosine and correlation, share of the peak.

    Returns
    -------
    Curated
        The set after that edit.

    Raises
    ------
    PipelineError
        If an id is not there, or a number would take out nothing or everything.
    """
    by_ids = {"select": select, "remove": remove, "restore": restore, "merge": merge}
    if name in by_ids:
        return by_ids[name](curated, [int(v) for v in values])
    _check_numbers(name, values)
    if name == "size":
        return remove_by_size(curated, min_px=values[0], max_px=values[1])
    if name == "duplicates":
        return remove_duplicates(curated, min_cosine=values[0], min_correlation=values[1])
    return threshold_footprints(curated, fraction=values[0])
