"""Recordings of one field of one subject."""

import pytest

from caiman_pipeline.config.groups import groups_of
from caiman_pipeline.config.root import Config
from caiman_pipeline.config.sheet import load_sheet
from caiman_pipeline.model.errors import PipelineError

FACTS = "recording\tfiles\tframe_rate_hz\tdecay_time_s\tcell_diameter\tsubject_id\tfield"


def _groups(tmp_path, *rows):
    sheet = tmp_path / "r.tsv"
    lines = (f"{name}\tx.tif\t30\t0.4\t9 px\t{subject}\t{field}" for name, subject, field in rows)
    sheet.write_text("\n".join([FACTS, *lines]) + "\n")
    return groups_of(load_sheet(sheet, Config()))


def test_by_subject_and_field_in_natural_order(tmp_path):
    rows = (
        ("d10", "m1", "V1 deep"),
        ("d2", "m1", "V1 deep"),
        ("d3", "m1", "S1"),
        ("e", "m2", "V1 deep"),
        ("f", "m1", ""),
    )
    assert _groups(tmp_path, *rows) == {"m1_V1-deep": ("d2", "d10"), "m1_S1": ("d3",), "m2_V1-deep": ("e",)}


def test_a_field_needs_its_subject(tmp_path):
    with pytest.raises(PipelineError, match="'a': `field` needs `subject_id`"):
        _groups(tmp_path, ("a", "", "V1"))


def test_two_groups_do_not_share_a_folder(tmp_path):
    with pytest.raises(PipelineError, match="would share the folder 'm_a-b'"):
        _groups(tmp_path, ("x", "m", "a b"), ("y", "m", "a-b"))


def test_no_recording_has_the_name_of_the_folder_of_tracked_cells(tmp_path):
    with pytest.raises(PipelineError, match="folder of tracked cells"):
        _groups(tmp_path, ("Sessions", "m", "a"))
