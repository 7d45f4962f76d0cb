from __future__ import annotations

import json

import pytest
import yaml

from caiman_pipeline.config.base import Length
from caiman_pipeline.config.motion import MotionSettings
from caiman_pipeline.config.refine import RefineSettings
from caiman_pipeline.config.root import Config, check_required, load_config, resolve_stage
from caiman_pipeline.config.validate import known_keys
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.results.job_settings import load_stage
from caiman_pipeline.stages import STAGES


def _failure(source) -> str:
    with pytest.raises(PipelineError) as error:
        load_config(source)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_no_settings_are_the_defaults(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing\n")
    assert load_config(path) == load_config({}) == Config()


def test_a_section_left_blank_has_its_defaults():
    assert load_config({"inspect": None, "motion": {}}) == Config()


def test_dump_and_load_change_nothing():
    config = load_config({"motion": {"max_shift": "9 um"}, "recording": {"session_start": "2024-05-17T09:30:00+02:00"}})
    dumped = yaml.safe_dump(config.model_dump(mode="json"))
    again = load_config(yaml.safe_load(dumped))
    assert again == config
    assert yaml.safe_dump(again.model_dump(mode="json")) == dumped


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inspect": {"min_frame": 5}}, "unknown key `inspect.min_frame`, did you mean `inspect.min_frames`?"),
        ({"min_frames": 5}, "unknown key `min_frames`, did you mean `inspect.min_frames`?"),
        ({"motion": {"min_frames": 5}}, "unknown key `motion.min_frames`, did you mean `inspect.min_frames`?"),
        ({"traces": {"use_residuals": True}}, "unknown key `traces.use_residuals`: both are always written: `dff` is"),
        ({"inspekt": {}}, "unknown key `inspekt`, did you mean `inspect`?"),
        ({"recording": {"frame_rate_hz": 0}}, "`recording.frame_rate_hz`: Input should be greater than 0"),
        (
            {"recording": {"cell_diameter": "2 cells"}},
            "`recording.cell_diameter`: a cell's diameter is a positive length",
        ),
        ({"recording": {"cell_diameter": "0 px"}}, "`recording.cell_diameter`: a cell's diameter is a positive length"),
        ({"recording": {"axes": "T-Y"}}, "`recording.axes`: axes are letters"),
        (
            {"recording": {"session_start": "2024-05-17T09:30:00"}},
            "`recording.session_start`: needs a time and its time",
        ),
        ({"recording": {"session_start": "2024-05-17"}}, "needs a time and its time zone, like 2024-05-17T09:30"),
        ({"recording": {"session_start": "20240517"}}, "needs a time and its time zone"),
        ({"recording": {"session_start": "17.05.2024 9:30"}}, "not a date and time like 2024-05-17T09:30:00+02:00"),
        ({"recording": {"session_start": "1715931000"}}, "not a date and time like"),
        ({"recording": {"session_start": 1715931000}}, "not a date and time like"),
        ({"recording": {"age": "3 months"}}, "`recording.age`: not an ISO 8601 duration, like P90D"),
        ({"recording": {"age": "P"}}, "`recording.age`: not an ISO 8601 duration"),
        ({"recording": {"age": "90"}}, "`recording.age`: not an ISO 8601 duration"),
        ({"recording": {"species": "mouse"}}, "`recording.species`: not the Latin name of a species"),
        ({"motion": 5}, "`motion` is a section with keys below it (found 5)"),
        ({"motion": {"max_shift": 12}}, "`motion.max_shift`: a length needs a number and a unit"),
        ({"paths": {"results": ""}}, "`paths.results`"),
        ({"paths": {"results": "a{b}"}}, "`paths.results`"),
        ({7: 8}, "unknown key `7`"),
    ],
)
def test_wrong_settings_are_named(values, message):
    assert message in _failure(values)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("age", "P90D"),
        ("age", "P12W"),
        ("age", "P1Y6M"),
        ("age", "PT36H"),
        ("age", "P60D/P90D"),
        ("age", "P60D/"),
        ("species", "Danio rerio"),
        ("species", "http://purl.obolibrary.org/obo/NCBITaxon_10090"),
        ("session_start", "2024-05-17 09:30Z"),
        ("session_start", "2024-05-17T09:30:00.25-07:00"),
    ],
)
def test_facts_that_the_nwb_format_knows_are_taken(name, value):
    assert getattr(load_config({"recording": {name: value}}).recording, name) is not None


