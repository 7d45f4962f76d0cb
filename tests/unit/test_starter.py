from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from caiman_pipeline.config.root import Config, load_config
from caiman_pipeline.config.sheet import load_sheet, read_sheet
from caiman_pipeline.errors import PipelineError
from caiman_pipeline.starter import EMPTY_SHEET, draft_rows, find_movies, group_files, write_starter

GIVEN = {"frame_rate_hz": "10", "decay_time_s": "0.7", "cell_diameter": "9 px"}


def _movie(path: Path, n_frames: int = 6) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.zeros((n_frames, 20, 31), np.uint16))
    return path


def _names(groups):
    return [[p.name for p in group] for group in groups]


def test_files_that_differ_in_their_last_number_are_one_recording():
    paths = [Path("d", n) for n in ("m_10.tif", "m_2.tif", "m_1.tif", "n_1.tif", "m_1.h5", "plain.tif")]
    groups = _names(group_files(paths))
    assert ["m_1.tif", "m_2.tif", "m_10.tif"] in groups
    assert sorted(map(len, groups)) == [1, 1, 1, 3]


def test_files_of_different_folders_or_with_another_number_too_are_not():
    assert len(group_files([Path("a/m_1.tif"), Path("b/m_2.tif")])) == 2
    assert len(group_files([Path("a/day1_1.tif"), Path("a/day2_1.tif")])) == 2


def test_the_number_of_a_suffix_is_not_one():
    assert len(group_files([Path("a/m.h5"), Path("a/m.hdf5")])) == 2


def test_movies_are_found_in_subfolders_and_others_left_out(tmp_path):
    _movie(tmp_path / "b" / "m.tif")
    _movie(tmp_path / "a.TIF")
    _movie(tmp_path / ".hidden" / "x.tif")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "s.zarr" / "c").mkdir(parents=True)
    (tmp_path / "s.zarr" / "c" / "inner.npy").touch()
    assert [p.relative_to(tmp_path).as_posix() for p in find_movies(tmp_path)] == ["a.TIF", "b/m.tif", "s.zarr"]


def test_the_pipelines_own_files_are_not_movies(tmp_path):
    from caiman_pipeline.io.results import save_result

    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["movie"] = np.zeros((6, 20, 31))
    save_result(tmp_path / "truth.h5", kind="truth", arrays={"a": np.zeros((6, 20, 31))}, settings={}, source={})
    (tmp_path / "damaged.h5").write_bytes(b"nothing")
    assert [p.name for p in find_movies(tmp_path)] == ["damaged.h5", "m.h5"]


def test_a_folder_without_movies_is_an_error(tmp_path):
    with pytest.raises(PipelineError, match="no movies found"):
        find_movies(tmp_path)
    with pytest.raises(PipelineError, match="no such folder"):
        find_movies(tmp_path / "none")


def test_the_starter_sheet_can_be_run_once_filled_in(tmp_path):
    for i in (1, 2, 10):
        _movie(tmp_path / "data" / f"m1_{i}.tif")
    _movie(tmp_path / "data" / "other movie (b).tif")
    write_starter(tmp_path / "data", tmp_path, tmp_path / "config/recordings.tsv", {})
    sheet = tmp_path / "config/recordings.tsv"
    recordings, problems = read_sheet(sheet, Config())
    assert not recordings
    assert all("must still be filled in" in p for p in problems)
    sheet.write_text(sheet.read_text().replace("\tFILL_IN\tFILL_IN\tFILL_IN", "\t10\t0.7\t9 px"))
    recordings = load_sheet(sheet, Config())
    assert list(recordings) == ["m1", "other_movie_b"]
    assert [Path(f).name for f in recordings["m1"].files(tmp_path)] == ["m1_1.tif", "m1_2.tif", "m1_10.tif"]
    assert recordings["m1"].patterns == ("data/m1_*.tif",)


def test_config_and_schema_are_written_and_valid(tmp_path):
    _movie(tmp_path / "m.tif")
    _, written = write_starter(tmp_path, tmp_path, tmp_path / "config/recordings.tsv", GIVEN)
    assert [p.name for p in written] == ["recordings.tsv", "config.yaml", "schema.json"]
    assert load_config(tmp_path / "config/config.yaml") == Config()


def test_nothing_is_overwritten(tmp_path):
    _movie(tmp_path / "m.tif")
    config, sheet = tmp_path / "config/config.yaml", tmp_path / "config/recordings.tsv"
    config.parent.mkdir()
    config.write_text("inspect:\n  min_frames: 99\n")
    write_starter(tmp_path, tmp_path, sheet, GIVEN)
    assert "99" in config.read_text()
    before = sheet.read_text()
    with pytest.raises(PipelineError, match="never overwritten"):
        write_starter(tmp_path, tmp_path, sheet, {})
    assert sheet.read_text() == before


def test_the_empty_sheet_of_the_checkout_is_filled(tmp_path):
    _movie(tmp_path / "m.tif")
    sheet = tmp_path / "recordings.tsv"
    sheet.write_text(EMPTY_SHEET)
    write_starter(tmp_path, tmp_path, sheet, GIVEN)
    assert list(load_sheet(sheet, Config())) == ["m"]


def test_the_empty_sheet_is_the_one_of_the_checkout():
    assert (Path(__file__).parents[2] / "config/recordings.tsv").read_text() == EMPTY_SHEET


def test_what_files_tell_is_filled_in(tmp_path):
    metadata = {"axes": "TYX", "finterval": 0.05, "unit": "um"}
    frames = np.zeros((6, 20, 31), np.uint16)
    tifffile.imwrite(tmp_path / "m.tif", frames, imagej=True, resolution=(1 / 1.2, 1 / 1.2), metadata=metadata)
    (draft,) = draft_rows([[tmp_path / "m.tif"]], tmp_path, {})
    assert draft.cells["frame_rate_hz"] == "20"
    assert draft.cells["pixel_size_um"] == "1.2"
    assert draft.cells["decay_time_s"] == "FILL_IN"
    (draft,) = draft_rows([[tmp_path / "m.tif"]], tmp_path, GIVEN)
    assert draft.cells["frame_rate_hz"] == "10"


def test_what_must_be_asked_is_marked(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["a"], file["b"] = np.zeros((6, 20, 31)), np.zeros((6, 20, 31))
    np.save(tmp_path / "v.npy", np.zeros((6, 3, 20, 31)))
    drafts = draft_rows([[tmp_path / "m.h5"], [tmp_path / "v.npy"]], tmp_path, GIVEN)
    assert drafts[0].cells["dataset"] == "FILL_IN"
    assert "a (6, 20, 31)" in drafts[0].problem
    assert drafts[1].cells["axes"] == "FILL_IN"


def test_a_damaged_file_gets_its_row_and_is_named(tmp_path):
    (tmp_path / "m.tif").write_bytes(b"nothing")
    (draft,) = draft_rows([[tmp_path / "m.tif"]], tmp_path, GIVEN)
    assert draft.cells["recording"] == "m"
    assert "m.tif" in draft.problem


def test_ids_are_unique_and_usable(tmp_path):
    groups = [[tmp_path / d / n] for d in ("a", "b") for n in ("m.tif", "M.tif", "ü ñ.tif")]
    for (path,) in groups:
        _movie(path)
    names = [d.cells["recording"] for d in draft_rows(groups, tmp_path, GIVEN)]
    assert len({n.casefold() for n in names}) == len(names)
    sheet = tmp_path / "s.tsv"
    write_starter(tmp_path, tmp_path, sheet, GIVEN)
    load_sheet(sheet, Config())
