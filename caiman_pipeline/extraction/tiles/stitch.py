"""Put the batches of tiles together."""

from __future__ import annotations

import numpy as np
from scipy.sparse import hstack

from caiman_pipeline.model.components import Candidates
from caiman_pipeline.model.errors import PipelineError


def stitch(batches: list[Candidates]) -> Candidates:
    """Join the candidates of all batches, in the order of their tiles, however tiles were batched.

    Parameters
    ----------
    batches : list of Candidates
        What was found in each batch of tiles.

    Returns
    -------
    Candidates
        Of the whole field.

    Raises
    ------
    PipelineError
        If the batches are of different movies or bins.
    """
    first = batches[0]
    for other in batches[1:]:
        own, theirs = ((b.dims, b.frames_per_bin, b.shapeless) for b in (first, other))
        if own != theirs:
            raise PipelineError("the batches of tiles do not belong together. Delete patch_cnmf/ and run again.")
    tiles = np.concatenate([b.tiles for b in batches])
    order = np.argsort(tiles, kind="stable")
    return Candidates(
        dims=first.dims,
        footprints=hstack([b.footprints for b in batches]).tocsc()[:, order],
        traces=np.concatenate([b.traces for b in batches])[order],
        tiles=tiles[order],
        depth=np.concatenate([b.depth for b in batches])[order],
        frames_per_bin=first.frames_per_bin,
        seeds=np.concatenate([b.seeds for b in batches])[order],
        shapeless=first.shapeless,
    )