def test_frame_rate_must_be_finite():
    for value in (float("nan"), float("inf"), "fast"):
        assert "`recording.frame_rate_hz`" in _failure({"recording": {"frame_rate_hz": value}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("motion:\n  max_shift: 3 px\nmotion:\n  max_shift: 4 px\n", "line 3: key `motion` appears twice"),
        ("motion:\n\tmax_shift: 3 px\n", "line 2"),
        ("- a\n- b\n", "found list"),
        ("just words", "found str"),
        ("a: !!python/object:os.system {}", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    failure = _failure(path)
    assert failure.startswith(str(path))
    assert message in failure


def test_a_missing_file_is_named(tmp_path):
    assert "cannot be read (No such file" in _failure(tmp_path / "none.yaml")


def test_a_file_that_is_not_text_is_named(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(b"motion: \xff\xfe\x00")
    assert str(path) in _failure(path)


def test_lengths_of_a_stage_are_resolved_to_pixels():
    config = load_config(
        {
            "motion": {"max_shift": "9 um"},
            "recording": {"pixel_size_um": 1.5, "cell_diameter": "12 um", "frame_rate_hz": 30},
        }
    )
    assert resolve_stage(config, "motion_template")["max_shift"] == "6 px"
    assert resolve_stage(config, "merge")["recording"]["cell_diameter"] == "8 px"


def test_a_stage_gets_only_what_it_needs_to_know():
    config = load_config({"recording": {"frame_rate_hz": 30, "subject_id": "m1", "cell_diameter": "9 px"}})
    assert set(resolve_stage(config, "inspect")["recording"]) == set(STAGES["inspect"].reads["recording"])


def test_a_stage_is_resolved_the_same_for_what_does_not_concern_it():
    base = {"recording": {"frame_rate_hz": 30, "cell_diameter": "9 px"}}
    other = {"recording": {**base["recording"], "lab": "another"}, "inspect": {"min_frames": 77}}
    assert resolve_stage(load_config(base), "merge") == resolve_stage(load_config(other), "merge")
    assert resolve_stage(load_config(base), "inspect") != resolve_stage(load_config(other), "inspect")


def test_a_length_that_cannot_be_resolved_names_its_key():
    config = load_config({"motion": {"max_shift": "9 um"}, "recording": {"cell_diameter": "9 px"}})
    with pytest.raises(PipelineError, match=r"`motion.max_shift`: '9 um' is in micrometres.*set `pixel_size_um`"):
        resolve_stage(config, "motion_correct")


def test_a_cell_diameter_that_cannot_be_resolved_names_its_key():
    config = load_config({"recording": {"cell_diameter": "12 um"}})
    with pytest.raises(PipelineError, match=r"`recording.cell_diameter`: '12 um' is in micrometres"):
        resolve_stage(config, "merge")


def test_settings_survive_the_way_through_the_rule():
    config = load_config(
        {"motion": {"max_shift": "9 um"}, "recording": {"pixel_size_um": 1.5, "cell_diameter": "8 px"}}
    )
    settings, recording = load_stage("refine", RefineSettings, json.dumps(resolve_stage(config, "refine")))
    assert settings.rounds == 1
    assert recording.cell_diameter == Length((8.0,), "px")


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"no_such_key": 1}'])
def test_settings_that_are_not_a_stage_are_refused(text):
    with pytest.raises(PipelineError, match="--settings"):
        load_stage("motion_correct", MotionSettings, text)


def test_what_must_be_known_of_a_recording_is_listed():
    with pytest.raises(PipelineError, match="sheet: `frame_rate_hz`, `decay_time_s`, `cell_diameter` must be given"):
        check_required(Config().recording, "sheet")


def test_every_stage_can_be_resolved_from_the_defaults():
    config = load_config({"recording": {"frame_rate_hz": 30, "decay_time_s": 0.7, "cell_diameter": "9 px"}})
    for stage in STAGES:
        resolved = json.loads(json.dumps(resolve_stage(config, stage), allow_nan=False))
        assert resolved, stage
        assert "cells" not in str(resolved.values()), f"{stage}: a length is left in cells"


def test_known_keys_have_sections_and_leaves():
    assert {"inspect", "inspect.min_frames", "recording.frame_rate_hz"} <= set(known_keys(Config))
