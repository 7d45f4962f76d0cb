"""Results and records come back from their files as they were."""

from __future__ import annotations

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
from scipy.sparse import csc_matrix, random_array

from caiman_pipeline import __version__
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.motion import Shifts
from caiman_pipeline.model.movie import MovieInfo, SourceFile
from caiman_pipeline.results.files import load_result, save_result
from caiman_pipeline.results.provenance import kept_ledger
from caiman_pipeline.results.records import (
    components_from_result,
    components_to_arrays,
    load_movie_info,
    quality_from_result,
    quality_to_arrays,
    save_movie_info,
    shifts_from_result,
    shifts_to_arrays,
    traces_from_result,
    traces_to_arrays,
)


def same(a, b):
    if isinstance(a, csc_matrix):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert (a != b).nnz == 0
    elif isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b, strict=True)
    elif hasattr(a, "__dataclass_fields__"):
        for name in a.__dataclass_fields__:
            same(getattr(a, name), getattr(b, name))
    elif isinstance(a, tuple):
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        assert a == b
        assert type(a) is type(b) or isinstance(b, np.generic)


def round_trip(path, arrays, kind="k"):
    save_result(path, kind=kind, arrays=arrays, settings={"b": 1, "a": [2.5, None]}, source={"recording": "ü"})
    return load_result(path, kind)


def test_arrays_of_every_kind_come_back_with_their_type(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "single": rng.normal(size=(3, 5)).astype(np.float32),
        "double": rng.normal(size=4),
        "ids": np.arange(3),
        "flags": np.array([True, False]),
        "none": np.zeros((0, 7), np.float32),
        "nan": np.array([np.nan, np.inf]),
        "sparse": csc_matrix(random_array((11, 4), density=0.3, rng=rng)).astype(np.float32),
        "empty_sparse": csc_matrix((11, 0), dtype=np.float32),
        "texts": ("a", "", "µm"),
        "no_texts": (),
        "text": "one",
    }
    found = round_trip(tmp_path / "r.h5", arrays)
    assert set(found.arrays) == set(arrays)
    for name, value in arrays.items():
        same(value, found[name])
    assert found.settings == {"a": [2.5, None], "b": 1}
    assert found.source == {"recording": "ü"}
    with h5py.File(tmp_path / "r.h5") as file:
        assert file.attrs["version"] == __version__


def test_same_result_is_the_same_bytes(tmp_path):
    arrays = {"x": np.arange(5.0), "s": csc_matrix(np.eye(3)), "t": ("a", "b")}
    for name in ("a.h5", "b.h5"):
        round_trip(tmp_path / name, arrays)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize("dims", [(19, 31), (5, 19, 31)], ids=["plane", "volume"])
@pytest.mark.parametrize("n_components", [4, 0])
def test_records_come_back_as_they_were(tmp_path, make_outcome, dims, n_components):
    outcome = make_outcome(dims, n_components, 60)
    same(
        outcome.components, components_from_result(round_trip(tmp_path / "c", components_to_arrays(outcome.components)))
    )
    same(outcome.traces, traces_from_result(round_trip(tmp_path / "t", traces_to_arrays(outcome.traces))))
    same(outcome.quality, quality_from_result(round_trip(tmp_path / "q", quality_to_arrays(outcome.quality))))


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("bent", [True, False])
def test_shifts_come_back_with_or_without_a_field(tmp_path, ndim, bent):
    rng, grid = np.random.default_rng(0), tuple(np.linspace(0, 40, n) for n in (3, 5, 4)[:ndim])
    rigid = rng.normal(size=(6, ndim)).astype(np.float32)
    field = rng.normal(size=(6, *(len(g) for g in grid), ndim)).astype(np.float32)
    shifts = Shifts(rigid, field, grid) if bent else Shifts(rigid)
    same(shifts, shifts_from_result(round_trip(tmp_path / "s", shifts_to_arrays(shifts))))


INFO = MovieInfo(
    recording="r",
    files=(SourceFile("a b/ü_1.tif", 7, 123, 9**18), SourceFile("2.tif", 3, 5, 6)),
    axes=None,
    dataset="x/y",
    dims=(3, 20, 31),
    dtype="int16",
    frame_rate_hz=29.97,
    value_min=-13.0,
    value_max=4000.5,
    saturated_fraction=1e-5,
    bad_frames=(0, 9),
    border_px=((0, 0), (1, 2), (3, 0)),
    warnings=("some",),
)


