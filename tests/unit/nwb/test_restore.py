"""What an NWB file says of its run is complete, says nothing of the machine, and can be read back."""

from __future__ import annotations

import json
from dataclasses import replace

import h5py
import pytest

from caiman_pipeline.config.generate import documented_keys
from caiman_pipeline.config.portable import file_keys, flat, portable, portable_path, short_names
from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.config.root import Config, load_config, resolve_stage
from caiman_pipeline.config.sheet import load_sheet
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.nwb.restore import read_run, restore
from caiman_pipeline.nwb.write import write_nwb
from caiman_pipeline.outcome import component_table
from caiman_pipeline.results.job_settings import load_stage
from caiman_pipeline.results.provenance import kept_ledger, noted_stages
from caiman_pipeline.stages import SECTIONS, STAGES

FACTS = {"frame_rate_hz": 30, "decay_time_s": 0.7, "cell_diameter": "12 um", "pixel_size_um": 1.3}
WAYS = ("evidence", "greedy_roi", "corr_pnr", "sparse_nmf", "graph_nmf", "pca_ica", "seeded")


def stages_of(config: Config) -> dict:
    """Return what the jobs of a recording note, handed their settings as the rules do."""
    found = {}
    for name, stage in STAGES.items():
        with kept_ledger(name):
            section = Config.model_fields[stage.section].annotation
            load_stage(name, section, json.dumps(resolve_stage(config, name)))
            found |= noted_stages()
    found.pop("report")
    return found


def config_with(**sections) -> Config:
    return load_config({**sections, "recording": {**FACTS, **sections.get("recording", {})}})


def export(make_outcome, path, config, recording="a"):
    outcome = make_outcome()
    info = replace(
        outcome.info, recording=recording, files=(replace(outcome.info.files[0], path="/home/jane/m 1.tif"),)
    )
    outcome = replace(outcome, info=info, stages=stages_of(config))
    write_nwb(path, outcome, component_table(outcome, pixel_um=None), facts=config.recording)
    return path


def test_stages_are_called_as_the_config_calls_them():
    for stage in SECTIONS:
        assert Config.model_fields[stage].annotation.stage == stage


def test_every_key_of_every_stage_is_noted():
    """Whatever key is added to a model: nothing here lists them."""
    noted = set()
    for way in WAYS:
        seeded = {"seeded": {"file": "m.tif"}} if way == "seeded" else {}
        for entry in stages_of(config_with(patch_cnmf={"init": way, **seeded})).values():
            noted |= {f"{entry['section']}.{key}" for key, _ in flat(entry["settings"])}
    sections = {stage.section for stage in STAGES.values()} - {"report"}
    keys = {name for name, _ in documented_keys(Config) if name.split(".")[0] in sections}
    assert keys - noted == set()
    facts = {key.split(".recording.")[1] for key in noted if ".recording." in key}
    # The kind only chooses settings, which are noted; the field says which recordings are looked at together.
    assert facts == set(RecordingSettings.model_fields) - {"kind", "field"}


CONFIGS = {
    "defaults": {},
    "lengths and counts": {
        "motion": {"max_shift": "9 um", "patch_size": "3 cells", "high_pass": "7 px", "region": [[2, 30], [5, 50]]},
        "patch_cnmf": {"components": "20 per mm2", "tile_size": "90 x 110 um"},
        "evaluate": {"margin": "0.6 cells"},
    },
    "another way": {"patch_cnmf": {"init": "greedy_roi", "components": "7 per tile"}, "refine": {"rounds": 2}},
    "facts": {
        "recording": {
            "session_start": "2024-05-17T09:30:00+02:00",
            "species": "Danio rerio",
            "emission_nm": 1e-5,
            "pixel_size_um": "2.5 x 1.0",
            "axes": "TYX",
            "experimenter": 'Roe, Rick; Doe, "J"',
        }
    },
    "none": {"select": {"max_nesting": None, "max_size": None}, "patch_cnmf": {"footprints": {"connected": False}}},
    "lines": {"recording": {"session_description": 'day 1:\n\tdark, "quiet" #2\u2028end', "lab": " Roe"}},
    "texts": {"motion": {"bad_frames": ["17", "40-42"]}, "summary_images": {"noise_band": [0.1, 0.4]}},
}


@pytest.mark.parametrize("sections", CONFIGS.values(), ids=CONFIGS)
def test_settings_read_back_are_those_that_the_stages_had(make_outcome, tmp_path, monkeypatch, sections):
    monkeypatch.chdir(tmp_path)
    config = config_with(**sections)
    restored = restore([read_run(export(make_outcome, tmp_path / "a.nwb", config))], tmp_path, sheet="s.tsv")
    (tmp_path / "c.yaml").write_text(restored.config)
    (tmp_path / "s.tsv").write_text(restored.sheet)
    again = load_config(tmp_path / "c.yaml")
    assert again.paths.recordings == "s.tsv"
    row = load_sheet(tmp_path / "s.tsv", again)["a"]
    assert row.patterns == (f"{tmp_path}/m 1.tif",)
    assert stages_of(row.config) == stages_of(config)


