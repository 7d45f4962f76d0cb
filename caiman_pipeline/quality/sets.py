"""Sets of components: some of one, two as one, and several components as one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.sparse import csc_matrix, hstack

from caiman_pipeline.extraction.merge import rank_one
from caiman_pipeline.extraction.spatial import normalise
from caiman_pipeline.model.arrays import BoolArray, IntArray
from caiman_pipeline.model.components import Components


def take(components: Components, rows: IntArray | BoolArray) -> Components:
    """Return the components in the given rows (int or bool).

    Parameters
    ----------
    components : Components
        K of them.
    rows : int (n,) or bool (K,)
        Which rows.

    Returns
    -------
    Components
        Those, in the order of ``rows``.
    """
    rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows, np.int64)
    return replace(
        components,
        ids=components.ids[rows],
        footprints=components.footprints.tocsc()[:, rows],
        denoised=components.denoised[rows],
        residual=components.residual[rows],
    )


def joined(first: Components, second: Components) -> Components:
    """Return both sets of components, in the order of their ids.

    Parameters
    ----------
    first : Components
        Of a recording.
    second : Components
        Of the same recording, with other ids.

    Returns
    -------
    Components
        Both, on the first one's background.
    """
    ids = np.concatenate([first.ids, second.ids])
    both = replace(
        first,
        ids=ids,
        footprints=hstack([first.footprints, second.footprints]).tocsc().astype(np.float32),
        denoised=np.concatenate([first.denoised, second.denoised]),
        residual=np.concatenate([first.residual, second.residual]),
    )
    return take(both, np.argsort(ids, kind="stable"))


def merged_component(parents: Components, new_id: int) -> Components:
    """Return one component for the sum of several, its residual seen through the same footprint.

    Parameters
    ----------
    parents : Components
        Two or more, of unit norm.
    new_id : int
        The child's id.

    Returns
    -------
    Components
        One, its trace NaN in frames in which a parent's is.
    """
    gram = (parents.footprints.T @ parents.footprints).toarray().astype(np.float64)
    observed = np.isfinite(parents.denoised).all(0)
    readout, weights = rank_one(gram, parents.denoised[:, observed].astype(np.float64))
    footprint, norms = normalise(csc_matrix(parents.footprints @ weights.reshape(-1, 1)).astype(np.float32))
    return replace(
        parents,
        ids=np.array([new_id], np.int64),
        footprints=footprint,
        denoised=(norms[0] * (readout @ parents.denoised))[None].astype(np.float32),
        residual=(norms[0] * (readout @ parents.residual))[None].astype(np.float32),
    )
