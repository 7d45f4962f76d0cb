"""Keys of earlier versions: taken under their new names with a warning, then refused with them; never dropped."""

from __future__ import annotations

import pytest

from caiman_pipeline.config import renamed
from caiman_pipeline.config.renamed import GONE, RENAMED, Renamed
from caiman_pipeline.config.root import Config, load_config
from caiman_pipeline.config.sheet import load_sheet
from caiman_pipeline.config.validate import known_keys
from caiman_pipeline.model.errors import PipelineError

OLD = "evaluate.noise_of"
NEW = "motion.max_shift"
FACTS = "recording\tfiles\tframe_rate_hz\tdecay_time_s\tcell_diameter"


@pytest.fixture(params=["0.4.9", "0.5.0"])
def version(request, monkeypatch):
    """A key was renamed in 0.4 and moved to another section; its old name is refused from 0.5 on."""
    monkeypatch.setattr(renamed, "RENAMED", {OLD: Renamed(NEW, refused_from="0.5.0")})
    monkeypatch.setattr(renamed, "__version__", request.param)
    return request.param


def test_an_old_name_is_taken_with_a_warning_then_refused_with_the_new_one(version):
    values = {"evaluate": {"noise_of": "7 px"}, "motion": None}
    if version == "0.5.0":
        with pytest.raises(PipelineError, match=r"config: `evaluate.noise_of` is now `motion.max_shift`. Write it so."):
            load_config(values)
    else:
        with pytest.warns(FutureWarning, match=r"`evaluate.noise_of` is now `motion.max_shift`; .* from version 0.5.0"):
            config = load_config(values)
        assert config == load_config({"motion": {"max_shift": "7 px"}})
        assert config != Config()
    assert values == {"evaluate": {"noise_of": "7 px"}, "motion": None}, "the user's own mapping is left alone"


@pytest.mark.parametrize("version", ["0.4.9"], indirect=True)
def test_an_old_name_beside_the_new_one_is_ambiguous(version):
    both = {"evaluate": {"noise_of": "7 px"}, "motion": {"max_shift": "8 px"}}
    with pytest.warns(FutureWarning), pytest.raises(PipelineError, match="both are given"):
        load_config(both)


def test_columns_of_the_sheet_are_renamed_too(version, tmp_path):
    sheet = tmp_path / "recordings.tsv"
    sheet.write_text(f"{FACTS}\t{OLD}\na\ta.tif\t30\t0.4\t9 px\t7 px\n")
    if version == "0.5.0":
        with pytest.raises(PipelineError, match=r"column: `evaluate.noise_of` is now `motion.max_shift`"):
            load_sheet(sheet, Config())
    else:
        with pytest.warns(FutureWarning, match="is now"):
            recordings = load_sheet(sheet, Config())
        assert str(recordings["a"].config.motion.max_shift) == "7 px"


def test_a_column_that_is_gone_is_explained(tmp_path):
    sheet = tmp_path / "recordings.tsv"
    sheet.write_text(f"{FACTS}\ttraces.use_residuals\na\ta.tif\t30\t0.4\t9 px\ttrue\n")
    with pytest.raises(PipelineError, match=r"'traces.use_residuals' is no key any more: both are always written"):
        load_sheet(sheet, Config())


def test_old_names_are_free_and_new_names_exist():
    known = set(known_keys(Config))
    assert not known & {*RENAMED, *GONE}
    assert {key.now for key in RENAMED.values()} <= known


def test_a_key_that_moved_between_sections_keeps_its_value():
    with pytest.warns(FutureWarning):
        assert load_config({"export_nwb": {"event_height": 4.5}}).traces.event_height == 4.5
