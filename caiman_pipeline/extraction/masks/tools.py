"""Masks as other tools write them: suite2p and others in MATLAB files, CaImAn, Neurofinder, regions of ImageJ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.sparse import csc_matrix, issparse

from caiman_pipeline.model.arrays import AnyArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims

CAIMAN = "estimates/A"
# Regions of ImageJ that enclose pixels, by roifile's names.
ENCLOSING = ("POLYGON", "RECT", "OVAL", "FREEHAND", "TRACED")


def masks_of_caiman(path: Path, file: h5py.File, dims: Dims) -> csc_matrix:
    """Return the footprints of a result that CaImAn saved, float (P, S), from its pixels in Fortran order.

    Raises
    ------
    PipelineError
        If they are of another field of view.
    """
    group = file[CAIMAN]
    parts = (group["data"][()], group["indices"][()], group["indptr"][()])
    matrix = csc_matrix(parts, shape=tuple(int(n) for n in group["shape"][()]))
    stored = file.get("estimates/dims")
    if isinstance(stored, h5py.Dataset) and stored.shape == (len(dims),) and tuple(stored[()]) != _theirs(dims):
        raise PipelineError(f"{path}: footprints of frames {tuple(stored[()])}, but the movie's are {_theirs(dims)}.")
    return _down_the_columns(path, matrix, dims)


def _theirs(dims: Dims) -> Dims:
    """Return (H, W) or (H, W, D): planes come last in CaImAn."""
    return (*dims[-2:], *dims[:-2])


def _down_the_columns(path: Path, matrix: Any, dims: Dims) -> csc_matrix:
    """Return a matrix (P, S) whose pixels are in Fortran order of (H, W[, D]), with pixels in C order of ``dims``."""
    if matrix.shape[0] != prod(dims):
        raise PipelineError(
            f"{path}: masks of {matrix.shape[0]} pixels, but the movie's frames {dims} have {prod(dims)}."
        )
    places = np.arange(prod(dims)).reshape(_theirs(dims), order="F")
    order = (np.moveaxis(places, -1, 0) if len(dims) == 3 else places).ravel()
    return csc_matrix(matrix).tocsr()[order].tocsc()


def read_matlab(path: Path, dims: Dims, pixel_order: str) -> csc_matrix:
    """Read masks of a MATLAB file: suite2p's ``Fall.mat``, or a variable with a matrix, a label image or a stack.

    The pixels of a matrix (pixels, masks) go down the columns, as in MATLAB; a stack is (H, W, masks). Regions of
    suite2p that are no cells stay empty, so that the others keep their numbers.

    Raises
    ------
    PipelineError
        If the file is of version 7.3, or it cannot be told which variable is meant.
    """
    from scipy.io import loadmat

    if h5py.is_hdf5(path):
        raise PipelineError(f"{path}: a MATLAB file of version 7.3. Save the masks alone with `-v7`.")
    content = loadmat(path, squeeze_me=True, struct_as_record=False)
    variables = {name: value for name, value in content.items() if not name.startswith("__")}
    if "stat" in variables:
        return _of_suite2p(path, variables, dims)
    named = [n for n in ("masks", "A", "labels") if n in variables] or list(variables)
    if len(named) != 1 and not {"masks", "A", "labels"} & set(named):
        raise PipelineError(f"{path}: which of {', '.join(named) or 'no variables'} are the masks? Call it `masks`.")
    return _of_variable(path, variables[named[0]], dims)


def _of_variable(path: Path, value: Any, dims: Dims) -> csc_matrix:
    from caiman_pipeline.extraction.masks.read import masks_from_array

    if issparse(value) or (np.ndim(value) == 2 and np.shape(value) != dims and len(value) == prod(dims)):
        return _down_the_columns(path, value, dims)
    array = np.asarray(value)
    stack = np.moveaxis(array, -1, 0) if array.ndim == len(dims) + 1 else array
    return masks_from_array(path, stack, dims)


def _of_suite2p(path: Path, variables: dict[str, Any], dims: Dims) -> csc_matrix:
    regions = np.atleast_1d(variables["stat"])
    is_cell = np.atleast_2d(variables.get("iscell", np.ones((len(regions), 1))))[:, 0] > 0
    pixels = [(np.atleast_1d(r.ypix), np.atleast_1d(r.xpix), np.atleast_1d(r.lam)) for r in regions]
    nothing = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    return _of_pixels(path, [p if kept else nothing for p, kept in zip(pixels, is_cell, strict=True)], dims)


def _of_pixels(path: Path, regions: Sequence[tuple[AnyArray, AnyArray, AnyArray]], dims: Dims) -> csc_matrix:
    """Return masks (P, S) from rows, columns and weights of each."""
    if len(dims) != 2:
        raise PipelineError(f"{path}: regions of one plane, but the movie is a volume of {dims[0]} planes.")
    columns = np.repeat(np.arange(len(regions)), [len(r[0]) for r in regions])
    rows, across, weights = (np.concatenate([np.asarray(r[i]) for r in regions] or [np.zeros(0)]) for i in range(3))
    if len(rows) and (min(rows.min(), across.min()) < 0 or rows.max() >= dims[0] or across.max() >= dims[1]):
        raise PipelineError(
            f"{path}: pixels up to row {rows.max():.0f} and column {across.max():.0f}, but the movie's frames are "
            f"{dims}."
        )
    places = rows.astype(np.int64) * dims[1] + across.astype(np.int64)
    return csc_matrix((weights.astype(np.float32), (places, columns)), shape=(prod(dims), len(regions)))


def read_neurofinder(path: Path, dims: Dims, pixel_order: str) -> csc_matrix:
    """Read a JSON list of regions, each with its pixels [row, column] as ``coordinates``.

    Raises
    ------
    PipelineError
        If it is no such list, or pixels lie outside of the movie's frames.
    """
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        places = [np.array(region["coordinates"], np.int64).reshape(-1, 2) for region in listed]
    except (ValueError, TypeError, KeyError) as error:
        raise PipelineError(f"{path}: not a list of regions with `coordinates` [row, column] ({error!r}).") from error
    places = [np.unique(p, axis=0) for p in places]
    return _of_pixels(path, [(p[:, 0], p[:, 1], np.ones(len(p))) for p in places], dims)


def read_imagej(path: Path, dims: Dims, pixel_order: str) -> csc_matrix:
    """Read regions of ImageJ, one or a ZIP of them: the pixels whose middle is inside; needs roifile.

    Raises
    ------
    PipelineError
        If roifile is not installed, or a region encloses nothing (points, lines).
    """
    from skimage.draw import polygon

    try:
        from roifile import roiread
    except ImportError as error:
        raise PipelineError("regions of ImageJ need roifile: pip install roifile.") from error
    found = roiread(path)
    regions = []
    for roi in found if isinstance(found, list) else [found]:
        if roi.roitype.name not in ENCLOSING:
            raise PipelineError(
                f"{path}: the region {roi.name!r} is a {roi.roitype.name.lower()}, which holds no pixels."
            )
        # ImageJ counts from the corner of a pixel, columns first.
        x, y = np.asarray(roi.coordinates(), np.float64).T - 0.5
        rows, columns = polygon(y, x, dims)
        regions.append((rows, columns, np.ones(len(rows))))
    return _of_pixels(path, regions, dims)