def test_movie_info_comes_back_as_it_was(tmp_path):
    for info in (INFO, replace(INFO, axes="TZYX", dataset=None, bad_frames=(), warnings=())):
        save_movie_info(tmp_path / "i.json", info)
        assert load_movie_info(tmp_path / "i.json") == info
    assert (INFO.n_frames, INFO.n_pixels) == (10, 3 * 20 * 31)


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.pop("schema"),
        lambda r: r.update(schema=99),
        lambda r: r.pop("dims"),
        lambda r: r.update(unknown=1),
        lambda r: r.update(files=[{"path": "x"}]),
        lambda r: r.update(border_px=3),
    ],
)
def test_foreign_movie_info_is_named(tmp_path, change):
    save_movie_info(tmp_path / "i.json", INFO)
    record = json.loads((tmp_path / "i.json").read_text())
    change(record)
    (tmp_path / "i.json").write_text(json.dumps(record))
    with pytest.raises(PipelineError, match=r"i\.json.*elete it.*the stage `inspect` makes it anew"):
        load_movie_info(tmp_path / "i.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", None])
def test_unreadable_movie_info_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "i.json").write_bytes(content)
    with pytest.raises(PipelineError, match=r"i\.json"):
        load_movie_info(tmp_path / "i.json")


def test_result_of_another_kind_or_schema_is_refused(tmp_path):
    round_trip(tmp_path / "r.h5", {"x": np.arange(3)})
    with pytest.raises(PipelineError, match=r"r\.h5: expected a 'traces' result, found a 'k' result"):
        load_result(tmp_path / "r.h5", "traces")
    with h5py.File(tmp_path / "r.h5", "a") as file:
        file.attrs["schema"] = 99
    with pytest.raises(PipelineError, match=r"by a later version .* as schema 99; this one reads schema 1\. Use that"):
        load_result(tmp_path / "r.h5", "k")


def test_a_result_of_an_earlier_form_says_who_wrote_it_and_which_stage_makes_it_anew(tmp_path):
    path = tmp_path / "selection.h5"
    with kept_ledger("select"):
        save_result(path, kind="selection", arrays={"ids": np.arange(3)}, settings={}, source={})
    with h5py.File(path, "a") as file:
        file.attrs["schema"] = 0
    with pytest.raises(PipelineError) as raised:
        load_result(path, "selection")
    assert str(raised.value).startswith(f"{path}: written by another version of caiman_pipeline ({__version__}")
    assert str(raised.value).endswith(
        "as schema 0; this one reads schema 1. Delete it and run the workflow again: the stage `select` makes it anew."
    )


def test_a_file_that_is_no_result_is_said_to_be_none(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["data"] = np.arange(3)
    with pytest.raises(PipelineError, match=r"x\.h5: expected a 'traces' result, found a file that is no result"):
        load_result(tmp_path / "x.h5", "traces")


def test_damaged_result_is_named(tmp_path):
    round_trip(tmp_path / "r.h5", {"x": np.arange(1000)})
    data = (tmp_path / "r.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.h5").write_text("no HDF5")
    for name in ("cut.h5", "text.h5", "none.h5"):
        with pytest.raises(PipelineError, match=rf"{name}: not a readable result"):
            load_result(tmp_path / name, "k")


def test_a_result_of_a_version_that_wrote_other_arrays_is_named_with_that_version(tmp_path):
    """What a stage asks for and does not find, and what it finds and does not know, is foreseen."""
    path = tmp_path / "t.h5"
    loaded = round_trip(path, {"rigid": np.zeros((5, 2))}, kind="motion")
    for ask in (lambda r: r["gain"], lambda r: r.arrays["gain"]):
        with pytest.raises(PipelineError, match=r"t\.h5: lacks `gain`: it was written by another version") as raised:
            ask(loaded)
        assert f"({__version__}" in str(raised.value)
    assert "gain" not in loaded
    assert loaded.arrays.get("gain") is None


@pytest.mark.parametrize("kind", ["quality", "traces"])
def test_measures_and_traces_of_another_version_are_not_taken(make_outcome, tmp_path, kind):
    """Of a table with a column fewer, and one more, the file is named."""
    to_arrays = {"quality": quality_to_arrays, "traces": traces_to_arrays}[kind]
    rebuilt = {"quality": quality_from_result, "traces": traces_from_result}[kind]
    arrays = to_arrays(getattr(make_outcome((19, 31), 4, 60), kind))
    fewer = {name: values for name, values in arrays.items() if name not in ("snr", "f0")}
    with pytest.raises(PipelineError, match=r"fewer\.h5: lacks `(snr|f0)`: it was written by another version"):
        rebuilt(round_trip(tmp_path / "fewer.h5", fewer))
    with pytest.raises(PipelineError, match=r"more\.h5: holds `novelty`, which this version does not know"):
        rebuilt(round_trip(tmp_path / "more.h5", {**arrays, "novelty": arrays["ids"]}))
