from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from tiff_makers import header, images, write_scanimage

from caiman_pipeline.batch import preflight as checking
from caiman_pipeline.batch.preflight import check_results, check_run, load_run, unwritable
from caiman_pipeline.cli.main import run_verb
from caiman_pipeline.model.errors import PipelineError

HEADER = "recording\tfiles\tframe_rate_hz\tdecay_time_s\tcell_diameter"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to run in, with two good movies, one of three axes."""
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("plane.tif", np.zeros((60, 20, 31), np.uint16))
    np.save("volume.npy", np.zeros((60, 3, 20, 31), np.uint16))
    return tmp_path


def _check(*rows: str, header: str = HEADER, config: str = ""):
    Path("sheet.tsv").write_text("\n".join([header, *rows]))
    Path("config.yaml").write_text(config)
    return check_run(Path("config.yaml"), Path("sheet.tsv"), files=True)


def test_good_recordings_have_no_problems(folder):
    header = HEADER + "\taxes"
    checked = _check("p\tplane.tif\t10\t0.7\t9 px\t", "v\tvolume.npy\t5\t0.7\t9 px\tTZYX", header=header)
    assert checked.n_problems == 0
    assert [r.name for r in checked.recordings] == ["p", "v"]
    assert "60 frames of 3 x 20 x 31" in checked.recordings[1].found


def test_every_problem_is_found_at_once(folder):
    Path("cut.tif").write_bytes(Path("plane.tif").read_bytes()[:-1000])
    tifffile.imwrite("other.tif", np.zeros((60, 20, 30), np.uint16))
    tifffile.imwrite("short.tif", np.zeros((9, 20, 31), np.uint16))
    tifffile.imwrite("one.tif", np.zeros((20, 31), np.uint16))
    facts = "10\t0.7\t9 px"
    checked = _check(
        f"good\tplane.tif\t{facts}",
        f"cut\tcut.tif\t{facts}",
        f"missing\tnone.tif\t{facts}",
        f"mixed\tplane.tif; other.tif\t{facts}",
        f"short\tshort.tif\t{facts}",
        "bad id\tplane.tif\t10\t0.7\t9 px",
        f"picture\tone.tif\t{facts}",
        config="paths:\n  results: plane.tif/results\n",
    )
    problems = {r.name: " ".join(r.problems) for r in checked.recordings}
    assert problems["good"] == ""
    assert "cut short" in problems["cut"]
    assert "not found" in problems["missing"]
    assert "other.tif: frames of (20, 30)" in problems["mixed"]
    assert "9 frames, at least 50" in problems["short"]
    assert problems["picture"].startswith("1 frames, at least 50")
    assert "decay_time_s" not in problems["picture"]
    assert "line 7: recording id 'bad id'" in checked.row_problems[0]
    assert "is a file, not a folder" in checked.place_problems[0]
    assert checked.n_problems == 7


def test_a_file_that_says_another_frame_rate_is_a_problem(folder):
    metadata = {"axes": "TYX", "finterval": 1 / 7.5}
    tifffile.imwrite("ij.tif", np.zeros((60, 20, 31), np.uint16), imagej=True, metadata=metadata)
    assert "`frame_rate_hz` is 30, but ij.tif says 7.5" in _check("a\tij.tif\t30\t0.7\t9 px").recordings[0].problems[0]
    assert _check("a\tij.tif\t7.6\t0.7\t9 px").n_problems == 0
    assert "but ij.tif says 7.5" in _check("a\tplane.tif; ij.tif\t30\t0.7\t9 px").recordings[0].problems[0]


def test_a_file_that_says_another_pixel_size_along_one_axis_is_a_problem(folder):
    metadata = {"axes": "TYX", "PhysicalSizeX": 1.0, "PhysicalSizeY": 2.5}
    tifffile.imwrite("tall.ome.tif", np.zeros((60, 20, 31), np.uint16), metadata=metadata)
    header, row = HEADER + "\tpixel_size_um", "a\ttall.ome.tif\t30\t0.7\t9 px"
    problem = "`pixel_size_um` is 1, but tall.ome.tif says 2.5 x 1 (rows x columns)"
    assert problem in _check(row + "\t1.0", header=header).recordings[0].problems[0]
    assert "is 1 x 2.5, but" in _check(row + "\t1.0 x 2.5", header=header).recordings[0].problems[0]
    assert _check(row + "\t2.4 x 1.0", header=header).n_problems == 0


def test_a_length_for_another_number_of_axes_is_a_problem(folder):
    checked = _check(
        "a\tplane.tif\t10\t0.7\t9 px", "b\tplane.tif\t10\t0.7\t9 px", config="motion:\n  max_shift: 3 x 4 px\n"
    )
    assert checked.n_problems == 0
    header = HEADER + "\taxes"
    config = "motion:\n  max_shift: 3 x 4 px\n"
    checked = _check("v\tvolume.npy\t5\t0.7\t9 px\tTZYX", header=header, config=config)
    assert "`motion.max_shift`: '3 x 4 px' has 2 values for a movie of 3" in checked.recordings[0].problems[0]


def test_tiles_that_are_too_small_for_the_cells_are_a_problem(folder):
    np.save("wide.npy", np.zeros((60, 90, 110), np.uint16))
    checked = _check(
        "a\twide.npy\t10\t0.7\t9 px\tTYX", header=HEADER + "\taxes", config="patch_cnmf:\n  tile_size: 20 px\n"
    )
    assert "`patch_cnmf.tile_size` of 20 px is less than four cells" in checked.recordings[0].problems[0]
    checked = _check(
        "a\twide.npy\t10\t0.7\t9 px\tTYX", header=HEADER + "\taxes", config="patch_cnmf:\n  tile_overlap: 9 px\n"
    )
    assert "`patch_cnmf.tile_overlap`" in checked.recordings[0].problems[0]


@pytest.mark.parametrize(("facts", "key"), [("10\t45\t9 px", "decay_time_s"), ("10\t1\t900 px", "cell_diameter")])
def test_facts_in_a_wrong_unit_are_a_problem(folder, facts, key):
    problems = " ".join(_check(f"a\tplane.tif\t{facts}").recordings[0].problems)
    assert f"`recording.{key}` is" in problems


def test_frames_that_the_recording_does_not_have_are_a_problem(folder):
    header, facts = HEADER + "\tmotion.bad_frames", "10\t0.7\t9 px"
    checked = _check(
        f'far\tplane.tif\t{facts}\t["600-700","3"]',
        f'good\tplane.tif\t{facts}\t["3", 59]',
        f"file\tplane.tif\t{facts}\tother.tif:3",
        f"few\tplane.tif\t{facts}\t10-39",
        header=header,
    )
    far, good, file, few = (r.problems for r in checked.recordings)
    assert "600-700 lies beyond the end, the recording has 60 frames, 0 to 59" in far[0]
    assert good == ()
    assert "'other.tif' is no file of the recording (plane.tif)" in file[0]
    assert few == ("30 frames are left without `motion.bad_frames`, at least 50 are needed.",)


def test_a_search_wider_than_the_frame_allows_is_told_and_stops_nothing(folder):
    (wide,) = _check("p\tplane.tif\t10\t0.7\t9 px", config="motion:\n  max_shift: 9 px\n").recordings
    assert wide.problems == ()
    assert any("`motion.max_shift` of 9 x 9 px is more than a third of frames of 20 x 31" in r for r in wide.remarks)


def test_a_subject_that_archives_refuse_is_a_problem_and_an_unlikely_cell_a_remark(folder):
    header, row = HEADER + "\tsubject_id", "a\tplane.tif\t10\t0.7\t{}\t{}"
    (found,) = _check(row.format("9 px", "M/12"), header=header).recordings
    assert "`subject_id` is 'M/12'" in found.problems[0]
    checked = _check(row.format("2 px", "M12"), header=header)
    assert checked.n_problems == 0
    assert any("is 2 x 2 px here, too small" in r for r in checked.recordings[0].remarks)


def test_files_can_be_left_unopened(folder):
    Path("sheet.tsv").write_text(f"{HEADER}\na\tnone.tif\t10\t0.7\t9 px\n")
    assert check_run(None, Path("sheet.tsv"), files=False).n_problems == 0


def test_config_and_sheet_are_found_as_snakemake_finds_them(folder):
    Path("config").mkdir()
    Path("config/config.yaml").write_text("paths:\n  recordings: mine.tsv\n")
    assert load_run(None, None)[1] == Path("mine.tsv")
    assert load_run(None, Path("other.tsv"))[1] == Path("other.tsv")


def test_a_wrong_config_is_an_error(folder):
    with pytest.raises(PipelineError, match="unknown key `motions`"):
        _check("a\tplane.tif\t10\t0.7\t9 px", config="motions: {}\n")


def test_too_little_space_is_told_in_numbers(folder, monkeypatch):
    usage = checking.shutil.disk_usage(".")._replace(free=10**6)
    monkeypatch.setattr(checking.shutil, "disk_usage", lambda path: usage)
    assert "about 5.0 GB are needed and 0.0 GB are free" in check_results(Path("results"), 5000)[0]
    assert not check_results(Path("results"), 0.5)


def test_a_recording_that_is_done_needs_no_space(folder, monkeypatch):
    usage = checking.shutil.disk_usage(".")._replace(free=1)
    monkeypatch.setattr(checking.shutil, "disk_usage", lambda path: usage)
    assert _check("a\tplane.tif\t10\t0.7\t9 px").place_problems
    (folder / "results/a/movie").mkdir(parents=True)
    (folder / "results/a/movie/movie.json").touch()
    assert not _check("a\tplane.tif\t10\t0.7\t9 px").place_problems


def test_a_folder_that_cannot_be_written_is_told(folder, monkeypatch):
    monkeypatch.setattr(checking.os, "access", lambda path, mode: False)
    assert "cannot be written" in unwritable(Path("results"))


def test_a_folder_that_does_not_exist_yet_is_fine(folder):
    assert unwritable(Path("a/b/c")) == ""
    assert not Path("a").exists()


def test_a_classifier_without_its_model_is_a_problem(folder, monkeypatch):
    monkeypatch.setattr("caiman_pipeline.quality.classifier.DEFAULT_MODEL", folder / "none.npz")
    for settings, count in (("{}", 1), ("{classifier: false}", 0), ("{model: mine.npz}", 1)):
        found = _check("a\tplane.tif\t30\t0.7\t9 px", config=f"evaluate: {settings}\n").recordings[0]
        name = "mine.npz" if "mine" in settings else "none.npz"
        assert sum(name in problem for problem in found.problems) == count


def test_decisions_by_hand_that_cannot_be_read_are_a_problem(folder):
    found = _check("a\tplane.tif\t30\t0.7\t9 px", config="select: {curation: by_hand.csv}\n").recordings[0]
    assert any("by_hand.csv" in problem for problem in found.problems)
    (folder / "by_hand.csv").write_text("roi_id,keep\n3,yes\n")
    found = _check("a\tplane.tif\t30\t0.7\t9 px", config="select: {curation: by_hand.csv}\n").recordings[0]
    assert not any("by_hand.csv" in problem for problem in found.problems)


def test_channel_and_planes_of_the_sheet_choose_what_is_opened(folder):
    np.save("both.npy", np.zeros((60, 2, 3, 20, 31), np.uint16))
    header = HEADER + "\taxes\tchannel\tplanes"
    rows = [f"{name}\tboth.npy\t5\t0.7\t9 px\tTCZYX\t{cells}" for name, cells in (("a", "2\t1-2"), ("b", "1\t3"))]
    checked = _check(*rows, "c\tboth.npy\t5\t0.7\t9 px\tTCZYX\t\t", header=header)
    assert "60 frames of 2 x 20 x 31" in checked.recordings[0].found
    assert "60 frames of 20 x 31" in checked.recordings[1].found
    assert "`channel` column" in checked.recordings[2].problems[0]


def test_what_an_archive_would_ask_for_is_listed_and_stops_nothing(folder, capsys):
    header = f"{HEADER}\tspecies\tsex"
    row = "a\tplane.tif\t10\t0.7\t9 px\tDanio rerio\tU"
    Path("sheet.tsv").write_text(f"{header}\n{row}\n")
    run_verb("check", ["--sheet", "sheet.tsv", "--dandi"])
    asked = capsys.readouterr().out
    assert "an archive needs: `subject_id`, `age`, `session_start`" in asked
    assert "will miss: `indicator`, `location`" in asked
    run_verb("check", ["--sheet", "sheet.tsv"])
    assert "archive" not in capsys.readouterr().out


def test_species_and_indicator_may_stay_open_and_what_numbers_depend_on_may_not(folder):
    header = f"{HEADER}\tspecies\tindicator"
    assert _check("a\tplane.tif\t10\t0.7\t9 px\tFILL_IN\tFILL_IN", header=header).n_problems == 0
    checked = _check("a\tplane.tif\t10\tFILL_IN\t9 px\tFILL_IN\tFILL_IN", header=header)
    assert "`decay_time_s` must still be filled in" in checked.row_problems[0]


def test_masks_that_cannot_be_read_or_do_not_fit_are_found_before_the_run(folder):
    seeded = "patch_cnmf:\n  init: seeded\n  seeded:\n    file: {}\n"
    np.save("cells.npy", np.array({"masks": 1}, dtype=object), allow_pickle=True)
    checked = _check("p\tplane.tif\t10\t0.7\t9 px", config=seeded.format("cells.npy"))
    assert "Python objects, which are never loaded" in checked.recordings[0].problems[0]
    tifffile.imwrite("cells.tif", np.zeros((31, 20), np.uint16))
    checked = _check("p\tplane.tif\t10\t0.7\t9 px", config=seeded.format("cells.tif"))
    assert "Are rows and columns swapped?" in checked.recordings[0].problems[0]
    tifffile.imwrite("cells.tif", np.eye(20, 31, dtype=np.uint16))
    assert _check("p\tplane.tif\t10\t0.7\t9 px", config=seeded.format("cells.tif")).n_problems == 0


def test_every_second_plane_lies_twice_as_far_apart(folder):
    said = header(fast="true", slices=3, per_volume=4, back=1, discard="true", volumes=60, frames=1)
    write_scanimage(folder / "m.tif", images(240, 20, 31), said + "\nSI.hStackManager.stackZStepSize = 15")
    columns = HEADER + "\tplanes\tplane_spacing_um"
    rows = [
        f"{name}\tm.tif\t6\t0.7\t9 px\t{cells}"
        for name, cells in (("a", "1,3\t30"), ("b", "1-2\t15"), ("c", "1,3\t15"))
    ]
    a, b, c = (r.problems for r in _check(*rows, header=columns).recordings)
    assert (a, b) == ((), ())
    assert "`plane_spacing_um` is 15" in c[0]
