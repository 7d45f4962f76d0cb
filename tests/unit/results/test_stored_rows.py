"""Tables that stay in their file are indexed as if they were in memory."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from caiman_pipeline.results import stored_rows as rows_module
from caiman_pipeline.results.files import add_arrays, content_digest, load_result, result_file, save_result
from caiman_pipeline.results.stored_rows import StackedRows, row_blocks, stack_rows

TABLE = np.random.default_rng(0).normal(size=(9, 13)).astype(np.float32)
FIELD = np.random.default_rng(1).normal(size=(9, 3, 4, 2)).astype(np.float32)


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "a.h5"
    save_result(path, kind="k", arrays={"table": TABLE, "field": FIELD, "ids": np.arange(9)}, settings={}, source={})
    return load_result(path, "k", stored=("table", "field"))


@pytest.mark.parametrize(
    "key",
    [
        3,
        -1,
        np.int64(2),
        slice(2, 5),
        slice(None),
        slice(4, 4),
        slice(None, None, 2),
        np.array([5, 1, 1]),
        np.array([], int),
        np.arange(9) % 2 == 0,
        (slice(None), slice(3, 7)),
        (np.array([8, 0]), slice(2, None)),
        (4, slice(0, 3)),
    ],
)
@pytest.mark.parametrize(("name", "array"), [("table", TABLE), ("field", FIELD)])
def test_any_index_gives_what_it_gives_of_an_array(stored, name, array, key):
    np.testing.assert_array_equal(stored[name][key], array[key], strict=True)


def test_shape_type_and_the_whole_are_the_arrays(stored):
    table = stored["field"]
    assert (table.shape, table.ndim, len(table), table.dtype) == (FIELD.shape, 4, 9, FIELD.dtype)
    np.testing.assert_array_equal(np.asarray(table), FIELD, strict=True)
    assert isinstance(stored["ids"], np.ndarray)


def test_taken_rows_stay_in_the_file_and_can_be_taken_again(stored):
    rows, again = np.array([7, 2, 3, 0]), np.array([1, 3])
    taken = stored["table"].take(rows, axis=0).take(again)
    assert taken.path == stored["table"].path
    np.testing.assert_array_equal(taken[:], TABLE[rows][again])
    with pytest.raises(ValueError, match="axis 0"):
        stored["table"].take(rows, axis=1)


def test_columns_alone_are_read(stored):
    read, whole = [], h5py.Dataset.__getitem__

    def counted(dataset, key, **kwargs):
        value = whole(dataset, key, **kwargs)
        read.append(value.nbytes)
        return value

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(h5py.Dataset, "__getitem__", counted)
        stored["table"][:, 3:5]
    assert sum(read) == 9 * 2 * 4


@pytest.mark.parametrize("block_bytes", [1, 100, 10**6])
def test_blocks_cover_all_rows_once_and_are_bounded(stored, monkeypatch, block_bytes):
    monkeypatch.setattr("caiman_pipeline.results.stored_rows.BLOCK_BYTES", block_bytes)
    for table in (TABLE, stored["table"], FIELD, np.zeros((0, 4)), np.zeros((5, 0))):
        blocks = list(row_blocks(table))
        assert [i for b in blocks for i in range(len(table))[b]] == list(range(len(table)))
        assert all(b.stop - b.start == 1 or table[b].nbytes <= block_bytes for b in blocks)


@pytest.mark.parametrize("block_bytes", [1, 10**6])
def test_table_filled_by_rows_is_the_result_saved_at_once(tmp_path, monkeypatch, block_bytes):
    monkeypatch.setattr("caiman_pipeline.results.stored_rows.BLOCK_BYTES", block_bytes)
    arrays = {"table": TABLE, "text": ("a", "b"), "number": 3}
    save_result(tmp_path / "whole.h5", kind="k", arrays=arrays, settings={"a": 1}, source={})
    with result_file(tmp_path / "rows.h5", kind="k", settings={"a": 1}, source={}) as file:
        table = file.create_dataset("table", TABLE.shape, np.float32)
        for row in range(len(TABLE)):
            table[row] = TABLE[row]
        add_arrays(file, {**arrays, "table": table})
    digests = []
    for name in ("whole.h5", "rows.h5"):
        with h5py.File(tmp_path / name) as file:
            digests.append((file.attrs["digest"], content_digest(file)))
    assert len({*digests[0], *digests[1]}) == 1


def test_result_that_fails_half_way_leaves_nothing(tmp_path):
    def fill_half():
        with result_file(tmp_path / "a.h5", kind="k", settings={}, source={}) as file:
            file.create_dataset("table", (3, 4), np.float32)
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        fill_half()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rows", [slice(None), slice(0, 3), slice(7, 12), slice(9, 9), slice(17, 40), slice(2, -2)])
def test_stacked_tables_are_read_as_one(stored, rows):
    whole = np.concatenate([FIELD, FIELD[:0], FIELD[2:5], FIELD])
    stacked = stack_rows([stored["field"], FIELD[:0], stored["field"].take(np.array([2, 3, 4])), FIELD])
    assert isinstance(stacked, StackedRows)
    assert (stacked.shape, len(stacked), stacked.dtype) == (whole.shape, len(whole), whole.dtype)
    np.testing.assert_array_equal(stacked[rows], whole[rows], strict=True)
    assert isinstance(stack_rows([FIELD, FIELD]), np.ndarray)


def test_tables_go_from_file_to_file_a_few_rows_at_a_time(stored, tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 2 * FIELD[0].nbytes)
    stacked, read = stack_rows([stored["field"], stored["field"]]), []
    get = rows_module.StoredRows.__getitem__
    monkeypatch.setattr(rows_module.StoredRows, "__getitem__", lambda t, k: read.append(len(get(t, k))) or get(t, k))
    save_result(tmp_path / "b.h5", kind="k", arrays={"field": stacked}, settings={}, source={})
    assert max(read) == 2
    np.testing.assert_array_equal(load_result(tmp_path / "b.h5", "k")["field"], np.concatenate([FIELD, FIELD]))
