"""A job is handed the keys that its stage reads, and no others: each reruns what it concerns."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any, get_args

import numpy as np
import pytest
from test_whole_chain import Chain

from caiman_pipeline.config.base import Count, Length, Section, UndeclaredKeyError
from caiman_pipeline.config.motion import MotionSettings
from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.config.root import Config, load_config, resolve_stage
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.results import provenance
from caiman_pipeline.results.job_settings import load_stage
from caiman_pipeline.stages import ALL, REGISTRY, SECTIONS, STAGES

FACTS = {
    "frame_rate_hz": 20,
    "decay_time_s": 0.7,
    "cell_diameter": "8 px",
    "axes": "TYX",
    "pixel_size_um": 1.5,
    "plane_spacing_um": 4.0,
    "planes": "1",
    "subject_id": "m1",
    "age": "P90D",
    "indicator": "GCaMP6f",
    "experimenter": "Roe, Jane",
    "emission_nm": 520.0,
    "excitation_nm": 920.0,
    "session_start": "2024-05-17T09:30:00+02:00",
}


@pytest.fixture(scope="module")
def keys_read(tmp_path_factory):
    """Every key that each stage's job asked its settings for, by stage and section, in a run of all of them."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    plain = Section.__getattribute__

    def noting(self: Section, name: str) -> Any:
        ledger = provenance._LEDGER.get()
        section = "recording" if type(self) is RecordingSettings else type(self).stage
        if ledger is not None and ledger.stage and section and name in type(self).model_fields:
            found[ledger.stage, section].add(name)
        return plain(self, name)

    folder = tmp_path_factory.mktemp("chain")
    np.save(folder / "m.npy", np.random.default_rng(0).poisson(50, (90, 40, 52)).astype(np.uint16))
    facts = {name: value for name, value in FACTS.items() if name != "planes"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Section, "__getattribute__", noting)
        Chain(folder, load_config({"recording": {**facts, "plane_spacing_um": None}})).run()
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_a_job_reads_all_that_its_stage_lists(keys_read, stage):
    """And nothing else: it would have failed. Of whole sections, what is read depends on their values."""
    for section, keys in STAGES[stage].reads.items():
        listed = set() if keys == ALL else set(keys)
        # Which of the traces' keys change the updates is told by test_denoise.
        if (stage, section) != ("refine", "traces"):
            assert listed <= keys_read[stage, section], section


def test_to_read_a_key_that_is_not_listed_fails():
    handed = resolve_stage(load_config({"recording": FACTS, "motion": {"interpolation": "fourier"}}), "motion_template")
    assert "interpolation" not in handed
    for given in (handed, {**handed, "interpolation": "fourier"}):
        settings, facts = load_stage("motion_template", MotionSettings, json.dumps(given))
        assert settings.method == "piecewise"
        for section, name in ((settings, "interpolation"), (facts, "lab")):
            with pytest.raises(UndeclaredKeyError, match=rf"{name}`, which its stage in .*stages.py does not list"):
                getattr(section, name)


def _others(name: str, field: Any) -> list[Any]:
    """Return values that a key may take, to find one that is allowed and is not what it has."""
    kinds = [field.annotation, *get_args(field.annotation)]
    default, words = field.default, [v for k in kinds for v in (k, *get_args(k)) if isinstance(v, str | int)]
    if name in ("bad_frames", "region"):
        return [["3"], [[1, 30], [2, 40]]]
    if isinstance(default, bool):
        return [not default]
    if Length in kinds:
        return ["31 px"]
    if Count in kinds:
        return ["7 per tile"]
    if isinstance(default, int | float):
        return [*words, -default, default + 1, default * 0.9, default * 1.3]
    if isinstance(default, tuple):
        return [tuple(0.9 * v for v in default)]
    return [*words, 7.5, 0.4, "other.h5", "TYX", "2", "Mus musculus", "P20D", "2024-01-01T00:00:00+00:00"]


def _cases() -> list[tuple[str, str]]:
    return [
        (section, name)
        for section in (*SECTIONS, "recording")
        for name, field in Config.model_fields[section].annotation.model_fields.items()
        if not isinstance(field.default, Section)
    ]


def _changed(section: str, name: str) -> Config:
    """Return a config in which one key, or each of the ways of a search, is another than by default."""
    field = Config.model_fields[section].annotation.model_fields[name]
    now = getattr(load_config({"recording": FACTS}), section)
    for value in _others(name, field):
        sections = {"recording": dict(FACTS)}
        sections.setdefault(section, {})[name] = value
        if name == "init":
            sections[section][name] = "greedy_roi"
        try:
            config = load_config(sections)
        except PipelineError:
            continue
        if getattr(getattr(config, section), name) != getattr(now, name):
            return config
    raise AssertionError(f"no other value for {section}.{name}")


@pytest.mark.parametrize(("section", "name"), _cases())
def test_a_key_changes_what_is_handed_to_the_stages_that_read_it_and_to_no_other(section, name):
    """Facts that lengths are turned into pixels by change these as well."""
    before, after = load_config({"recording": FACTS}), _changed(section, name)
    changed = {s.name for s in REGISTRY if resolve_stage(before, s.name) != resolve_stage(after, s.name)}
    readers = {s.name for s in REGISTRY if s.reads.get(section) == ALL or name in s.reads.get(section, ())}
    if (section, name) in (("recording", "cell_diameter"), ("recording", "planes"), ("recording", "plane_spacing_um")):
        assert readers <= changed
    elif (section, name) == ("recording", "pixel_size_um"):
        assert readers == changed  # square pixels, of a movie whose lengths are in pixels and cells
    elif (section, name) == ("recording", "frame_rate_hz"):
        assert readers <= changed
    else:
        assert changed == readers


@pytest.mark.parametrize("rate", [7.3, 29.97, 30.0])
def test_durations_of_the_same_frames_are_the_same_and_count_the_same(rate):
    rng = np.random.default_rng(1)
    facts = {**FACTS, "frame_rate_hz": rate}
    for value in rng.uniform(0.0, 3.0, 200):
        sections = {
            "motion": {"smoothing_s": value},
            "summary_images": {"average_s": value},
            "evaluate": {"motion_window_s": value + 0.01},
        }
        config = load_config({"recording": facts, **sections})
        handed = resolve_stage(config, "motion_correct")
        settings, _ = load_stage("motion_correct", MotionSettings, json.dumps(handed))
        assert round(settings.smoothing_s * rate) == round(value * rate)
        average = resolve_stage(config, "summary_images")["average_s"]
        assert max(1, round(average * rate)) == max(1, round(value * rate))
        window = resolve_stage(config, "evaluate")["motion_window_s"]
        assert round(window * rate) == round((value + 0.01) * rate)
        nearby = load_config({"recording": facts, "motion": {"smoothing_s": round(value * rate) / rate}})
        assert resolve_stage(nearby, "motion_correct")["smoothing_s"] == handed["smoothing_s"]


@pytest.mark.parametrize("written", ["20 px", "26 um", "2 cells"])
def test_a_length_is_the_same_however_it_is_written(written):
    known = {**FACTS, "pixel_size_um": 1.3, "cell_diameter": "10 px", "plane_spacing_um": None}
    config = load_config({"recording": known, "motion": {"max_shift": written}})
    assert resolve_stage(config, "motion_template")["max_shift"] == "20 px"
