from __future__ import annotations

import pytest

from caiman_pipeline.config.plausible import doubts_of_sheet, wrong_subject, wrong_timing
from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.config.validate import validate

GOOD = {"frame_rate_hz": 10, "decay_time_s": 0.6, "cell_diameter": "12 um", "pixel_size_um": 1.0}


def doubted(dims=(96, 128), **values):
    return doubts_of_sheet(validate(RecordingSettings, {**GOOD, **values}, "here"), dims)


@pytest.mark.parametrize(("rate", "decay"), [(30, 0.4), (2, 0.6), (0.5, 2.0), (400, 5.0), (1, 0.1)])
def test_rates_at_which_people_record_pass(rate, decay):
    assert wrong_timing(rate, decay) == ""


def test_a_transient_of_no_frame_names_the_rate_that_may_be_meant():
    assert "0.013 frames" in wrong_timing(0.033, 0.4)
    assert "(30.3 Hz, if 0.033 s is the time between frames)" in wrong_timing(0.033, 0.4)
    assert "not milliseconds" in wrong_timing(30, 450)


@pytest.mark.parametrize("name", ["M/12", "a\\b", "m1 ", "a\nb"])
def test_subjects_that_archives_refuse_are_named_with_what_to_write(name):
    assert wrong_subject(name)
    assert wrong_subject("M/12").endswith("like 'M-12'.")


@pytest.mark.parametrize("name", [None, "m1", "M_12-b", "17", "a.b"])
def test_subjects_that_archives_take_pass(name):
    assert wrong_subject(name) == ""
    assert doubted(subject_id=name) == []


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"frame_rate_hz": 0.5}, "a transient lasts 0.3 frames"),
        ({"subject_id": "mouse 12"}, "DANDI writes dashes"),
        ({"cell_diameter": "12 um", "pixel_size_um": 10}, "is 1.2 x 1.2 px here, too small for a shape"),
        ({"cell_diameter": "60 px"}, "is 60 x 60 px here, more than half of a frame of 96 x 128 px"),
        ({"cell_diameter": "60 um", "pixel_size_um": "1 x 2.5"}, "is 60 x 24 px here, more than half"),
        ({"indicator": "GCaMP6f", "decay_time_s": 20}, "GCaMP6f decays in"),
    ],
)
def test_what_is_unlikely_is_told(values, text):
    (doubt,) = doubted(**values)
    assert text in doubt


def test_likely_facts_raise_no_doubt():
    assert doubted() == doubted((5, 96, 128), plane_spacing_um=10) == []
    assert doubted(pixel_size_um="2.5 x 1.0", indicator="GCaMP6f") == []
