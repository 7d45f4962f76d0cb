"""The verbs around a run, as a user calls them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from caiman_pipeline.cli.main import VERBS, main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i in (1, 2):
        tifffile.imwrite(f"m_{i}.tif", np.zeros((60, 20, 31), np.uint16))
    return tmp_path


def _fails(*arguments: str, capsys) -> tuple[str, str]:
    """Return what a verb that fails for a reason it foresees prints, and its error."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert stop.value.code == 2
    out, error = capsys.readouterr()
    assert "Traceback" not in error
    return out, error


def _faulty(sheet: str) -> list[str]:
    """Write a sheet and its config, and return the arguments that name them."""
    Path("s.tsv").write_text(sheet)
    Path("c.yaml").write_text("recording: {frame_rate_hz: 10, decay_time_s: 1, cell_diameter: 9 px}\n")
    return ["--config", "c.yaml", "--sheet", "s.tsv"]


def test_from_a_folder_of_movies_to_a_run_that_can_start(folder, capsys):
    main(["init", ".", "--frame-rate-hz", "10", "--decay-time-s", "0.7"])
    told = capsys.readouterr().out
    assert "replace FILL_IN in config/recordings.tsv (cell_diameter)" in told
    assert "asked for the NWB file: species, indicator" in told
    assert "must still be filled in" in _fails("check", capsys=capsys)[0]
    sheet = Path("config/recordings.tsv")
    sheet.write_text(sheet.read_text().replace("FILL_IN", "9 px", 2))
    main(["check"])
    out = capsys.readouterr().out
    assert "ok       m  2 file(s), 120 frames of 20 x 31" in out
    assert "Next: `caiman-pipeline run`" in out
    Path("Snakefile").touch()
    main(["check", "--sheet", "config/recordings.tsv"])
    assert "Next: `snakemake --config 'paths={recordings: " in capsys.readouterr().out
    main(["plan", "--blocks", "3", "--cores", "2"])
    out = capsys.readouterr().out
    assert "1 recording(s) on 2 cores" in out
    assert out.splitlines()[-1].startswith("all")


def test_init_says_that_it_takes_numbered_files_together_and_can_leave_each_alone(folder, capsys):
    main(["init", "."])
    out = capsys.readouterr().out
    assert "m: 2 file(s)" in out
    assert "--separate" in out
    Path("config/recordings.tsv").unlink()
    main(["init", ".", "--separate"])
    out = capsys.readouterr().out
    assert "m_1: 1 file(s)" in out
    assert "m_2: 1 file(s)" in out
    assert "--separate" not in out


def test_init_does_not_overwrite(folder, capsys):
    main(["init", "."])
    assert "never overwritten" in _fails("init", ".", capsys=capsys)[1]
    main(["init", ".", "--sheet", "other.tsv"])
    assert Path("other.tsv").exists()


def test_check_prints_every_problem_and_fails(folder, capsys):
    out, error = _fails("check", *_faulty("recording\tfiles\na\tnone.tif\nb c\tm_1.tif\n"), capsys=capsys)
    assert "none.tif: file not found" in out
    assert "recording id 'b c'" in out
    assert error.strip() == "caiman-pipeline check: error: 2 problem(s), see above."


def test_plan_names_every_recording_that_cannot_be_planned_and_plans_the_others(folder, capsys):
    Path("cut.tif").write_bytes(Path("m_1.tif").read_bytes()[:-900])
    sheet = "recording\tfiles\na\tnone.tif\nb\tcut.tif\nc\tm_1.tif\nd e\tm_1.tif\n"
    out, error = _fails("plan", *_faulty(sheet), capsys=capsys)
    assert "1 recording(s) on" in out
    assert "problem  a: none.tif: file not found" in out
    assert "problem  b: cut.tif" in out
    assert "problem  s.tsv, line 5: recording id 'd e'" in out
    assert "3 problem(s)" in error


@pytest.mark.parametrize("verb", ["check", "plan"])
def test_a_missing_sheet_is_one_line(folder, capsys, verb):
    _, error = _fails(verb, capsys=capsys)
    assert len(error.strip().splitlines()) == 1
    assert "config/recordings.tsv" in error


def test_doctor_prints_a_line_for_each_thing(folder, capsys):
    main(["doctor"])
    out = capsys.readouterr().out
    assert "numpy" in out
    assert "results folder" in out


def test_help_lists_every_verb(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert all(verb in out for verb in VERBS)


def test_an_unknown_verb_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["explode"])
    assert stop.value.code == 2
    assert "explode" in capsys.readouterr().err
