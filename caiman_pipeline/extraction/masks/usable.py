"""Which masks can be components of a movie, and why the others cannot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_matrix

from caiman_pipeline.model.arrays import BoolArray, IntArray


@dataclass(frozen=True)
class Seeds:
    """Masks that a movie has signal under.

    Attributes
    ----------
    masks : float32 (P, S), ones; ``numbers`` : int64 (S,), their place in the file, from 0
    dropped : (number, reason) of the others
    n_masks : masks in the file
    """

    masks: csc_matrix
    numbers: IntArray
    dropped: tuple[tuple[int, str], ...]
    n_masks: int


def choose_seeds(masks: csc_matrix, usable: BoolArray, *, min_pixels: int) -> Seeds:
    """Keep the masks with enough pixels that count.

    Parameters
    ----------
    masks : csc_matrix (P, N)
        Positive inside.
    usable : bool (P,)
        Pixels inside the field of view that are not dead.
    min_pixels : int
        Fewest usable pixels.

    Returns
    -------
    Seeds
        Masks that are kept, their numbers, and why the others are not.
    """
    sizes = np.diff(masks.indptr)
    inside = masks.multiply(usable.reshape(-1, 1)).tocsc()
    inside.eliminate_zeros()
    counted = np.diff(inside.indptr)
    dropped = []
    for k in np.flatnonzero(counted < min_pixels):
        if sizes[k] == 0:
            reason = "empty"
        elif counted[k] == 0:
            reason = "outside the field of view"
        else:
            reason = f"too small: {counted[k]} of at least {min_pixels} px"
        dropped.append((int(k), reason))
    numbers = np.flatnonzero(counted >= min_pixels)
    kept = inside[:, numbers].astype(np.float32)
    kept.data[:] = 1.0
    return Seeds(kept, numbers.astype(np.int64), tuple(dropped), masks.shape[1])


def no_seeds(n_pixels: int) -> Seeds:
    """Return seeds of a search that starts from none.

    Parameters
    ----------
    n_pixels : int
        Pixels of a frame, P.

    Returns
    -------
    Seeds
        With S = 0.
    """
    return Seeds(csc_matrix((n_pixels, 0), dtype=np.float32), np.zeros(0, np.int64), (), 0)
