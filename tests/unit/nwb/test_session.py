"""What the NWB file says of session, subject and imaging: what was given, and nothing else."""

from __future__ import annotations

import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

from caiman_pipeline.config.recording import ARCHIVE_LIKES, ARCHIVE_NEEDS, RecordingSettings
from caiman_pipeline.config.root import Config
from caiman_pipeline.config.sheet import load_sheet
from caiman_pipeline.nwb.write import write_nwb
from caiman_pipeline.outcome import component_table

NEEDED = {"frame_rate_hz": "10", "decay_time_s": "0.7", "cell_diameter": "9 px"}
SHEETS = {
    "fly": {"species": "Drosophila melanogaster", "indicator": "jGCaMP8m", "location": "mushroom body", "sex": "F"},
    "fish": {"species": "Danio rerio", "subject_id": "z1", "age": "P6D", "excitation_nm": "488"},
    "rat": {"subject_id": "r 7", "species": "Rattus norvegicus", "emission_nm": "525", "lab": "One photon"},
    "nothing": {},
}
# What the pipeline says of its own accord in text datasets below `general`.
OWN_WORDS = ("unknown", "calcium imaging", "U")


def facts_of(cells: dict[str, str], folder: Path) -> RecordingSettings:
    """Return the facts as a sheet with these cells gives them."""
    cells = {"recording": "a", "files": "m.tif", **NEEDED, **cells}
    (folder / "sheet.tsv").write_text("\t".join(cells) + "\n" + "\t".join(cells.values()) + "\n")
    return load_sheet(folder / "sheet.tsv", Config())["a"].config.recording


def export(outcome, facts, path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_nwb(path, outcome, component_table(outcome, pixel_um=None), facts=facts)
    return path


def said(path: Path) -> dict[str, object]:
    """Return the scalars below `general` that are facts on subject and imaging, by their last name."""
    found: dict[str, object] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and not item.shape and "data_collection" not in name:
            found[name.rsplit("/", 1)[-1]] = item.asstr()[()] if item.dtype.kind == "O" else float(item[()])

    with h5py.File(path) as file:
        file["general"].visititems(visit)
    return found


@pytest.mark.parametrize("cells", SHEETS.values(), ids=SHEETS)
def test_only_what_was_given_is_in_the_file(make_outcome, tmp_path, cells):
    facts = said(export(make_outcome(), facts_of(cells, tmp_path), tmp_path / "a.nwb"))
    names = {"excitation_nm": "excitation_lambda", "emission_nm": "emission_lambda"}
    for column, text in cells.items():
        value = facts.pop(names.get(column, column))
        assert value == (float(text) if column in names else text)
    for name in ("description", "session_id", "imaging_rate", "notes"):
        facts.pop(name, None)
    for name, value in facts.items():
        assert value in OWN_WORDS or np.isnan(value), f"{name}: {value!r} was not given"


def test_a_subject_of_whom_nothing_is_known_is_not_made_up(make_outcome, tmp_path):
    with h5py.File(export(make_outcome(), RecordingSettings(), tmp_path / "a.nwb")) as file:
        assert "subject" not in file["general"]
    with h5py.File(export(make_outcome(), RecordingSettings(species="Danio rerio"), tmp_path / "b.nwb")) as file:
        assert set(file["general/subject"]) == {"species", "sex"}
        assert file["general/subject/sex"].asstr()[()] == "U"


def _remarks(path: Path) -> set[str]:
    nwbinspector, pynwb = pytest.importorskip("nwbinspector"), pytest.importorskip("pynwb")
    assert pynwb.validate(path=str(path)) == []
    found = nwbinspector.inspect_nwbfile(nwbfile_path=str(path))
    return {m.check_function_name for m in found if m.importance.name != "BEST_PRACTICE_SUGGESTION"}


COMPLETE = {
    "subject_id": "r1",
    "species": "Rattus norvegicus",
    "sex": "M",
    "age": "P90D",
    "session_start": "2024-05-17T09:30:00+02:00",
}


def test_what_an_archive_needs_is_what_the_inspector_asks_for(make_outcome, tmp_path):
    assert set(COMPLETE) == set(ARCHIVE_NEEDS)
    assert _remarks(export(make_outcome(), facts_of(COMPLETE, tmp_path), tmp_path / "a.nwb")) == set()
    assert _remarks(export(make_outcome(), RecordingSettings(), tmp_path / "b.nwb")) == {"check_subject_exists"}
    asked = {
        "subject_id": "check_subject_id_exists",
        "species": "check_subject_species_exists",
        "age": "check_subject_age",
    }
    for left_out, check in asked.items():
        cells = {name: text for name, text in COMPLETE.items() if name != left_out}
        assert _remarks(export(make_outcome(), facts_of(cells, tmp_path), tmp_path / "c.nwb")) == {check}


def test_no_fact_has_a_default_but_what_every_recording_here_is():
    given = {name: value for name, value in RecordingSettings() if value is not None}
    assert given == {"kind": "two_photon", "session_description": "calcium imaging"}
    assert RecordingSettings().missing_for_archive() == (list(ARCHIVE_NEEDS), list(ARCHIVE_LIKES))
