"""Decisions by hand: how the table is read, what it overrules, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from caiman_pipeline.cli.main import run_verb
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.outcome import Outcome
from caiman_pipeline.quality.accept import Selection
from caiman_pipeline.quality.by_hand import Decision, apply_decisions, read_decisions
from caiman_pipeline.results.files import load_result
from caiman_pipeline.results.records import save_movie_info


def selection() -> Selection:
    reasons = ("snr at least 3", "snr below 1", "r_value at least 0.8")
    return Selection(np.array([2, 5, 9]), np.array([True, False, True]), reasons, np.full(3, -1, np.int8))


def table(folder: Path, text: str) -> Path:
    path = folder / "curation.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_words_notes_and_undecided_rows_are_read(tmp_path: Path) -> None:
    found = read_decisions(table(tmp_path, "roi_id,keep,note\n2,no,a vessel\n5,1,\n9,,look again\n"))
    assert found == {2: Decision(False, "a vessel"), 5: Decision(True, ""), 9: Decision(None, "look again")}


def test_the_exported_table_with_a_column_more_will_do(tmp_path: Path) -> None:
    found = read_decisions(table(tmp_path, "\ufeffid,accepted,snr,Keep\r\n5,False,0.4,TRUE\r\n9,True,8,\r\n"))
    assert found == {5: Decision(True, ""), 9: Decision(None, "")}


def test_decisions_overrule_and_say_so_and_the_rest_stays() -> None:
    before = selection()
    after = apply_decisions(before, {2: Decision(False, "a vessel"), 5: Decision(True, ""), 9: Decision(None, "")})
    assert list(after.accepted) == [False, True, True]
    assert after.reasons == ("left out by hand: a vessel", "kept by hand", "r_value at least 0.8")
    assert list(after.by_hand) == [0, 1, -1]
    assert list(before.accepted) == [True, False, True]


def test_without_decisions_nothing_changes() -> None:
    after = apply_decisions(selection(), {})
    assert (after.accepted == selection().accepted).all()
    assert after.reasons == selection().reasons


def test_an_id_that_is_not_there_is_refused() -> None:
    with pytest.raises(PipelineError, match="no component 7"):
        apply_decisions(selection(), {7: Decision(True, "")})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("roi_id,note\n2,x\n", "needs the columns"),
        ("roi_id\tkeep\n2\t1\n", "separated by commas"),
        ("", "needs the columns"),
        ("roi_id,keep\n2,maybe\n", "line 2.*'maybe'"),
        ("roi_id,keep\ntwo,yes\n", "line 2.*'two'"),
        ("roi_id,keep\n2,yes\n2,no\n", "line 3.*twice"),
    ],
)
def test_tables_without_meaning_are_explained(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        read_decisions(table(tmp_path, text))


def test_a_missing_table_is_explained(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="cannot be read"):
        read_decisions(tmp_path / "none.csv")


def test_the_verb_saves_what_somebody_decided(
    tmp_path: Path,
    make_outcome: Callable[..., Outcome],
    saved_outcome: Callable[[Outcome, Path], dict[str, Path]],
) -> None:
    outcome = make_outcome()
    quality = saved_outcome(outcome, tmp_path)["quality"]
    save_movie_info(tmp_path / "info.json", outcome.info)
    best, worst = int(outcome.components.ids[-1]), int(outcome.components.ids[0])
    decisions = table(tmp_path, f"roi_id,keep,note\n{best},no,vessel\n{worst},yes,\n")
    found = {}
    for name, curation in (("rules", None), ("by hand", str(decisions))):
        settings = {"curation": curation, "recording": {"cell_diameter": "8 px"}}
        run_verb(
            "select",
            [
                "--movie-info",
                str(tmp_path / "info.json"),
                "--quality",
                str(quality),
                "--selection",
                str(tmp_path / f"{name}.h5"),
                "--settings",
                json.dumps(settings),
            ],
        )
        found[name] = Selection(**load_result(tmp_path / f"{name}.h5", "selection").arrays)
    assert list(found["rules"].accepted[[0, -1]]) == [False, True]
    assert list(found["by hand"].accepted[[0, -1]]) == [True, False]
    assert found["by hand"].reasons[-1] == "left out by hand: vessel"
    assert set(found["rules"].by_hand) == {-1}
    assert list(found["by hand"].by_hand) == [1, *[-1] * (len(outcome.components.ids) - 2), 0]
