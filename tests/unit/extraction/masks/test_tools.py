"""Masks of other tools: each lands on the pixels that the tool means, with its number."""

import h5py
import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csc_matrix

from caiman_pipeline.extraction.masks.read import read_masks
from caiman_pipeline.model.errors import PipelineError

DIMS = (7, 12)


def images(dims=DIMS, count=3, seed=4):
    """Masks with weights, each a box of its own."""
    rng = np.random.default_rng(seed)
    found = np.zeros((count, *dims), np.float32)
    for k in range(count):
        box = tuple(slice(k, k + n // 2) for n in dims)
        found[(k, *box)] = rng.uniform(0.5, 1, found[(k, *box)].shape)
    return found


def assert_masks(path, expected, dims=DIMS):
    np.testing.assert_allclose(
        read_masks(path, dims, pixel_order="C").toarray().T.reshape(len(expected), *dims), expected, rtol=1e-6
    )


def test_suite2p_fall_mat_keeps_cells_and_their_numbers(tmp_path):
    masks = images()
    stat = np.empty((1, 3), object)
    for k, mask in enumerate(masks):
        rows, columns = np.nonzero(mask)
        stat[0, k] = {"ypix": rows, "xpix": columns, "lam": mask[rows, columns], "med": [1, 2]}
    savemat(
        tmp_path / "Fall.mat", {"stat": stat, "iscell": np.array([[1, 0.9], [0, 0.1], [1, 0.8]]), "F": np.ones((3, 5))}
    )
    masks[1] = 0
    assert_masks(tmp_path / "Fall.mat", masks)
    with pytest.raises(PipelineError, match=r"column 7, but the movie's frames are \(12, 7\)"):
        read_masks(tmp_path / "Fall.mat", (12, 7), pixel_order="C")


@pytest.mark.parametrize("kind", ["sparse", "matrix", "stack", "labels"])
def test_matlab_variables(tmp_path, kind):
    masks = images()
    if kind == "labels":
        masks = (images(count=1) > 0).astype(np.float32)
    matrix = (
        masks.reshape(len(masks), -1, order="F") if kind == "labels" else np.stack([m.ravel(order="F") for m in masks])
    )
    value = {
        "sparse": csc_matrix(matrix.T.astype(float)),
        "matrix": matrix.T,
        "stack": np.moveaxis(masks, 0, -1),
        "labels": masks[0].astype(np.uint16),
    }[kind]
    savemat(tmp_path / "m.mat", {"A": value, "other": 3.0})
    assert_masks(tmp_path / "m.mat", masks)


def test_matlab_files_that_leave_open_what_is_meant(tmp_path):
    savemat(tmp_path / "m.mat", {"x": np.ones(DIMS), "y": np.ones(DIMS)})
    with pytest.raises(PipelineError, match="which of x, y are the masks"):
        read_masks(tmp_path / "m.mat", DIMS, pixel_order="C")
    with h5py.File(tmp_path / "n.mat", "w", userblock_size=512) as file:
        file["A"] = np.ones(DIMS)
    with pytest.raises(PipelineError, match=r"version 7\.3"):
        read_masks(tmp_path / "n.mat", DIMS, pixel_order="C")


@pytest.mark.parametrize("dims", [DIMS, (4, 7, 12)], ids=["plane", "volume"])
def test_caiman_results(tmp_path, dims):
    """A (pixels, components) in compressed columns, pixels in Fortran order of (rows, columns[, planes])."""
    masks = images(dims)
    theirs = masks if len(dims) == 2 else np.moveaxis(masks, 1, -1)
    matrix = csc_matrix(np.stack([m.ravel(order="F") for m in theirs], axis=1))
    with h5py.File(tmp_path / "r.hdf5", "w") as file:
        for name in ("data", "indices", "indptr", "shape"):
            file[f"estimates/A/{name}"] = getattr(matrix, name)
        file["estimates/dims"] = theirs.shape[1:]
    assert_masks(tmp_path / "r.hdf5", masks, dims)
    with pytest.raises(PipelineError, match="footprints of frames"):
        read_masks(tmp_path / "r.hdf5", dims[::-1], pixel_order="C")


def test_neurofinder(tmp_path):
    (tmp_path / "r.json").write_text(
        '[{"id": 3, "coordinates": [[1, 2], [1, 3], [6, 11], [1, 2]]}, {"coordinates": [[0, 0]]}]'
    )
    expected = np.zeros((2, *DIMS))
    expected[0, [1, 1, 6], [2, 3, 11]] = 1
    expected[1, 0, 0] = 1
    assert_masks(tmp_path / "r.json", expected)
    (tmp_path / "bad.json").write_text('{"regions": 1}')
    with pytest.raises(PipelineError, match="not a list of regions"):
        read_masks(tmp_path / "bad.json", DIMS, pixel_order="C")


def test_imagej_regions(tmp_path):
    roifile = pytest.importorskip("roifile")
    box = np.array([[3, 1], [8, 1], [8, 4], [3, 4]], float)  # columns 3 to 7, rows 1 to 3
    roifile.roiwrite(tmp_path / "r.zip", [roifile.ImagejRoi.frompoints(box, name="a")])
    expected = np.zeros((1, *DIMS))
    expected[0, 1:4, 3:8] = 1
    assert_masks(tmp_path / "r.zip", expected)
