"""The registry of stages by itself, and which stages recordings of each kind go through."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from caiman_pipeline.config.root import Config
from caiman_pipeline.config.sheet import Recording
from caiman_pipeline.stages import ALL as ALL_KEYS
from caiman_pipeline.stages import (
    KINDS,
    MODES,
    OUTPUTS,
    REGISTRY,
    SECTIONS,
    SESSIONS,
    STAGES,
    Branch,
    Stage,
    last_stages,
    leading_to,
    needed_by,
    needs,
    path_of,
    place,
    results_of,
    stages_of,
)


def names(stages):
    return [stage.name for stage in stages]


def test_what_a_stage_reads_are_keys_of_the_config():
    for stage in REGISTRY:
        assert stage.section in stage.reads, stage.name
        for section, keys in stage.reads.items():
            known = set(Config.model_fields[section].annotation.model_fields)
            assert keys == ALL_KEYS or set(keys) <= known, f"{stage.name}, {section}"
    read = {(section, key) for stage in REGISTRY for section, keys in stage.reads.items() for key in keys}
    for section in (*SECTIONS, "recording"):
        if (section, "*") not in read:
            # The kind chooses settings, and the field says which recordings are looked at together: no job reads them.
            unread = set(Config.model_fields[section].annotation.model_fields) - {"kind", "field"}
            unread -= {key for of, key in read if of == section}
            assert not unread, f"{section}: keys that no stage reads"


def test_names_and_places_belong_to_one_stage():
    assert len(STAGES) == len(REGISTRY)
    assert len(OUTPUTS) == sum(len(stage.outputs) for stage in REGISTRY)
    assert len(set(OUTPUTS.values())) == len(OUTPUTS)
    assert all(path.startswith((*tuple(STAGES), "motion/", "movie/")) for path in OUTPUTS.values())


def test_every_stage_reads_what_one_above_it_writes():
    known = set()
    for stage in REGISTRY:
        assert set(stage.inputs) <= known, stage.name
        known |= set(stage.outputs)
        assert set(stage.passing) <= set(stage.outputs)
        assert bool(stage.scatter) == all("{item}" in path for path in stage.outputs.values())
        assert set(stage.kinds) <= set(KINDS)
        assert set(stage.modes) <= set(MODES)


def test_every_section_of_the_config_is_a_stages():
    others = ("paths", "recording", "kinds")
    assert tuple(n for n in Config.model_fields if n not in others) == (*SECTIONS, SESSIONS.section)


def test_what_a_stage_needs_follows_from_what_it_reads():
    assert needs(STAGES["select"]) == ["inspect", "refine", "evaluate"]
    assert needed_by("evaluate") == {"select", "export_nwb", "report"}
    assert needed_by("traces") == {"export_nwb", "report"}
    assert needed_by("export_nwb") == set()
    assert needed_by("no such stage") == set()
    assert names(last_stages()) == ["export_nwb", "report"]


def test_results_that_come_from_elsewhere_need_no_stage():
    way = [stage.name for stage in leading_to(last_stages())]
    assert way == list(STAGES)
    given = names(leading_to(last_stages(), given=["merged"]))
    assert given == [name for name in STAGES if name not in ("patch_cnmf", "merge")]
    assert names(leading_to([STAGES["merge"]])) == list(STAGES)[: list(STAGES).index("merge") + 1]


def test_places_below_a_recording():
    folder = Path("results/rat 1")
    assert path_of(folder, "components") == folder / "refine/components.h5"
    assert path_of(folder, "nwb") == folder / "export_nwb/rat 1.nwb"
    assert path_of(folder, "candidates", item="2-of-4") == folder / "patch_cnmf/2-of-4.h5"
    assert place("report", recording="*") == "report/*.html"
    assert results_of(folder, "patch_cnmf.2-of-4.log") == [path_of(folder, "candidates", item="2-of-4")]
    assert results_of(folder, "select.log") == [folder / "select/selection.h5"]
    assert results_of(folder, "of_an_older_version.log") == []
    assert STAGES["refine"].log == "logs/refine.log"
    assert STAGES["patch_cnmf"].benchmark == "benchmarks/patch_cnmf.{item}.tsv"


ALL = {"kinds": KINDS, "modes": MODES}


def _stage(name, reads, *writes, **more):
    outputs = {output: f"{name}/{output}.h5" for output in writes}
    return Stage(name, section=name, summary="", inputs=tuple(reads.split()), outputs=outputs, **more)


# A workflow with several ways: an online pass in place of two stages, and one of its own for voltage.
WAYS = (
    _stage("look", "", "info", **ALL),
    _stage("correct", "info", "film", kinds=KINDS),
    _stage("search", "film", "cells", kinds=KINDS[:2]),
    _stage("online", "info", "cells", kinds=KINDS[:2], modes=("online",)),
    _stage("spikes", "film", "cells", kinds=("voltage",)),
    _stage("page", "info cells", "html", **ALL),
)


@pytest.mark.parametrize(
    ("branch", "way", "page_needs"),
    [
        (Branch(), ["look", "correct", "search", "page"], ["look", "search"]),
        (Branch("one_photon"), ["look", "correct", "search", "page"], ["look", "search"]),
        (Branch("one_photon", "online"), ["look", "online", "page"], ["look", "online"]),
        (Branch("voltage"), ["look", "correct", "spikes", "page"], ["look", "spikes"]),
    ],
)
def test_recordings_of_each_kind_go_their_own_way(branch, way, page_needs):
    stages = stages_of(branch, WAYS)
    assert names(stages) == way
    assert names(last_stages(stages)) == ["page"]
    assert needs(WAYS[-1], stages) == page_needs
    assert names(leading_to(last_stages(stages), stages)) == way
    assert needed_by("look", stages) == set(way[1:])


def test_a_kind_that_nothing_is_for_is_refused():
    with pytest.raises(ValueError, match=r"kind 'voltage' in mode 'batch'"):
        stages_of(Branch("voltage"), [replace(stage, kinds=("two_photon",)) for stage in WAYS])


def test_recordings_of_today_go_through_every_stage():
    recording = Recording("a", ("a.tif",), Config())
    assert stages_of(recording.branch) == list(REGISTRY)
    assert stages_of(Branch("one_photon")) == list(REGISTRY)
    with pytest.raises(ValueError, match="voltage"):
        stages_of(Branch("voltage"))
