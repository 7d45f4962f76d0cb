"""Numbers of cells: kept when sessions are added, never used again, changed by hand."""

import pytest

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.sessions.identity import corrected, lasting_ids, read_corrections

HEADER = "group,action,cell,recording,component\n"


def test_first_numbers_count_from_the_next_one():
    assert lasting_ids([[("a", 1)], [("a", 2), ("b", 5)]], {}, 1) == ([1, 2], 3)


def test_a_cell_keeps_the_number_of_most_of_its_components():
    before = {("a", 1): 7, ("b", 1): 7, ("c", 4): 9, ("a", 2): 3}
    sets = [[("c", 4), ("d", 1)], [("a", 1), ("b", 1), ("d", 2)], [("d", 3)], [("a", 2)]]
    assert lasting_ids(sets, before, 10) == ([9, 7, 10, 3], 11)


def test_of_two_cells_that_became_one_the_larger_keeps_its_number_and_a_split_one_is_new_in_part():
    before = {("a", 1): 1, ("b", 1): 1, ("c", 1): 2}
    assert lasting_ids([[("a", 1), ("b", 1), ("c", 1)]], before, 3) == ([1], 3)
    assert lasting_ids([[("a", 1)], [("b", 1), ("d", 1)]], before, 3) == ([1, 3], 4)


CELLS = {("a", 1): 1, ("b", 1): 1, ("c", 1): 2, ("b", 2): 2}


def _table(tmp_path, *rows):
    path = tmp_path / "corrections.csv"
    path.write_text(HEADER + "".join(f"{r}\n" for r in rows))
    return path


def test_join_takes_the_place_of_what_was_there_and_cut_makes_a_cell(tmp_path):
    rows = read_corrections(_table(tmp_path, "m,join,1,b,2", "m,cut,2,c,1", "other,cut,1,a,1"), "m")
    cells, decided, next_id = corrected(CELLS, rows, 3, left_out=())
    assert cells == {("a", 1): 1, ("b", 2): 1, ("b", 1): 3, ("c", 1): 4}
    assert decided == {("b", 1), ("b", 2), ("c", 1)}
    assert next_id == 5
    assert CELLS[("b", 2)] == 2


def test_recordings_that_are_left_out_have_nothing_to_correct(tmp_path):
    rows = read_corrections(_table(tmp_path, "m,join,1,z,2"), "m")
    assert corrected(CELLS, rows, 3, left_out=("z",))[0] == CELLS


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("m,glue,1,b,2", "line 2: expected join or cut"),
        ("m,join,one,b,2", "line 2: expected join or cut"),
        ("m,join,1,b,9", "line 2: recording 'b' has no component 9"),
        ("m,join,8,b,2", "line 2: there is no cell 8"),
        ("m,cut,1,c,1", "line 2: component 1 of 'c' is cell 2"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path, row, message):
    with pytest.raises(PipelineError, match=message):
        corrected(CELLS, read_corrections(_table(tmp_path, row), "m"), 3, left_out=())


def test_a_table_without_its_columns_or_that_is_not_there(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("group,cell\n")
    with pytest.raises(PipelineError, match="lacks action"):
        read_corrections(path, "m")
    with pytest.raises(PipelineError, match="cannot be read"):
        read_corrections(tmp_path / "none.csv", "m")
