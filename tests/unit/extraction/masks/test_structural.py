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


def test_a_large_cell_with_a_ragged_border_is_not_cut_into_pieces() -> None:
    """Summits closer than half a cell are one: bays of the border make several."""
    rows, columns = np.indices((70, 96))
    picture = np.random.default_rng(3).normal(20, 0.5, (70, 96))
    for r, c in ((34, 30), (34, 56)):
        angle = np.arctan2(rows - r, columns - c)
        picture += 25 * (np.hypot(rows - r, columns - c) <= 12 + 2.5 * np.cos(5 * angle))
    apart = found(picture, cell_px=(25.0, 25.0), split=True)
    assert len(apart) == 2
    assert apart[0].sum() == pytest.approx(apart[1].sum(), rel=0.15)


def test_parts_and_holes_of_just_the_limit() -> None:
    from caiman_pipeline.extraction.masks.structural import _as_masks, _fill_holes, _large_parts

    bright = np.zeros((12, 20), bool)
    bright[1:4, 1:5], bright[6:11, 8:15] = True, True
    bright[8, 10:12] = False
    np.testing.assert_array_equal(_large_parts(bright, 12), bright)
    assert not _large_parts(bright, 13)[1:4, 1:5].any()
    assert _fill_holes(bright, 2)[8, 10:12].all()
    assert not _fill_holes(bright, 1)[8, 10:12].any()
    assert not _fill_holes(bright, 2)[0].any(), "what is around is no hole"
    labels = np.zeros((12, 20), int)
    labels[6:11, 8:15], labels[1:4, 1:5], labels[0, 0] = 1, 3, 2
    masks = _as_masks(labels, 12).toarray()
    np.testing.assert_array_equal(masks.T.reshape(-1, 12, 20) > 0, [labels == 3, labels == 1])
