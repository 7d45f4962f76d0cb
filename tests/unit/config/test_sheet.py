from __future__ import annotations

from pathlib import Path

import pytest

from caiman_pipeline.config.base import Length
from caiman_pipeline.config.root import Config, load_config
from caiman_pipeline.config.sheet import load_sheet, read_sheet
from caiman_pipeline.model.errors import PipelineError

HEADER = "recording\tfiles\tframe_rate_hz\tdecay_time_s\tcell_diameter"
FACTS = "30\t0.7\t9 px"


def _sheet(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "recordings.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _failure(tmp_path: Path, *lines: str, config: Config | None = None) -> str:
    with pytest.raises(PipelineError) as error:
        load_sheet(_sheet(tmp_path, *lines), config or Config())
    assert "\n" not in str(error.value)
    return str(error.value)


def test_rows_become_recordings(tmp_path):
    sheet = _sheet(
        tmp_path, "# a note", HEADER, f"m1_day-1\ta.tif\t{FACTS}", "", "# another", f"m2\tb.tif; c.tif\t{FACTS}"
    )
    recordings = load_sheet(sheet, Config())
    assert list(recordings) == ["m1_day-1", "m2"]
    assert recordings["m2"].patterns == ("b.tif", "c.tif")
    assert recordings["m2"].config.recording.cell_diameter == Length((9.0,), "px")


def test_a_sheet_from_a_spreadsheet_is_read(tmp_path):
    path = tmp_path / "recordings.tsv"
    path.write_bytes(f'\ufeff{HEADER}\r\nm1\t"a, b.tif"\t{FACTS}\r\n'.encode())
    assert load_sheet(path, Config())["m1"].patterns == ("a, b.tif",)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_what_spreadsheets_add_changes_nothing(tmp_path, encoding, end):
    """Byte order marks, line ends, empty columns and rows, blanks around cells, and every cell in quotes."""
    path = tmp_path / "recordings.tsv"
    cells = [row.split("\t") for row in ('# a "note', HEADER, f"m1\tmµ.tif\t{FACTS}")]
    plain = end.join("\t".join(f" {c} " for c in row) for row in cells[1:])
    padded = end.join("\t".join((*row, "", "")) for row in (*cells, [""], ["", ""]))
    quoted = end.join("\t".join('"{}"'.format(c.replace('"', '""')) for c in row) for row in cells)
    for text in (plain, padded, quoted):
        path.write_bytes((text + end).encode(encoding))
        (recording,) = load_sheet(path, Config()).values()
        assert (recording.id, recording.patterns) == ("m1", ("mµ.tif",))
        assert recording.config.recording.frame_rate_hz == 30


def test_the_sheet_wins_over_the_config(tmp_path):
    config = load_config({"recording": {"frame_rate_hz": 10, "decay_time_s": 1, "cell_diameter": "7 px"}})
    sheet = _sheet(tmp_path, "recording\tfiles\tframe_rate_hz", "m1\ta.tif\t20", "m2\ta.tif\t")
    recordings = load_sheet(sheet, config)
    assert [r.config.recording.frame_rate_hz for r in recordings.values()] == [20, 10]


def test_any_setting_can_be_a_recordings_own(tmp_path):
    sheet = _sheet(
        tmp_path, HEADER + "\tinspect.min_frames\tmotion.max_shift", f"m1\ta\t{FACTS}\t77\t5 px", f"m2\tb\t{FACTS}"
    )
    recordings = load_sheet(sheet, Config())
    assert recordings["m1"].settings("inspect")["min_frames"] == 77
    assert recordings["m1"].section("motion")["max_shift"] == "5 px"
    assert recordings["m2"].settings("inspect")["min_frames"] == Config().inspect.min_frames


def test_files_are_in_natural_order_and_globs_expanded(tmp_path):
    for name in ("m_10.tif", "m_2.tif", "m_1.tif", "other.tif"):
        (tmp_path / name).touch()
    recording = load_sheet(_sheet(tmp_path, HEADER, f"m\tm_*.tif; other.tif\t{FACTS}"), Config())["m"]
    assert [Path(f).name for f in recording.files(tmp_path)] == ["m_1.tif", "m_2.tif", "m_10.tif", "other.tif"]


def test_a_file_whose_name_looks_like_a_glob_is_taken_literally(tmp_path):
    (tmp_path / "m[1].tif").touch()
    (tmp_path / "m1.tif").touch()
    recording = load_sheet(_sheet(tmp_path, HEADER, f"m\tm[1].tif\t{FACTS}"), Config())["m"]
    assert [Path(f).name for f in recording.files(tmp_path)] == ["m[1].tif"]


def test_a_missing_file_is_kept_for_the_error_that_names_it(tmp_path):
    recording = load_sheet(_sheet(tmp_path, HEADER, f"m\tnone.tif\t{FACTS}"), Config())["m"]
    assert recording.files(tmp_path) == [str(tmp_path / "none.tif")]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../a", "a.b", "a;b", "$(x)", "-a", "ä", "x" * 101, "{a}", "a*"])
def test_an_id_that_cannot_be_a_folder_is_refused(tmp_path, name):
    assert "must be 1 to 100 letters" in _failure(tmp_path, HEADER, f"{name}\ta.tif\t{FACTS}")


def test_an_id_listed_twice_is_refused(tmp_path):
    message = _failure(tmp_path, HEADER, f"m1\ta.tif\t{FACTS}", f"m1\tb.tif\t{FACTS}")
    assert "line 3: recording 'm1' is listed twice, first in line 2" in message


def test_ids_that_differ_only_in_case_are_refused(tmp_path):
    assert "only in case" in _failure(tmp_path, HEADER, f"m1\ta.tif\t{FACTS}", f"M1\tb.tif\t{FACTS}")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), "is empty"),
        (("# only notes",), "is empty"),
        ((HEADER,), "no recordings"),
        (("recording,files", "m1,a.tif"), "Columns must be separated by tabs."),
        (
            ("recording files frame_rate_hz", "m1 a.tif 30"),
            "They are separated by spaces. Columns must be separated by",
        ),
        (
            (HEADER, f"m1 a.tif {FACTS}".replace("\t", " ")),
            "line 2: 1 value(s) for 5 columns. They are separated by spaces",
        ),
        (
            (HEADER, f"m1,a.tif,{FACTS}".replace("\t", ",")),
            "They are separated by commas; they must be separated by tabs",
        ),
        ((HEADER, "m1\ta.tif    30\t0.7\t9 px"), "line 2: 4 value(s) for 5 columns. They are separated by spaces"),
        ((HEADER.replace("\tdecay", "    decay"), f"m1\ta\t{FACTS}"), "are several columns, with spaces between them"),
        (("recording\tfile", "m1\ta.tif"), "needs the columns recording, files"),
        ((HEADER + "\tfiles", f"m1\ta\t{FACTS}\tb"), "column 'files' appears twice"),
        ((HEADER + "\tframe_rate", f"m1\ta\t{FACTS}\t3"), "unknown column 'frame_rate', did you mean 'frame_rate_hz'?"),
        (
            (HEADER + "\tmin_frames", f"m1\ta\t{FACTS}\t3"),
            "unknown column 'min_frames', did you mean 'inspect.min_frames'?",
        ),
        ((HEADER + "\tpaths.results", f"m1\ta\t{FACTS}\tx"), "unknown column 'paths.results'"),
        ((HEADER + "\tqqqqq", f"m1\ta\t{FACTS}\t3"), "unknown column 'qqqqq'. Columns are facts"),
        ((HEADER, f"m1\t\t{FACTS}"), "line 2: recording 'm1' has no files"),
        ((HEADER, f"m1\t ; \t{FACTS}"), "has no files"),
        ((HEADER, f"m1\ta\t{FACTS}\textra"), "line 2: 6 values for 5 columns"),
        ((HEADER, "m1\ta\t30\t\t9 px"), "line 2: recording 'm1': `decay_time_s` must be given"),
        ((HEADER, "m1\ta\tFILL_IN\t0.7\tFILL_IN"), "`frame_rate_hz`, `cell_diameter` must still be filled in"),
        ((HEADER, "m1\ta\tfast\t0.7\t9 px"), "`recording.frame_rate_hz`"),
        ((HEADER, "m1\ta\t0\t0.7\t9 px"), "greater than 0"),
        ((HEADER, "m1\ta\t0.033\t0.4\t9 px"), "a transient would last 0.013 frames"),
        ((HEADER, "m1\ta\t30\t450\t9 px"), "`decay_time_s` is 450: no indicator decays so slowly"),
        ((HEADER, "m1\ta\t30\t0.7\t9"), "a length needs a number and a unit"),
        ((HEADER, "m1\ta\t30\t0.7\t12 um"), "set `pixel_size_um`"),
        ((HEADER + "\tinspect.min_frames", f"m1\ta\t{FACTS}\tmany"), "`inspect.min_frames`"),
        ((HEADER + "\tlab", f'm1\ta\t{FACTS}\t"two', 'lines"'), "line 2: a quoted cell does not end in this line"),
        ((HEADER + "\tmotion.max_shift", f"m1\ta\t{FACTS}\t4 um"), "`motion.max_shift`: '4 um' is in micrometres"),
    ],
)
def test_a_wrong_sheet_says_what_is_wrong(tmp_path, lines, message):
    failure = _failure(tmp_path, *lines)
    assert "recordings.tsv" in failure
    assert message in failure


