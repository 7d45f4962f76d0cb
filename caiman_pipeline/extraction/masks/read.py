"""Masks of components from a file: TIFF, NPZ, NWB, or the results of another run.

Whatever the file holds becomes one sparse matrix, pixels x masks, weights where a mask has them. Masks keep the order
of the file, empty ones included, so that they can be told apart by their number.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.sparse import csc_matrix, load_npz, save_npz

from caiman_pipeline.extraction.masks.tools import (
    CAIMAN,
    masks_of_caiman,
    read_imagej,
    read_matlab,
    read_neurofinder,
)
from caiman_pipeline.model.arrays import IntArray, NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.movies.readers.foreign import OBJECTS, holds_objects, masks_advice
from caiman_pipeline.results.atomic import whole_file
from caiman_pipeline.results.files import load_result
from caiman_pipeline.results.provenance import of_another_run

# Where NWB files keep masks.
SEGMENTATION = "processing/ophys/ImageSegmentation"


def read_masks(path: Path | str, dims: Dims, *, pixel_order: str) -> csc_matrix:
    """Read masks for a movie of ``dims``.

    Parameters
    ----------
    path : TIFF (a label image, or a stack with one mask per image), NPZ (a sparse matrix as ``scipy.sparse.save_npz``
        writes it, or an array: pixels x masks, labels, or a stack), NWB (image, pixel or voxel masks), HDF5 result with
        components, of CaImAn too, MATLAB (suite2p's ``Fall.mat``, or a variable), JSON of Neurofinder, or regions of
        ImageJ
    dims : (H, W) or (D, H, W)
    pixel_order : ``C`` or ``F``, the order of pixels in a matrix of an NPZ

    Returns
    -------
    float32 (P, S), non-negative, pixels in C order.

    Raises
    ------
    PipelineError
        If the file is missing, cannot be read, or its masks are of another field of view.
    """
    file = Path(path)
    reader = READERS.get(file.suffix.lower())
    if reader is None:
        advice = masks_advice(file)
        is_a = f"{advice}. Masks" if advice else "masks"
        raise PipelineError(f"{file}: {is_a} are read from {', '.join(READERS)} files.")
    try:
        masks = reader(file, tuple(dims), pixel_order)
    except (OSError, ValueError, KeyError, LookupError, zipfile.BadZipFile) as error:
        if file.is_file() and holds_objects(file, error):
            raise PipelineError(f"{file}: {OBJECTS}.") from error
        raise PipelineError(f"{file}: the masks cannot be read ({error}).") from error
    if not np.isfinite(masks.data).all() or (masks.data < 0).any():
        raise PipelineError(f"{file}: masks hold values that are negative or not finite. Write weights or 0 and 1.")
    masks.eliminate_zeros()
    return masks.astype(np.float32)


def _misfit(path: Path, found: tuple[int, ...], dims: Dims) -> PipelineError:
    hint = " Are rows and columns swapped?" if found[-len(dims) :][::-1] == dims else ""
    return PipelineError(f"{path}: masks of {found}, but the movie's frames are {dims}.{hint}")


def masks_from_array(path: Path, array: NumberArray, dims: Dims) -> csc_matrix:
    """Return masks from a label image, 0 outside, or from a stack of masks.

    Parameters
    ----------
    path : path
        The file, for messages.
    array : array (*dims) or (S, *dims)
        Labels, or masks.
    dims : tuple of int
        (H, W) or (D, H, W) of the movie.

    Returns
    -------
    csc_matrix float32 (P, S)
        Masks, in the order of labels or of the stack.

    Raises
    ------
    PipelineError
        If the array has another shape.
    """
    array = np.asarray(array)
    shape = tuple(array.shape)
    if shape == dims:
        return _from_labels(path, array)
    if shape[1:] == dims:
        return csc_matrix(array.reshape(len(array), -1).T.astype(np.float32))
    raise _misfit(path, shape, dims)


def _from_labels(path: Path, labels: NumberArray) -> csc_matrix:
    if not np.array_equal(labels, np.round(labels)) or labels.min() < 0:
        raise PipelineError(f"{path}: an image of labels has whole numbers from 0. For weights, give a stack of masks.")
    flat = labels.ravel().astype(np.int64)
    rows = np.flatnonzero(flat)
    count = int(flat.max(initial=0))
    if count > len(flat):
        raise PipelineError(f"{path}: a label of {count} in an image of {len(flat)} pixels. Is this a label image?")
    return csc_matrix((np.ones(len(rows), np.float32), (rows, flat[rows] - 1)), shape=(len(flat), count))


def _read_tiff(path: Path, dims: Dims, pixel_order: str) -> csc_matrix:
    import tifffile

    return masks_from_array(path, np.squeeze(tifffile.imread(path)) if len(dims) == 2 else tifffile.imread(path), dims)


def _read_npy(path: Path, dims: Dims, pixel_order: str) -> csc_matrix:
    return _matrix_or_images(path, np.load(path, allow_pickle=False), dims, pixel_order)


def _read_npz(path: Path, dims: Dims, pixel_order: str) -> csc_matrix:
    with np.load(path, allow_pickle=False) as file:
        names = set(file.files)
        if {"data", "shape"} <= names and "format" in names:
            return _in_c_order(path, load_npz(path).tocsc(), dims, pixel_order)
        if {"data", "indices", "indptr", "shape"} <= names:
            parts = (file["data"], file["indices"], file["indptr"])
            return _in_c_order(path, csc_matrix(parts, shape=tuple(file["shape"])), dims, pixel_order)
        known = [n for n in ("masks", "footprints", "A", *file.files) if n in names]
        if len(names) > 1 and known[0] not in ("masks", "footprints", "A"):
            raise PipelineError(f"{path}: which of {', '.join(file.files)} are the masks? Call it `masks`.")
        return _matrix_or_images(path, file[known[0]], dims, pixel_order)


def _matrix_or_images(path: Path, array: NumberArray, dims: Dims, pixel_order: str) -> csc_matrix:
    if array.ndim == 2 and array.shape != dims and len(array) == prod(dims):
        return _in_c_order(path, csc_matrix(array.astype(np.float32)), dims, pixel_order)
    return masks_from_array(path, array, dims)


def _in_c_order(path: Path, masks: csc_matrix, dims: Dims, pixel_order: str) -> csc_matrix:
    if masks.shape[0] != prod(dims):
        raise PipelineError(
            f"{path}: masks of {masks.shape[0]} pixels, but the movie's frames {dims} have {prod(dims)}."
        )
    if pixel_order == "F":
        masks = masks.tocsr()[np.arange(prod(dims)).reshape(dims[::-1]).T.ravel()].tocsc()
    return masks.astype(np.float32)


def _read_result(path: Path, dims: Dims, pixel_order: str) -> csc_matrix:
    with h5py.File(path, "r") as file:
        if CAIMAN in file:
            return masks_of_caiman(path, file, dims)
        kind = str(file.attrs.get("kind"))
    with of_another_run():
        result = load_result(path, kind if kind in ("components", "merged", "masks") else "components")
    found = tuple(int(n) for n in result["dims"])
    if found != dims:
        raise _misfit(path, found, dims)
    return result["footprints"].tocsc()


def _read_nwb(path: Path, dims: Dims, pixel_order: str) -> csc_matrix:
    with h5py.File(path, "r") as file:
        group = file[SEGMENTATION]
        table = next(t for t in group.values() if isinstance(t, h5py.Group) and "id" in t)
        if "image_mask" in table:
            masks = table["image_mask"][()]
            # NWB has x before y; some writers do not.
            turned = masks.transpose(0, *range(masks.ndim - 1, 0, -1))
            return masks_from_array(path, turned if turned.shape[1:] == dims else masks, dims)
        name = "voxel_mask" if "voxel_mask" in table else "pixel_mask"
        return _from_points(path, table[name][()], table[f"{name}_index"][()], dims)


def _from_points(path: Path, points: Any, ends: IntArray, dims: Dims) -> csc_matrix:
    """Return masks from the x, y[, z] and weight of their pixels, one mask after the other."""
    axes = ("z", "y", "x")[3 - len(dims) :]
    places = tuple(points[a].astype(np.int64) for a in axes)
    if any((p >= n).any() for p, n in zip(places, dims, strict=True)):
        raise _misfit(path, tuple(int(p.max()) + 1 for p in places), dims)
    rows = np.ravel_multi_index(places, dims)
    starts = np.concatenate([[0], ends[:-1]])
    columns = np.repeat(np.arange(len(ends)), (ends - starts).astype(np.int64))
    return csc_matrix((points["weight"], (rows, columns)), shape=(prod(dims), len(ends)))


READERS: dict[str, Callable[[Path, Dims, str], csc_matrix]] = {
    ".tif": _read_tiff,
    ".tiff": _read_tiff,
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".h5": _read_result,
    ".hdf5": _read_result,
    ".nwb": _read_nwb,
    ".mat": read_matlab,
    ".json": read_neurofinder,
    ".zip": read_imagej,
    ".roi": read_imagej,
}


def check_masks_name(path: Path) -> None:
    """Refuse a name under which masks cannot be written.

    Parameters
    ----------
    path : path
        Where they are to go.

    Raises
    ------
    PipelineError
        If it ends in none of .tif, .tiff and .npz.
    """
    if path.suffix.lower() not in (".tif", ".tiff", ".npz"):
        raise PipelineError(f"{path}: masks are written as .tif (labels) or .npz (sparse matrix).")


def write_masks(path: Path, masks: csc_matrix, dims: Dims) -> None:
    """Write masks that do not overlap as a label image, or any as a sparse matrix, by the file's name.

    Parameters
    ----------
    path : path
        The file to make.
    masks : csc_matrix (P, S)
        Masks.
    dims : tuple of int
        (H, W) or (D, H, W).

    Raises
    ------
    PipelineError
        If the name is another, or masks for a label image overlap.
    """
    import tifffile

    check_masks_name(path)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        if path.suffix.lower() == ".npz":
            save_npz(file, masks.tocsc())
            return
        rows, columns = masks.nonzero()
        if len(np.unique(rows)) < len(rows):
            raise PipelineError(f"{path}: masks overlap, which a label image cannot hold. Name the file .npz.")
        labels = np.zeros(prod(dims), np.uint16 if masks.shape[1] < 65536 else np.uint32)
        labels[rows] = columns + 1
        tifffile.imwrite(file, labels.reshape(dims), photometric="minisblack")
