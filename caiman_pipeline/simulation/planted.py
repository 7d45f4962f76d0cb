"""Footprints of real cells, read from a file to be planted in a simulated movie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import h5py
import numpy as np
from scipy.sparse import csc_matrix, diags

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.results.files import load_result


@dataclass(frozen=True)
class PlantedFootprints:
    """Footprints to plant: sparse float32 (P, K) of a field of view of ``dims``, each with a peak of 1."""

    dims: Dims
    matrix: csc_matrix


def load_footprints(path: Path | str, name: str | None = None) -> PlantedFootprints:
    """Read footprints from a result file of this package, or from an ``.npz`` archive.

    Parameters
    ----------
    path : path
        ``.h5`` with ``footprints`` and ``dims``, or ``.npz`` with ``dims``, ``order`` (pixels in C or F order) and a
        csc matrix as ``NAME_data``, ``NAME_indices``, ``NAME_indptr``, ``NAME_shape``.
    name : str, optional
        NAME, needed where an archive holds several matrices.

    Returns
    -------
    PlantedFootprints
        Those that are not empty, with a peak of 1.

    Raises
    ------
    PipelineError
        If the file cannot be read or holds no such footprints.
    """
    path = Path(path)
    try:
        dims, matrix = _from_archive(path, name) if path.suffix == ".npz" else _from_result(path)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise PipelineError(
            f"{path}: no readable footprints ({error}). Give a components.h5 or an .npz file."
        ) from error
    if matrix.shape[0] != np.prod(dims):
        raise PipelineError(f"{path}: footprints of {matrix.shape[0]} pixels do not fit frames of {dims}.")
    matrix = matrix[:, np.asarray(matrix.max(axis=0).todense()).ravel() > 0]
    peak = np.asarray(matrix.max(axis=0).todense()).ravel()
    return PlantedFootprints(dims, (matrix @ diags(1 / peak)).tocsc().astype(np.float32))


def _from_result(path: Path) -> tuple[Dims, csc_matrix]:
    with h5py.File(path, "r") as file:
        kind = str(file.attrs.get("kind"))
    result = load_result(path, kind)
    return tuple(int(n) for n in result["dims"]), result["footprints"]


def _from_archive(path: Path, name: str | None) -> tuple[Dims, csc_matrix]:
    with np.load(path, allow_pickle=False) as archive:
        stored = {key: archive[key] for key in archive.files if key != "C"}
    names = [key.removesuffix("_indptr") for key in stored if key.endswith("_indptr")]
    if name not in names and (name is not None or len(names) != 1):
        raise PipelineError(f"{path}: name the footprints to plant, one of: {', '.join(names) or 'none there'}.")
    name = name or names[0]
    parts = tuple(stored[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    matrix = csc_matrix(parts, shape=tuple(stored[f"{name}_shape"]))
    dims = tuple(int(n) for n in stored["dims"])
    if str(stored.get("order", "C")) == "F":
        in_c_order = np.arange(int(np.prod(dims))).reshape(dims, order="F").ravel()
        matrix = matrix.tocsr()[in_c_order].tocsc()
    return dims, matrix
