"""What a recording brings to the registration of its field's sessions, from its results."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.sessions import Session
from caiman_pipeline.results.files import load_result

NEEDED = ("dims", "ids", "footprints")


def load_session(
    name: str, *, components: Path, selection: Path, images: Path, pixel_um: tuple[float, ...] | None, accepted: bool
) -> Session:
    """Read a recording's components and mean image; of the components the accepted ones, or all.

    Raises
    ------
    PipelineError
        If a file is missing, damaged, or the selection is of other components.
    """
    import h5py

    with h5py.File(components, "r") as file:
        others = tuple(n for n in file if n not in NEEDED)
    found = load_result(components, "components", skip=others)
    dims, ids, footprints = tuple(int(n) for n in found["dims"]), found["ids"], found["footprints"]
    chosen = load_result(selection, "selection")
    if not np.array_equal(chosen["ids"], ids):
        raise PipelineError(f"{selection}: selects among other components than those of {components}. Run again.")
    rows = np.flatnonzero(chosen["accepted"]) if accepted else np.arange(len(ids))
    mean = load_result(images, "images")["mean"]
    known = pixel_um if pixel_um is not None and len(pixel_um) == len(dims) else None
    return Session(name, dims, ids[rows], footprints[:, rows], np.asarray(mean, np.float32), known)