def test_what_recordings_have_in_common_is_in_the_config_and_the_rest_in_the_sheet(make_outcome, tmp_path):
    one = config_with(motion={"max_shift": "7 px"}, select={"max_nesting": None, "min_snr": 2.25})
    two = config_with(motion={"max_shift": "7 px"}, select={"max_nesting": 0.25, "min_snr": 2.25})
    runs = [read_run(export(make_outcome, tmp_path / f"{n}.nwb", c, n)) for n, c in (("a", one), ("b", two))]
    restored = restore(runs, tmp_path, sheet="s.tsv")
    header, *rows = [line.split("\t") for line in restored.sheet.splitlines()]
    assert [column for column in header if "." in column] == ["select.max_nesting"]
    assert [row[header.index("select.max_nesting")] for row in rows] == ["null", "0.25"]
    assert "min_snr: 2.25" in restored.config
    assert "max_nesting:" not in restored.config
    with pytest.raises(PipelineError, match="'a' is in several"):
        restore([runs[0], runs[0]], tmp_path, sheet="s.tsv")


def test_texts_that_no_cell_can_hold_and_that_differ_are_refused(make_outcome, tmp_path):
    one, two = (config_with(recording={"session_description": f"day {n}\nlight off"}) for n in "12")
    runs = [read_run(export(make_outcome, tmp_path / f"{n}.nwb", c, n)) for n, c in (("a", one), ("b", two))]
    with pytest.raises(PipelineError, match="`session_description` differs between the files and holds a line break"):
        restore(runs, tmp_path, sheet="s.tsv")
    again = [read_run(export(make_outcome, tmp_path / f"{n}.nwb", one, n)) for n in "ab"]
    restored = restore(again, tmp_path, sheet="s.tsv")
    assert "session_description" not in restored.sheet
    assert "session_description" in restored.config


def test_nothing_says_whose_machine_it_was(make_outcome, tmp_path):
    motion = {"shifts_from": "/home/jane/results/green/motion/motion.h5"}
    own = {"select": {"curation": "/home/jane/by_hand.csv"}, "refine": {"start": "../jane/components.h5"}}
    path = export(make_outcome, tmp_path / "a.nwb", config_with(motion=motion, **own))
    assert b"jane" not in path.read_bytes()
    run = read_run(path)
    assert run.settings["motion"]["shifts_from"] == "green"
    remarks = " ".join(restore([run], tmp_path, sheet="s.tsv").remarks)
    for text in ("names the recording green", "names by_hand.csv", "names components.h5", "raw files are not there"):
        assert text in remarks


def test_keys_that_name_files_are_marked():
    told = {
        name
        for name, field in documented_keys(Config)
        if any(word in (field.description or "") for word in (".npz", ".npy", ".h5", "CSV of", "TIFF"))
    }
    assert told
    assert told <= set(file_keys())
    kept = portable("refine", {"start": "edited/c.h5", "rounds": 2, "recording": {"axes": "/TYX"}})
    assert kept == {"start": "edited/c.h5", "rounds": 2, "recording": {"axes": "/TYX"}}
    assert portable_path("s3://bucket/x/m.npz") == "m.npz"


def test_files_keep_as_many_folders_as_tell_them_apart():
    assert short_names(["/d/a/m_1.tif", "/d/b/m_2.tif"]) == ["m_1.tif", "m_2.tif"]
    assert short_names(["/d/a/m.tif", "/d/b/m.tif"]) == ["a/m.tif", "b/m.tif"]


def test_results_of_stages_that_were_told_different_things_are_refused(make_outcome, tmp_path):
    path = export(make_outcome, tmp_path / "a.nwb", config_with())
    with h5py.File(path, "a") as file:
        record = json.loads(file["general/data_collection"].asstr()[()])
        record["settings"]["refine"]["recording"]["decay_time_s"] = 0.4
        file["general/data_collection"][()] = json.dumps(record)
    with pytest.raises(PipelineError, match=r"`decay_time_s` .*do not belong together"):
        read_run(path)


@pytest.mark.parametrize("content", [None, "two photons", "{}"])
def test_a_file_that_does_not_say_how_it_was_made_is_refused(tmp_path, content):
    with h5py.File(tmp_path / "x.nwb", "w") as file:
        if content:
            file["general/data_collection"] = content
    with pytest.raises(PipelineError, match="does not say how its results were made"):
        read_run(tmp_path / "x.nwb")


def test_settings_that_this_version_does_not_know_are_named(make_outcome, tmp_path):
    run = read_run(export(make_outcome, tmp_path / "a.nwb", config_with()))
    run.settings["merge"]["old_key"] = 3
    with pytest.raises(PipelineError, match=r"a\.nwb, made by caiman_pipeline .*unknown key `merge.old_key`"):
        restore([run], tmp_path, sheet="s.tsv")
