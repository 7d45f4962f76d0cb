"""Components files that were edited by hand: the removed components and the history travel in the same file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csc_matrix

from caiman_pipeline.model.components import Components, Curated
from caiman_pipeline.results.files import Result, load_result, save_result
from caiman_pipeline.results.records import components_from_result, components_to_arrays

OWN = ("ids", "footprints", "denoised", "residual")


def load_curated(path: Path | str) -> tuple[Result, Curated]:
    """Read a components file, edited before or not; returns all that it holds, and its components.

    Parameters
    ----------
    path : path
        ``components.h5``.

    Returns
    -------
    result : Result
        All that the file holds.
    curated : Curated
        Its components, those that were removed, and the history.

    Raises
    ------
    PipelineError
        If the file is missing, damaged or of another kind.
    """
    result = load_result(path, "components")
    present = components_from_result(result)
    arrays = {**result.arrays, **_removed_arrays(result.arrays, present)}
    return result, Curated(present, components_from_result(arrays), tuple(result.arrays.get("history", ())))


def _removed_arrays(arrays: Mapping[str, Any], present: Components) -> dict[str, Any]:
    if "removed_ids" in arrays:
        return {name: arrays[f"removed_{name}"] for name in OWN}
    empty = np.zeros((0, present.denoised.shape[1]), np.float32)
    nothing = csc_matrix((present.footprints.shape[0], 0), dtype=np.float32)
    return {"ids": np.zeros(0, np.int64), "footprints": nothing, "denoised": empty, "residual": empty}


def save_curated(path: Path | str, curated: Curated, result: Result) -> None:
    """Write edited components; what else ``result`` held goes along.

    Parameters
    ----------
    path : path
        The file to make.
    curated : Curated
        Edited components.
    result : Result
        What ``load_curated`` returned beside them.
    """
    removed = {f"removed_{name}": getattr(curated.removed, name) for name in OWN}
    save_result(
        path,
        kind="components",
        arrays={**result.arrays, **components_to_arrays(curated.present), **removed, "history": tuple(curated.history)},
        settings=result.settings,
        source=result.source,
    )