def test_names_with_spaces_and_cells_left_out_at_the_end_are_no_spaces_for_tabs(tmp_path):
    (tmp_path / "s.tsv").write_text(f"{HEADER}\tlab\tage\nm1\tmy  good file.tif\t{FACTS}\n")
    assert load_sheet(tmp_path / "s.tsv", Config())["m1"].patterns == ("my  good file.tif",)


def test_a_missing_sheet_says_how_to_get_one(tmp_path):
    with pytest.raises(PipelineError, match="caiman-pipeline init"):
        load_sheet(tmp_path / "none.tsv", Config())


def test_a_sheet_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "recordings.tsv"
    path.write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(PipelineError, match="not UTF-8"):
        load_sheet(path, Config())


def test_all_rows_are_looked_at_and_good_ones_kept(tmp_path):
    rows = [HEADER, "a b\tx\t30\t0.7\t9 px", f"good\tx\t{FACTS}", "m2\tx\t0\t0.7\t9 px"]
    recordings, problems = read_sheet(_sheet(tmp_path, *rows), Config())
    assert list(recordings) == ["good"]
    assert [p.split(":")[0] for p in problems] == ["line 2", "line 4"]


def test_many_problems_are_counted_not_all_listed(tmp_path):
    message = _failure(tmp_path, HEADER, *(f"m {i}\tx\t{FACTS}" for i in range(30)))
    assert message.count("must be 1 to 100") == 5
    assert "and 25 more problems" in message


