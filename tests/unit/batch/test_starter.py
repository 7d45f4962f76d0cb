from __future__ import annotations

import csv
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from caiman_pipeline.batch.starter import draft_rows, find_movies, group_files, look_through, write_starter
from caiman_pipeline.config.root import Config, load_config
from caiman_pipeline.config.sheet import load_sheet, read_sheet
from caiman_pipeline.model.errors import PipelineError

GIVEN = {"frame_rate_hz": "10", "decay_time_s": "0.7", "cell_diameter": "9 px"}

ROOT = Path(__file__).parents[3]


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
    from caiman_pipeline.results.files import save_result

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


def test_the_checkout_has_no_sheet_that_init_would_change():
    tracked = subprocess.run(["git", "ls-files", "config"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert "config/recordings.tsv" not in tracked
    assert "/config/recordings.tsv" in (ROOT / ".gitignore").read_text().splitlines()


def test_every_file_that_is_left_out_is_named_with_the_reason(tmp_path):
    _movie(tmp_path / "m.tif")
    for name in ("a.gif", "b.gif", "tps.nwb", "notes.txt", ".hidden.tif", "none.tif"):
        (tmp_path / name).touch()
    (tmp_path / "results/r/inspect").mkdir(parents=True)
    (tmp_path / "results/r/inspect/movie_info.json").write_text("{}")
    (tmp_path / "results/r/part-0.npy").touch()
    (tmp_path / ".cache").mkdir()
    looked = look_through(tmp_path)
    assert [p.name for p in looked.movies] == ["m.tif"]
    told = {p.name: reason for reason, paths in looked.left_out.items() for p in paths}
    assert told.keys() == {"a.gif", "b.gif", "tps.nwb", "notes.txt", ".hidden.tif", "none.tif", "r", ".cache"}
    assert "ffmpeg" in told["a.gif"]
    assert "empty" in told["tps.nwb"]
    assert (told["notes.txt"], told["none.tif"]) == ("not a format of movies", "empty (0 bytes)")
    assert (told["r"], told[".cache"], told[".hidden.tif"]) == ("results of this pipeline", "hidden", "hidden")


def test_objects_of_other_tools_are_left_out_and_damaged_files_get_their_row(tmp_path):
    np.save(tmp_path / "stat.npy", np.array([{"ypix": 1}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "m_seg.npy", {"masks": 1}, allow_pickle=True)
    np.save(tmp_path / "movie.npy", np.zeros((60, 5, 7), np.int16))
    with h5py.File(tmp_path / "cut.h5", "w") as file:
        file["mov"] = np.zeros((60, 5, 7), np.int16)
    (tmp_path / "cut.h5").write_bytes((tmp_path / "cut.h5").read_bytes()[:-500])
    looked = look_through(tmp_path)
    assert [p.name for p in looked.movies] == ["cut.h5", "movie.npy"]
    [(reason, paths)] = looked.left_out.items()
    assert [p.name for p in paths] == ["m_seg.npy", "stat.npy"]
    assert "never loaded" in reason
    [cut, _] = draft_rows(group_files(list(looked.movies)), tmp_path, {})
    assert "not a whole HDF5 file" in cut.problem


def test_where_there_is_no_movie_it_says_what_there_is(tmp_path):
    (tmp_path / "msCam1.gif").touch()
    with pytest.raises(PipelineError, match=r"no movies found.*msCam1\.gif: a video"):
        find_movies(tmp_path)


def test_new_movies_are_added_to_a_sheet_and_its_rows_stay(tmp_path):
    sheet = tmp_path / "sheet.tsv"
    for name in ("a_1.tif", "a_2.tif", "b.tif"):
        _movie(tmp_path / "data" / name)
    rows = "# mine\nrecording\tfiles\tframe_rate_hz\tdecay_time_s\tcell_diameter\n"
    rows += "first\tdata/a_*.tif\t7\t0.5\t9 px\nB\tdata/b.tif\tFILL_IN\t0.5\t9 px\n"
    sheet.write_text(rows)
    drafts, _ = write_starter(tmp_path / "data", tmp_path, sheet, GIVEN, add=True)
    assert not drafts
    assert sheet.read_text() == rows
    _movie(tmp_path / "data/a_3.tif")  # found by the pattern of the first row
    _movie(tmp_path / "data/day2/b.tif")
    np.save(tmp_path / "data/c.npy", np.zeros((60, 20, 31), np.uint8))
    drafts, _ = write_starter(tmp_path / "data", tmp_path, sheet, GIVEN, add=True)
    assert [d.cells["recording"] for d in drafts] == ["c", "day2_b"]
    lines = sheet.read_text().splitlines()
    assert (lines[0], lines[2:4]) == ("# mine", rows.splitlines()[2:4])
    table = list(csv.DictReader(lines[1:], delimiter="\t"))
    assert [row["recording"] for row in table] == ["first", "B", "c", "day2_b"]
    assert table[2]["axes"] == "FILL_IN"
    assert table[3]["files"] == "data/day2/b.tif"
    (tmp_path / "odd.tsv").write_text("a,b\n")
    with pytest.raises(PipelineError, match="no header"):
        write_starter(tmp_path / "data", tmp_path, tmp_path / "odd.tsv", GIVEN, add=True)


def test_axes_that_must_be_asked_are_marked_and_the_shape_is_shown(tmp_path):
    np.save(tmp_path / "m.npy", np.zeros((20, 31, 60), np.uint8))
    write_starter(tmp_path, tmp_path, tmp_path / "sheet.tsv", GIVEN)
    text = (tmp_path / "sheet.tsv").read_text()
    assert "# m: " in text
    assert "(20, 31, 60)" in text
    row = next(csv.DictReader([line for line in text.splitlines() if line[0] != "#"], delimiter="\t"))
    assert row["axes"] == "FILL_IN"


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
