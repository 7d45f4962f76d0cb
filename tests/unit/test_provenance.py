from __future__ import annotations

import h5py
import numpy as np
import pytest

from caiman_pipeline.cli.main import run_verb
from caiman_pipeline.errors import PipelineError
from caiman_pipeline.io.records import load_movie_info, save_movie_info
from caiman_pipeline.io.results import load_result, save_result
from caiman_pipeline.provenance import describe, kept_ledger
from caiman_pipeline.types import MovieInfo, SourceFile
from caiman_pipeline.verifying import verify_recording


def _save(path, values, kind="merged"):
    save_result(path, kind=kind, arrays={"x": np.asarray(values), "t": ("a", "b")}, settings={"k": 1}, source={})


@pytest.fixture
def recording(tmp_path):
    """A recording of two results, the second made from the first and a raw file."""
    raw, folder = tmp_path / "m.tif", tmp_path / "results/rec"
    raw.write_bytes(b"frames")
    status = raw.stat()
    source = SourceFile(str(raw), 3, status.st_size, status.st_mtime_ns)
    info = MovieInfo("rec", (source,), None, None, (4, 6), "u2", 30.0, 0.0, 9.0, 0.0, (), ((0, 0), (0, 0)), ())
    for name in ("inspect", "merge", "refine"):
        (folder / name).mkdir(parents=True)
    save_movie_info(folder / "inspect/movie_info.json", info)
    with kept_ledger():
        load_movie_info(folder / "inspect/movie_info.json")
        _save(folder / "merge/components.h5", [1, 2])
    with kept_ledger():
        load_result(folder / "merge/components.h5", "merged")
        _save(folder / "refine/components.h5", [3, 4])
    return folder


def _problems(recording, checksums=False):
    return " ".join(f"{f.path.name} {f.problem}" for f in verify_recording(recording, checksums=checksums).findings)


def test_untouched_results_verify(recording):
    found = verify_recording(recording, checksums=True)
    assert found.findings == ()
    assert found.n_files == 3


def test_every_result_knows_the_raw_file_and_what_it_was_made_from(recording):
    with h5py.File(recording / "refine/components.h5") as file:
        import json

        record = json.loads(file.attrs["provenance"])
    assert [f["path"].rsplit("/", 1)[1] for f in record["raw_files"]] == ["m.tif"]
    assert list(record["made_from"]) == ["merge/components.h5"]
    assert record["environment"]["numpy"] == np.__version__


def test_changed_bytes_are_found(recording):
    with h5py.File(recording / "refine/components.h5", "a") as file:
        file["x"][0] = 7
    assert "content is not what was written" in _problems(recording)


def test_a_result_made_from_another_is_found(recording):
    _save(recording / "merge/components.h5", [5, 6])
    assert "was made from another merge/components.h5" in _problems(recording)


def test_a_changed_raw_file_is_found(recording):
    (recording.parents[1] / "m.tif").write_bytes(b"other frames")
    assert "another size or time stamp" in _problems(recording)


def test_leftovers_of_killed_jobs_and_unreadable_files_are_found(recording):
    (recording / "merge/.components.h5.host.1.abc.part").write_bytes(b"half")
    (recording / "refine/components.h5").write_bytes(b"\x89HDF")
    assert "left behind" in _problems(recording)
    assert "components.h5 not readable" in _problems(recording)


def test_two_runs_give_the_same_digest(tmp_path):
    _save(tmp_path / "a.h5", [1.5, 2])
    _save(tmp_path / "b.h5", [1.5, 2])
    with h5py.File(tmp_path / "a.h5") as a, h5py.File(tmp_path / "b.h5") as b:
        assert a.attrs["digest"] == b.attrs["digest"]


def test_nothing_is_noted_outside_of_a_job(tmp_path):
    _save(tmp_path / "a.h5", [1])
    load_result(tmp_path / "a.h5", "merged")
    assert describe()["made_from"] == {}
    with pytest.raises(PipelineError):
        load_result(tmp_path / "a.h5", "other")


def test_the_verb_takes_the_config_s_folder_and_no_id_that_is_not_there(recording, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (recording / "logs").mkdir()
    (tmp_path / "config").mkdir()
    (tmp_path / "results").rename(tmp_path / "elsewhere")
    (tmp_path / "config/config.yaml").write_text("paths: {results: elsewhere}\n")
    run_verb("verify", [])
    assert "rec: ok, 3 results" in capsys.readouterr().out
    with pytest.raises(PipelineError, match="no recording nope there"):
        run_verb("verify", ["--recordings", "nope"])
