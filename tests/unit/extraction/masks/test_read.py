"""Masks from every kind of file, in the order and place that they have there."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from scipy.sparse import csc_matrix, save_npz

from caiman_pipeline.extraction.masks.read import read_masks
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.results.files import save_result

DIMS = (5, 7)


def images() -> np.ndarray:
    stack = np.zeros((3, *DIMS), np.float32)
    stack[0, 1, 2:5] = 1
    stack[2, 3:5, 0] = [0.5, 2.0]
    return stack


def check(masks: csc_matrix, expected: np.ndarray) -> None:
    assert masks.shape == (35, len(expected))
    np.testing.assert_array_equal(masks.toarray().T.reshape(expected.shape), expected)


def test_a_stack_of_masks_keeps_weights_and_empty_masks(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", images(), photometric="minisblack")
    check(read_masks(tmp_path / "m.tif", DIMS, pixel_order="C"), images())


def test_labels_are_masks_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    labels = np.zeros(DIMS, np.uint16)
    labels[0, :2], labels[4, 5:] = 3, 1
    tifffile.imwrite(tmp_path / "m.tiff", labels)
    check(read_masks(tmp_path / "m.tiff", DIMS, pixel_order="C"), np.stack([labels == k for k in (1, 2, 3)]))


def test_labels_of_a_volume(tmp_path: Path) -> None:
    labels = np.zeros((3, *DIMS), np.uint8)
    labels[1, 2, 3], labels[2, 2, 3] = 1, 2
    tifffile.imwrite(tmp_path / "m.tif", labels, photometric="minisblack")
    masks = read_masks(tmp_path / "m.tif", (3, *DIMS), pixel_order="C")
    assert [int(i) for i in masks.indices] == [35 + 17, 70 + 17]


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_sparse_matrix_in_either_pixel_order(tmp_path: Path, order: str) -> None:
    matrix = np.stack([m.ravel(order=order) for m in images()], axis=1)
    save_npz(tmp_path / "m.npz", csc_matrix(matrix))
    check(read_masks(tmp_path / "m.npz", DIMS, pixel_order=order), images())


@pytest.mark.parametrize("shape", ["matrix", "stack"])
def test_a_dense_array_by_name(tmp_path: Path, shape: str) -> None:
    array = images() if shape == "stack" else images().reshape(3, -1).T
    np.savez(tmp_path / "m.npz", masks=array, other=np.arange(4))
    check(read_masks(tmp_path / "m.npz", DIMS, pixel_order="C"), images())
    np.save(tmp_path / "m.npy", array)
    check(read_masks(tmp_path / "m.npy", DIMS, pixel_order="C"), images())


def test_components_of_another_run(tmp_path: Path) -> None:
    footprints = csc_matrix(images().reshape(3, -1).T)
    arrays = {"footprints": footprints, "dims": DIMS}
    save_result(tmp_path / "components.h5", kind="components", arrays=arrays, settings={}, source={})
    check(read_masks(tmp_path / "components.h5", DIMS, pixel_order="C"), images())


def nwb(path: Path, **columns: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        table = file.create_group("processing/ophys/ImageSegmentation/PlaneSegmentation")
        table["id"] = np.arange(3)
        for name, values in columns.items():
            table[name] = values
    return path


def test_image_masks_of_an_nwb_file_have_x_first(tmp_path: Path) -> None:
    path = nwb(tmp_path / "a.nwb", image_mask=images().transpose(0, 2, 1))
    check(read_masks(path, DIMS, pixel_order="C"), images())


def test_pixel_masks_of_an_nwb_file(tmp_path: Path) -> None:
    kind = [("x", "u4"), ("y", "u4"), ("weight", "f4")]
    points = np.array([(2, 1, 1), (3, 1, 1), (4, 1, 1), (0, 3, 0.5), (0, 4, 2)], kind)
    path = nwb(tmp_path / "a.nwb", pixel_mask=points, pixel_mask_index=np.array([3, 3, 5], np.uint8))
    check(read_masks(path, DIMS, pixel_order="C"), images())


def test_masks_of_another_field_are_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", images(), photometric="minisblack")
    with pytest.raises(PipelineError, match=r"masks of \(3, 5, 7\).*\(7, 5\).*rows and columns swapped"):
        read_masks(tmp_path / "m.tif", (7, 5), pixel_order="C")
    save_npz(tmp_path / "m.npz", csc_matrix((34, 2)))
    with pytest.raises(PipelineError, match="34 pixels"):
        read_masks(tmp_path / "m.npz", DIMS, pixel_order="C")


@pytest.mark.parametrize(
    ("array", "message"),
    [(np.full(DIMS, 0.5), "whole numbers"), (np.full(DIMS, 99), "label of 99"), (-images(), "negative")],
)
def test_arrays_that_are_no_masks_are_explained(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "m.npy", array)
    with pytest.raises(PipelineError, match=message):
        read_masks(tmp_path / "m.npy", DIMS, pixel_order="C")


def test_files_that_cannot_be_read_are_explained(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="cannot be read"):
        read_masks(tmp_path / "missing.tif", DIMS, pixel_order="C")
    (tmp_path / "m.npz").write_bytes(b"nothing")
    with pytest.raises(PipelineError, match="cannot be read"):
        read_masks(tmp_path / "m.npz", DIMS, pixel_order="C")
    with pytest.raises(PipelineError, match=r"read from \.tif"):
        read_masks(tmp_path / "m.png", DIMS, pixel_order="C")
    np.savez(tmp_path / "two.npz", a=np.zeros(DIMS), b=np.zeros(DIMS))
    with pytest.raises(PipelineError, match="which of a, b"):
        read_masks(tmp_path / "two.npz", DIMS, pixel_order="C")
