from __future__ import annotations

import pytest

from caiman_pipeline.config.pixels import PixelSize
from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.config.root import Config, resolve_section, resolve_stage
from caiman_pipeline.config.validate import validate
from caiman_pipeline.model.errors import PipelineError

TALL = {"pixel_size_um": "2.5 x 1.0", "cell_diameter": "12 um", "frame_rate_hz": 30, "decay_time_s": 0.5}


def facts(**values) -> RecordingSettings:
    return validate(RecordingSettings, values, "here")


@pytest.mark.parametrize("size", ["2.5 x 1.0", "2.5 x 1 um", "2.5 × 1.0", [2.5, 1], "[2.5, 1.0]"])
def test_rows_come_before_columns(size):
    assert facts(pixel_size_um=size).pixel_um() == (2.5, 1.0)
    assert facts(pixel_size_um=size, plane_spacing_um=8).pixel_um() == (8.0, 2.5, 1.0)


@pytest.mark.parametrize("size", [1.5, "1.5", "1.5 um", [1.5], "1.5 x 1.5"])
def test_a_square_pixel_is_one_number_however_it_is_written(size):
    found = facts(pixel_size_um=size)
    assert found.pixel_um() == (1.5, 1.5)
    assert found.model_dump(mode="json")["pixel_size_um"] == 1.5


def test_three_sizes_begin_with_the_distance_of_planes():
    found = facts(pixel_size_um=[8, 2.5, 1])
    assert (found.plane_spacing_um, found.pixel_um()) == (8.0, (8.0, 2.5, 1.0))
    assert facts(pixel_size_um="8 x 2.5 x 1", plane_spacing_um="8") == found
    assert facts(**found.model_dump(mode="json")) == found
    with pytest.raises(PipelineError, match="planes are 8 um apart, `plane_spacing_um` says 5"):
        facts(pixel_size_um=[8, 2.5, 1], plane_spacing_um=5)


@pytest.mark.parametrize("size", [0, -1, "2,5", "a", "1 x", [1, 2, 3, 4], [1, "b"], [], True, "0 x 1", float("inf")])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(PipelineError, match="pixel_size_um"):
        facts(pixel_size_um=size)


def test_lengths_become_pixels_along_each_axis():
    """A cell of 12 um is 4.8 rows high and 12 columns wide; what counts cells and micrometres follows."""
    config = validate(Config, {"recording": TALL, "motion": {"max_shift": "20 um", "high_pass": "5 um"}}, "here")
    search, motion = resolve_stage(config, "patch_cnmf"), resolve_section(config, "motion")
    assert search["recording"]["cell_diameter"] == "4.8 x 12 px"
    assert search["tile_overlap"] == "9.6 x 24 px"
    assert (motion["max_shift"], motion["high_pass"]) == ("8 x 20 px", "2 x 5 px")
    assert resolve_stage(config, "evaluate")["margin"] == "1.44 x 3.6 px"


def test_one_number_of_pixels_counts_along_the_columns():
    config = validate(Config, {"recording": {**TALL, "cell_diameter": "12 px"}}, "here")
    assert resolve_stage(config, "merge")["recording"]["cell_diameter"] == "4.8 x 12 px"
    config = validate(Config, {"recording": {**TALL, "cell_diameter": "12 x 11 px"}}, "here")
    assert resolve_stage(config, "merge")["recording"]["cell_diameter"] == "12 x 11 px"


def test_densities_count_the_pixels_area():
    config = validate(Config, {"recording": TALL, "patch_cnmf": {"components": "400 per mm2"}}, "here")
    assert resolve_stage(config, "patch_cnmf")["components"] == "0.001 per px"


def test_the_order_is_said_where_it_is_printed():
    assert str(PixelSize.parse([2.5, 1.0])) == "2.5 x 1"
