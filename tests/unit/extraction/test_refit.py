"""Refining again, from an earlier result or an edited one: ids are kept, settings may change."""

import json
from pathlib import Path

import numpy as np
import pytest
from planted import Planted, plant, store

from caiman_pipeline.cli.main import main, run_verb
from caiman_pipeline.extraction.refit import load_start
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.store.parts import open_store
from caiman_pipeline.results.files import load_result

DIMS = (40, 52)
CENTRES = [(10.0, 12.0), (12.0, 30.0), (28.0, 40.0), (30.0, 14.0)]
FACTS = {"frame_rate_hz": 10, "decay_time_s": 0.6, "cell_diameter": "8 px"}


def stage(verb: str, settings: dict[str, object], *arguments: str) -> None:
    main([verb, *arguments, "--settings", json.dumps({**settings, "recording": FACTS}), "--threads", "1"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refit")
    cells: Planted = plant(DIMS, CENTRES)
    store(folder, cells.movie)
    movie, images = str(folder / "movie.json"), str(folder / "images.h5")
    stage("summary-images", {}, "--movie", movie, "--images", images)
    batch, merged = str(folder / "batch.h5"), str(folder / "merged.h5")
    found = ("--movie", movie, "--images", images, "--batch", "1-of-1", "--output", batch)
    stage("patch-cnmf", {"tile_overlap": "16 px"}, *found)
    stage("merge", {}, "--batches", batch, "--components", merged)
    refine(folder, {}, "components.h5")
    return folder


def refine(folder: Path, settings: dict[str, object], output: str) -> None:
    stage(
        "refine",
        settings,
        "--movie",
        str(folder / "movie.json"),
        "--images",
        str(folder / "images.h5"),
        "--merged",
        str(folder / "merged.h5"),
        "--components",
        str(folder / output),
    )


def test_an_edited_set_is_refined_under_its_own_ids(folder: Path) -> None:
    first = load_result(folder / "components.h5", "components")
    assert first["ids"].tolist() == [0, 1, 2, 3]
    edited = str(folder / "edited.h5")
    main(["edit-components", str(folder / "components.h5"), "--output", edited, "--remove", "1"])
    refine(folder, {"start": edited}, "again.h5")
    again = load_result(folder / "again.h5", "components")
    assert again["ids"].tolist() == [0, 2, 3]
    cosine = (first["footprints"][:, [0, 2, 3]].T @ again["footprints"]).diagonal()
    assert cosine.min() > 0.98


def test_changed_settings_change_the_result_of_a_refit(folder: Path) -> None:
    start = str(folder / "components.h5")
    refine(folder, {"start": start, "significance": 60.0}, "strict.h5")
    sizes = [
        np.diff(load_result(folder / f, "components")["footprints"].indptr) for f in ("components.h5", "strict.h5")
    ]
    assert (sizes[1] < sizes[0]).all()


def test_hals_on_a_components_file_keeps_ids_and_history(folder: Path) -> None:
    edited, output = str(folder / "for_hals.h5"), str(folder / "hals.h5")
    main(["edit-components", str(folder / "components.h5"), "--output", edited, "--merge", "0", "1"])
    main(
        [
            "hals",
            edited,
            "--movie",
            str(folder / "movie.json"),
            "--images",
            str(folder / "images.h5"),
            "--output",
            output,
            "--nonnegative",
        ]
    )
    result = load_result(output, "components")
    assert result["ids"].tolist() == [2, 3, 4]
    assert result["history"] == ("merge 0 1 -> 4",)
    assert result["denoised"].min() >= 0
    assert load_start(output, open_store(folder / "movie.json")).ids.tolist() == [2, 3, 4]


def test_components_of_another_movie_are_refused(folder: Path, tmp_path: Path) -> None:
    other = store(tmp_path / "a", np.zeros((40, 50, 600), np.float32))
    with pytest.raises(PipelineError, match=r"components of \(40, 52\).*\(40, 50\)"):
        load_start(folder / "components.h5", other)
    shorter = store(tmp_path / "b", np.zeros((40, 52, 100), np.float32))
    with pytest.raises(PipelineError, match="do not fit the movie of 100 frames"):
        load_start(folder / "merged.h5", shorter)
    with pytest.raises(PipelineError, match="not a readable result"):
        load_start(tmp_path / "missing.h5", other)


def test_hals_refuses_images_of_another_movie_and_numbers_that_do_nothing(folder: Path, tmp_path: Path) -> None:
    other = store(tmp_path, np.zeros((40, 50, 100), np.float32) + np.arange(100, dtype=np.float32) % 7)
    assert other.dims == (40, 50)
    stage("summary-images", {}, "--movie", str(tmp_path / "movie.json"), "--images", str(tmp_path / "images.h5"))
    given = [str(folder / "components.h5"), "--movie", str(folder / "movie.json"), "--output", str(tmp_path / "h.h5")]
    with pytest.raises(PipelineError, match=r"images\.h5: images of \(40, 50\).*\(40, 52\)"):
        run_verb("hals", [*given, "--images", str(tmp_path / "images.h5")])
    for option, value in (("--rounds", 0), ("--footprint-iterations", -1), ("--trace-iterations", -2)):
        with pytest.raises(PipelineError, match=f"`{option}` is {value}: give a number from"):
            run_verb("hals", [*given, "--images", str(folder / "images.h5"), option, str(value)])
    assert not (tmp_path / "h.h5").exists()
