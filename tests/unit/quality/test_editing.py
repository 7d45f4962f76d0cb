"""Editing sets of components: ids never change, what is removed can be restored, and stale tables are noticed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csc_matrix

from caiman_pipeline.cli.main import main
from caiman_pipeline.model.background import SummedBackground
from caiman_pipeline.model.components import Components, Curated
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.outcome import Outcome, OutcomeFiles, load_outcome
from caiman_pipeline.quality.editing import (
    apply_step,
    merge,
    merges,
    remove,
    remove_by_size,
    remove_duplicates,
    restore,
    select,
    threshold_footprints,
    uncurated,
)
from caiman_pipeline.results.curated import load_curated

DIMS = (6, 9)


def components() -> Components:
    footprints = np.zeros((6, *DIMS), np.float32)
    footprints[0, 0:3, 0:2], footprints[1, 0:3, 2:4] = 1, 2
    footprints[2, 4:6, 0:4] = np.arange(1, 9).reshape(2, 4)
    footprints[3, 4:6, 0:4] = footprints[2, 4:6, 0:4]
    footprints[4, 5, 8] = 1
    footprints[5, 0:4, 5:9] = 1
    flat = footprints.reshape(6, -1).T
    flat /= np.linalg.norm(flat, axis=0)
    rng = np.random.default_rng(0)
    denoised = rng.exponential(size=(6, 50)).astype(np.float32)
    denoised[1] = 2 * denoised[0]
    denoised[3] = 0.5 * denoised[2]
    residual = rng.normal(size=(6, 50)).astype(np.float32)
    spatial, signals = csc_matrix((54, 1), dtype=np.float32), np.zeros((1, 50), np.float32)
    nothing = SummedBackground(np.zeros(54, np.float32), spatial, signals)
    ids = np.array([1, 3, 4, 7, 8, 20])
    return Components(DIMS, ids, csc_matrix(flat), denoised, residual, nothing, np.ones(54, np.float32))


def ids(curated: Curated) -> tuple[list[int], list[int]]:
    return curated.present.ids.tolist(), curated.removed.ids.tolist()


def row(curated: Curated, number: int) -> int:
    return curated.present.ids.tolist().index(number)


def test_removed_components_keep_ids_and_come_back_as_they_were() -> None:
    start = components()
    less = remove(uncurated(start), [4, 20])
    assert ids(less) == ([1, 3, 7, 8], [4, 20])
    again = restore(less, [4])
    assert ids(again) == ([1, 3, 4, 7, 8], [20])
    k = row(again, 4)
    np.testing.assert_array_equal(again.present.denoised[k], start.denoised[2])
    assert (again.present.footprints[:, k] != start.footprints[:, 2]).nnz == 0
    assert again.history == ("remove 4 20", "restore 4")


def test_selecting_keeps_only_those() -> None:
    assert ids(select(uncurated(components()), [8, 1])) == ([1, 8], [3, 4, 7, 20])


def test_every_array_stays_aligned() -> None:
    curated = restore(merge(remove(uncurated(components()), [20]), [1, 3]), [20])
    for part in (curated.present, curated.removed):
        assert len(part.ids) == part.footprints.shape[1] == len(part.denoised) == len(part.residual)


def test_a_merge_explains_what_its_parents_did() -> None:
    start = components()
    curated = merge(uncurated(start), [3, 1])
    assert ids(curated) == ([4, 7, 8, 20, 21], [1, 3])
    assert merges(curated.history) == [((1, 3), 21)]
    k = row(curated, 21)
    before = start.footprints[:, :2] @ start.denoised[:2]
    after = curated.present.footprints[:, [k]] @ curated.present.denoised[[k]]
    np.testing.assert_allclose(after, before, atol=1e-4)
    assert np.linalg.norm(curated.present.footprints[:, k].toarray()) == pytest.approx(1)


def test_parents_come_back_only_without_their_child() -> None:
    curated = merge(uncurated(components()), [1, 3])
    with pytest.raises(PipelineError, match="component 1 is part of 21"):
        restore(curated, [1])
    assert ids(restore(remove(curated, [21]), [1, 3]))[0] == [1, 3, 4, 7, 8, 20]


def test_new_ids_are_never_those_of_removed_components() -> None:
    curated = merge(remove(uncurated(components()), [20]), [1, 3])
    assert ids(curated)[0][-1] == 21
    assert merge(curated, [4, 7]).present.ids[-1] == 22


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: remove(c, [1, 99]), "no present component 99"),
        (lambda c: restore(c, [1]), "no removed component 1"),
        (lambda c: merge(c, [1]), "at least two"),
        (lambda c: merge(c, [1, 2]), "no present component 2"),
        (lambda c: select(c, []), "name the present components"),
    ],
)
def test_edits_that_cannot_be_made_are_explained(edit: Callable[[Curated], Curated], message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        edit(uncurated(components()))


def test_components_of_unlikely_size_are_taken_out() -> None:
    assert ids(remove_by_size(uncurated(components()), min_px=2, max_px=10)) == ([1, 3, 4, 7], [8, 20])


def test_of_duplicates_the_weaker_is_taken_out() -> None:
    curated = remove_duplicates(uncurated(components()), min_cosine=0.9, min_correlation=0.9)
    assert ids(curated) == ([1, 3, 4, 8, 20], [7])
    assert ids(remove_duplicates(uncurated(components()), min_cosine=0.9, min_correlation=1.1))[1] == []


def test_thresholding_drops_dim_pixels_and_keeps_amplitudes() -> None:
    start = components()
    curated = threshold_footprints(uncurated(start), fraction=0.4)
    assert curated.present.footprints[:, 2].nnz == 5
    kept = curated.present.footprints[:, 2].indices
    before = start.footprints[kept, 2].toarray() * start.denoised[2]
    after = curated.present.footprints[kept, 2].toarray() * curated.present.denoised[2]
    np.testing.assert_allclose(after, before, rtol=1e-5)


def test_the_verb_edits_in_the_order_of_its_arguments(
    make_outcome: Callable[..., Outcome], saved_outcome: Callable[..., dict[str, Path]], tmp_path: Path
) -> None:
    paths = saved_outcome(make_outcome(), tmp_path)
    file, output = str(paths["components"]), tmp_path / "edited.h5"
    first, second, third = make_outcome().components.ids[:3].tolist()
    main(
        [
            "edit-components",
            file,
            "--output",
            str(output),
            "--merge",
            str(first),
            str(second),
            "--remove",
            str(third),
            "--restore",
            str(third),
        ]
    )
    _, curated = load_curated(output)
    assert curated.history == (f"merge {first} {second} -> 21", f"remove {third}", f"restore {third}")
    main(["edit-components", str(output), "--output", str(output), "--remove", "21", "--restore", str(first)])
    _, again = load_curated(output)
    assert first in again.present.ids
    assert 21 in again.removed.ids


def test_traces_of_the_set_before_an_edit_are_refused(
    make_outcome: Callable[..., Outcome], saved_outcome: Callable[..., dict[str, Path]], tmp_path: Path
) -> None:
    paths = saved_outcome(make_outcome(), tmp_path)
    first, second = make_outcome().components.ids[:2].tolist()
    components_file = str(paths["components"])
    main(["edit-components", components_file, "--output", components_file, "--merge", str(first), str(second)])
    names = ("movie_info", "motion", "images", "components", "traces", "quality", "selection")
    with pytest.raises(PipelineError, match="ids and those of the traces differ"):
        load_outcome(OutcomeFiles(**{name: paths[name] for name in names}))


@pytest.mark.parametrize(
    ("name", "values", "asked"),
    [
        ("threshold", [2.0], "a share of the peak"),
        ("threshold", [-0.1], "a share of the peak"),
        ("threshold", [float("nan")], "a share of the peak"),
        ("size", [10.0, 5.0], "in this order"),
        ("size", [float("nan"), 5.0], "in this order"),
        ("size", [-3.0, 5.0], "in this order"),
        ("duplicates", [0.8, 80.0], "two numbers from 0 to 1"),
        ("duplicates", [-1.0, 0.5], "two numbers from 0 to 1"),
    ],
)
def test_numbers_by_which_everything_or_nothing_would_go_are_refused(
    name: str, values: list[float], asked: str
) -> None:
    with pytest.raises(PipelineError, match=rf"`--{name}` takes .*{asked}.*found {values[0]:g}"):
        apply_step(uncurated(components()), name, values)
    within = {"threshold": [1.0], "size": [2.0, float("inf")], "duplicates": [1.0, 0.0]}[name]
    assert len(apply_step(uncurated(components()), name, within).history) == 1
