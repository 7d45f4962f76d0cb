"""Numbers of components as they are written in the config."""

import pytest

from caiman_pipeline.config.base import Count
from caiman_pipeline.config.root import load_config, resolve_stage
from caiman_pipeline.model.errors import PipelineError


@pytest.mark.parametrize("text", ["evidence", "30 per tile", "0.2 per cell", "400 per mm2", "20000 per mm3"])
def test_counts_are_written_as_they_are_read(text: str) -> None:
    assert str(Count.parse(text)) == text


@pytest.mark.parametrize("text", ["0 per tile", "2.5 per tile", "-3 per tile", "30", "lots", 30, "5 per um", True])
def test_what_is_no_count_is_an_error(text: object) -> None:
    with pytest.raises(PipelineError, match=r"`patch_cnmf\.components`"):
        load_config({"patch_cnmf": {"components": text}})


def resolved(components: str, **recording: object) -> str:
    config = load_config(
        {"patch_cnmf": {"components": components}, "recording": {"cell_diameter": "9 px", **recording}}
    )
    return resolve_stage(config, "patch_cnmf")["components"]


def test_densities_become_numbers_per_pixel() -> None:
    assert resolved("400 per mm2", pixel_size_um=2.0) == "0.0016 per px"
    assert resolved("20000 per mm3", pixel_size_um=2.0, plane_spacing_um=5.0) == "0.0004 per px"
    assert resolved("0.2 per cell") == "0.2 per cell"


@pytest.mark.parametrize(
    ("components", "facts"),
    [
        ("400 per mm2", {}),
        ("400 per mm2", {"pixel_size_um": 2.0, "plane_spacing_um": 5.0}),
        ("20000 per mm3", {"pixel_size_um": 2.0}),
    ],
)
def test_densities_without_the_size_of_a_pixel_are_an_error(components: str, facts: dict[str, float]) -> None:
    with pytest.raises(PipelineError, match=r"`patch_cnmf\.components`.*density|densities"):
        resolved(components, **facts)


def test_seeded_without_a_file_is_an_error_of_the_recording() -> None:
    config = load_config({"patch_cnmf": {"init": "seeded"}})
    with pytest.raises(PipelineError, match=r"`patch_cnmf\.seeded\.file` must name"):
        resolve_stage(config, "patch_cnmf")


def test_a_stage_is_handed_the_settings_of_the_chosen_way_only() -> None:
    config = load_config({"patch_cnmf": {"init": "pca_ica"}, "recording": {"cell_diameter": "9 px"}})
    values = resolve_stage(config, "patch_cnmf")
    assert "pca_ica" in values
    assert not {"greedy_roi", "corr_pnr", "sparse_nmf", "graph_nmf", "seeded"} & set(values)


@pytest.mark.parametrize("values", [{"components": 0}, {"components": -1}, {"model": "rings"}, {"spacing": 0.5}])
def test_backgrounds_that_cannot_be_are_errors(values: dict[str, object]) -> None:
    for stage in ("patch_cnmf", "refine"):
        with pytest.raises(PipelineError, match=rf"`{stage}\.background\."):
            load_config({stage: {"background": values}})
