"""Settings that change with the kind of a recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caiman_pipeline.batch.preflight import check_recording
from caiman_pipeline.config.kinds import ONE_PHOTON
from caiman_pipeline.config.root import load_config
from caiman_pipeline.config.sheet import load_sheet
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.stages import Branch, stages_of

FACTS = "20\t0.7\t12 px"
HEADER = "recording\tfiles\tframe_rate_hz\tdecay_time_s\tcell_diameter"


def sheet(path: Path, extra: str, *rows: str) -> Path:
    lines = [f"{HEADER}{extra}", *(f"r{i}\tm{i}.avi\t{FACTS}{row}" for i, row in enumerate(rows))]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_kind_sets_its_defaults_for_its_recordings_alone(tmp_path: Path) -> None:
    found = load_sheet(sheet(tmp_path / "s.tsv", "\tkind", "\tone_photon", "\ttwo_photon", ""), load_config({}))
    one, two, unsaid = (found[name] for name in ("r0", "r1", "r2"))
    assert one.settings("patch_cnmf")["background"]["model"] == "ring"
    assert one.settings("traces")["dff_kind"] == "detrended"
    assert two.config == unsaid.config
    assert two.settings("refine")["background"]["model"] == "nodes"
    assert one.branch == Branch("one_photon")
    assert [s.name for s in stages_of(one.branch)] == [s.name for s in stages_of(two.branch)]


def test_every_default_of_a_kind_is_a_key_of_a_stage_and_differs_from_the_general_one(tmp_path: Path) -> None:
    [one] = load_sheet(sheet(tmp_path / "s.tsv", "\tkind", "\tone_photon"), load_config({})).values()
    for name in ONE_PHOTON:
        given, general = one.config, load_config({})
        for part in name.split("."):
            given, general = getattr(given, part), getattr(general, part)
        assert given != general, name


def test_a_column_of_the_sheet_wins_over_the_kind_and_the_kind_over_the_config(tmp_path: Path) -> None:
    path = sheet(tmp_path / "s.tsv", "\tkind\ttraces.dff_kind", "\tone_photon\tdff_over_noise", "\tone_photon")
    config = load_config({"traces": {"dff_kind": "dff"}, "refine": {"significance": 3.0}})
    own, kind = load_sheet(path, config).values()
    assert (own.config.traces.dff_kind, kind.config.traces.dff_kind) == ("dff_over_noise", "detrended")
    assert (kind.config.refine.rounds, kind.config.refine.significance) == (2, 3.0)


def test_what_a_kind_sets_can_be_changed_in_the_config(tmp_path: Path) -> None:
    path = sheet(tmp_path / "s.tsv", "\tkind", "\tone_photon")
    config = load_config({"kinds": {"one_photon": {"patch_cnmf.background.model": "static"}}})
    [one] = load_sheet(path, config).values()
    assert one.config.patch_cnmf.background.model == "static"
    assert one.config.refine.background.model == "nodes"


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        ({"patch_cnmf": {"init": "evidence"}}, "each is a key of a stage, like `patch_cnmf.init`; 'patch_cnmf' is not"),
        ({"recording.frame_rate_hz": 3}, "'recording.frame_rate_hz' is not"),
        ({"patch_cnmf.innit": "evidence"}, "unknown key `patch_cnmf.innit`, did you mean `patch_cnmf.init`"),
        ({"patch_cnmf.init": "magic"}, "`patch_cnmf.init`"),
    ],
)
def test_a_wrong_setting_of_a_kind_is_named(tmp_path: Path, layer: dict, says: str) -> None:
    path = sheet(tmp_path / "s.tsv", "\tkind", "\tone_photon")
    with pytest.raises(PipelineError, match=says):
        load_sheet(path, load_config({"kinds": {"one_photon": layer}}))


def test_an_unknown_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"`recording\.kind`.*'two_photon' or 'one_photon'"):
        load_sheet(sheet(tmp_path / "s.tsv", "\tkind", "\tthree_photon"), load_config({}))


def test_check_shows_what_the_kind_sets_as_it_will_be_used(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.random.default_rng(0).poisson(50, (130, 40, 52)).astype(np.uint16))
    path = tmp_path / "s.tsv"
    row = f"{tmp_path}/m.npy\t{FACTS}\tTYX"
    path.write_text(f"{HEADER}\taxes\tkind\ttraces.dff_kind\na\t{row}\tone_photon\tdff\nb\t{row}\t\t\n")
    one, two = map(check_recording, load_sheet(path, load_config({})).values())
    assert "one_photon: " in one.remarks[0]
    assert "patch_cnmf.background.model ring" in one.remarks[0]
    assert "traces.dff_kind dff" in one.remarks[0]
    assert not any("photon" in remark for remark in two.remarks)