def test_a_thousand_recordings_are_read(tmp_path):
    sheet = _sheet(
        tmp_path, HEADER + "\tinspect.min_frames", *(f"m{i}\tx{i}.tif\t{FACTS}\t{50 + i}" for i in range(1000))
    )
    recordings = load_sheet(sheet, Config())
    assert [r.config.inspect.min_frames for r in recordings.values()] == [50 + i for i in range(1000)]


NAMING = HEADER + "\tmotion.shifts_from\tmotion.template"


def test_a_recording_named_as_reference_becomes_its_motion_file(tmp_path):
    sheet = _sheet(
        tmp_path,
        NAMING,
        f"green\tg.tif\t{FACTS}\tred",
        f"red\tr.tif\t{FACTS}\t\tday0",
        f"day0\td.tif\t{FACTS}\tother/motion.h5",
    )
    recordings = load_sheet(sheet, load_config({"paths": {"results": "out"}}))
    assert recordings["green"].section("motion")["shifts_from"] == "out/red/motion/motion.h5"
    assert recordings["red"].section("motion")["template"] == "out/day0/motion/motion.h5"
    assert recordings["day0"].section("motion")["shifts_from"] == "other/motion.h5"


@pytest.mark.parametrize("names", [("a", "b"), ("b", "b"), ("b", "a")])
def test_references_that_lead_back_are_refused(tmp_path, names):
    problem = _failure(tmp_path, NAMING, f"a\ta.tif\t{FACTS}\t{names[0]}", f"b\tb.tif\t{FACTS}\t\t{names[1]}")
    assert "leads back to itself" in problem
    assert "recording 'b'" in problem or "recording 'a'" in problem


def test_axes_channel_and_planes_say_how_files_are_read(tmp_path):
    header = HEADER + "\taxes\tchannel\tplanes\tplane_spacing_um\tpixel_size_um"
    rows = (f"a\ta.tif\t{FACTS}\ttz4c2yx\tgreen\t1-3\t5\t2", f"b\tb.tif\t{FACTS}\t\t2\t 2 \t5\t2", f"c\tc.tif\t{FACTS}")
    a, b, c = (r.config.recording for r in load_sheet(_sheet(tmp_path, header, *rows), Config()).values())
    assert (a.axes, a.channel, a.planes) == ("TZ4C2YX", "green", "1-3")
    assert (b.channel, b.planes, c.channel, c.planes) == ("2", "2", None, None)
    assert (a.pixel_um(), b.pixel_um()) == ((5.0, 2.0, 2.0), (2.0, 2.0)), "one plane of a volume is flat"


def test_a_number_in_the_config_names_a_channel_or_plane():
    facts = load_config({"recording": {"channel": 2, "planes": 3}}).recording
    assert (facts.channel, facts.planes) == ("2", "3")
    assert load_config({"recording": {"channel": "", "planes": None}}).recording.channel is None


@pytest.mark.parametrize(("column", "text"), [("planes", "0-2"), ("planes", "first"), ("axes", "T4"), ("axes", "4YX")])
def test_planes_and_axes_that_say_nothing_are_refused(tmp_path, column, text):
    assert f"`recording.{column}`" in _failure(tmp_path, f"{HEADER}\t{column}", f"a\ta.tif\t{FACTS}\t{text}")


def test_bad_frames_are_written_in_a_cell_as_they_are_explained(tmp_path):
    """``17, 100-120`` with and without names of files, as a list too; a name may hold a comma of its own."""
    cells = {
        "17, 100-120": ("17", "100-120"),
        "17,b.tif:5, 30": ("17", "b.tif:5", "30"),
        "[17, 100-120]": ("17", "100-120"),
        "42": ("42",),
        "left, right.tif:3-4": ("left, right.tif:3-4",),
    }
    rows = [f"m{k}\ta.tif\t{FACTS}\t{cell}" for k, cell in enumerate(cells)]
    recordings = load_sheet(_sheet(tmp_path, f"{HEADER}\tmotion.bad_frames", *rows), Config())
    assert [r.config.motion.bad_frames for r in recordings.values()] == list(cells.values())
    message = _failure(tmp_path, f"{HEADER}\tmotion.bad_frames", f"m\ta.tif\t{FACTS}\t17, 30-20")
    assert "expected frames like 17, 100-120 or b.tif:17, got '17, 30-20'" in message
