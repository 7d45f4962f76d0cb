"""Masks from a structural channel."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from caiman_pipeline.cli.main import main
from caiman_pipeline.extraction.masks.read import read_masks, write_masks
from caiman_pipeline.extraction.masks.structural import extract_binary_masks

DIMS = (60, 84)
CENTRES = [(10, 12), (13, 60), (34, 30), (44, 14), (48, 70)]


def image(centres: list[tuple[int, int]], *, radius: float = 5, hole: float = 0, seed: int = 0) -> np.ndarray:
    rows, columns = np.indices(DIMS)
    picture = 20 + 60 * columns / DIMS[1] + np.random.default_rng(seed).normal(0, 2, DIMS)
    for r, c in centres:
        distance = np.hypot(rows - r, columns - c)
        picture += 25 * ((distance <= radius) & (distance >= hole))
    return picture


def found(picture: np.ndarray, **changes: object) -> np.ndarray:
    values = {
        "cell_px": (10.0,) * picture.ndim,
        "contrast": 2.0,
        "min_area": 0.25,
        "max_hole": 0.15,
        "expand": "closing",
        "expand_px": 1,
        "split": False,
    }
    masks = extract_binary_masks(picture, **{**values, **changes})
    return masks.toarray().T.reshape(-1, *picture.shape) > 0


def test_cells_on_uneven_background_are_found_where_they_are() -> None:
    masks = found(image(CENTRES))
    assert len(masks) == len(CENTRES)
    rows, columns = np.indices(DIMS)
    for mask, (r, c) in zip(masks, CENTRES, strict=True):
        true = np.hypot(rows - r, columns - c) <= 5
        assert (mask & true).sum() / (mask | true).sum() > 0.7


def test_noise_and_constant_images_have_no_masks() -> None:
    assert len(found(image([]))) == 0
    assert len(found(np.full(DIMS, 7.0))) == 0


def test_small_things_are_left_out_and_small_holes_filled() -> None:
    assert len(found(image([(30, 40)], radius=2))) == 0
    ring = image([(30, 40)], hole=1.6)
    assert found(ring)[0, 30, 40]
    assert not found(ring, max_hole=0.0, expand="none")[0, 30, 40]


def test_dilation_makes_masks_larger() -> None:
    picture = image(CENTRES)
    assert found(picture, expand="dilation", expand_px=2).sum() > 1.2 * found(picture, expand="none").sum()


def test_touching_cells_are_cut_apart_if_asked() -> None:
    picture = image([(30, 40), (30, 49)])
    assert len(found(picture)) == 1
    apart = found(picture, split=True)
    assert len(apart) == 2
    assert apart[0].sum() == pytest.approx(apart[1].sum(), rel=0.25)


def test_volumes_take_the_same_path() -> None:
    picture = np.random.default_rng(0).normal(10, 1, (7, 40, 50))
    picture[2:5, 10:20, 12:22] += 15
    masks = found(picture, cell_px=(3.0, 10.0, 10.0))
    assert len(masks) == 1
    assert masks[0, 3, 15, 17]


@pytest.mark.parametrize("suffix", [".tif", ".npz"])
def test_the_verb_writes_masks_that_can_be_read_as_seeds(tmp_path: Path, suffix: str) -> None:
    frames = np.stack([image(CENTRES, seed=s) for s in range(4)]).astype(np.float32)
    tifffile.imwrite(tmp_path / "red.tif", frames, photometric="minisblack", metadata={"axes": "TYX"})
    output = tmp_path / f"masks{suffix}"
    main(["extract-masks", str(tmp_path / "red.tif"), "--output", str(output), "--cell-diameter-px", "10"])
    masks = read_masks(output, DIMS, pixel_order="C")
    assert masks.shape[1] == len(CENTRES)
    inside = masks[:, 1].toarray().reshape(DIMS)
    assert inside[CENTRES[1]] == 1


def test_overlapping_masks_cannot_be_labels(tmp_path: Path) -> None:
    from scipy.sparse import csc_matrix

    from caiman_pipeline.model.errors import PipelineError

    masks = csc_matrix(np.array([[1, 1], [0, 1]]))
    with pytest.raises(PipelineError, match="overlap"):
        write_masks(tmp_path / "a.tif", masks, (1, 2))
    assert not list(tmp_path.iterdir())
    write_masks(tmp_path / "a.npz", masks, (1, 2))
    assert (read_masks(tmp_path / "a.npz", (1, 2), pixel_order="C") != masks).nnz == 0
