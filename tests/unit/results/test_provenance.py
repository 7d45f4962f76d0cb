from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace

import h5py
import numpy as np
import pytest

from caiman_pipeline.batch.verify import verify_recording
from caiman_pipeline.cli.main import run_verb
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import MovieInfo
from caiman_pipeline.movies.identity import identify
from caiman_pipeline.movies.store.bounds import block_parts, part_length
from caiman_pipeline.movies.store.parts import find_stored, write_index
from caiman_pipeline.movies.store.writing import PartWriter, keep_elsewhere
from caiman_pipeline.results.files import load_result, save_result
from caiman_pipeline.results.provenance import describe, kept_ledger, note_settings, note_warning, of_another_run
from caiman_pipeline.results.records import load_movie_info, save_movie_info


def _save(path, values, kind="merged"):
    save_result(path, kind=kind, arrays={"x": np.asarray(values), "t": ("a", "b")}, settings={"k": 1}, source={})


@pytest.fixture
def recording(tmp_path):
    """A recording of two results, the second made from the first and a raw file."""
    raw, folder = tmp_path / "m.tif", tmp_path / "results/rec"
    raw.write_bytes(b"frames")
    source = replace(identify(str(raw), 3, n_files=1), sha256=hashlib.sha256(b"frames").hexdigest())
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
        record = json.loads(file.attrs["provenance"])
    assert [f["path"].rsplit("/", 1)[1] for f in record["raw_files"]] == ["m.tif"]
    assert list(record["made_from"]) == ["../merge/components.h5"]
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
    assert "m.tif raw file has 12 bytes where it had 6" in _problems(recording)


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
    assert describe(tmp_path / "b.h5")["made_from"] == {}
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


def test_a_raw_file_that_was_only_touched_is_the_same_file(recording):
    os.utime(recording.parents[1] / "m.tif", (1, 1))
    assert _problems(recording) == ""


def test_changed_bytes_under_the_old_size_and_time_stamp_are_found(recording, monkeypatch):
    raw = recording.parents[1] / "m.tif"
    times = raw.stat()
    raw.write_bytes(b"frAmes")
    os.utime(raw, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert "holds other bytes" in _problems(recording)
    monkeypatch.setattr("caiman_pipeline.movies.identity._sample", lambda members, count: _stored(recording)["sample"])
    assert _problems(recording) == ""
    assert "its SHA-256 is another" in _problems(recording, checksums=True)


def _stored(recording):
    return json.loads((recording / "inspect/movie_info.json").read_text())["files"][0]


def test_relative_raw_files_are_found_from_any_folder(recording, tmp_path, monkeypatch):
    info = load_movie_info(recording / "inspect/movie_info.json")
    files = (replace(info.files[0], path="m.tif"),)
    save_movie_info(recording / "inspect/movie_info.json", replace(info, files=files))
    for name in ("merge", "refine"):
        (recording / name / "components.h5").unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert _problems(recording) == ""


@pytest.fixture
def second_channel(recording):
    """Another recording whose motion was made from the first one's, under the same name in its own folder."""
    first, second = recording / "motion/motion.h5", recording.parent / "red/motion"
    first.parent.mkdir()
    second.mkdir(parents=True)
    _save(first, [1], "motion")
    with kept_ledger(), of_another_run():
        load_result(first, "motion")
        _save(second / "template.h5", [2], "motion_template")
    with kept_ledger():
        load_result(second / "template.h5", "motion_template")
        _save(second / "motion.h5", [3], "motion")
    return second.parent


def test_motion_taken_from_another_recording_is_no_alarm(second_channel, recording):
    assert _problems(second_channel) == ""
    _save(recording / "motion/motion.h5", [4], "motion")
    assert "template.h5 was made from another rec/motion/motion.h5" in _problems(second_channel)


@pytest.mark.parametrize("damage", [False, True])
def test_parts_on_an_object_store_are_verified_too(tmp_path, damage):
    folder, dims = tmp_path / "rec/movie", (11, 17)
    folder.mkdir(parents=True)
    url = f"file://{tmp_path}/store/1-of-1.zarr"
    parts = block_parts(40, dims, 0, 1)
    keep_elsewhere(folder, url, dims=dims, parts=parts)
    movie = np.random.default_rng(1).random((*dims, 40), np.float32)
    with PartWriter(folder) as writer:
        for index, start, stop in parts:
            writer.write(index, movie[..., start:stop])
    listed = [part for _, part in sorted(find_stored(folder).items())]
    write_index(folder / "movie.json", dims=dims, frame_rate_hz=1.0, parts=listed, valid=np.ones(dims, bool), source={})
    assert part_length(dims) >= 40
    if damage:
        shard = next(p for p in (tmp_path / "store").rglob("c/**/*") if p.is_file())
        shard.write_bytes(shard.read_bytes()[:200] + b"damage" + shard.read_bytes()[206:])
    problems = " ".join(f.problem for f in verify_recording(tmp_path / "rec", checksums=True).findings)
    assert ("cannot be read" in problems) == damage


def test_a_part_that_is_cut_short_is_found(tmp_path):
    folder, dims = tmp_path / "rec/movie", (11, 17)
    folder.mkdir(parents=True)
    with PartWriter(folder) as writer:
        writer.write(0, np.ones((*dims, 40), np.float32))
    parts = [replace(find_stored(folder)[0], stop=40)]
    write_index(folder / "movie.json", dims=dims, frame_rate_hz=1.0, parts=parts, valid=np.ones(dims, bool), source={})
    part = folder / "part-00000.npy"
    part.write_bytes(part.read_bytes()[:-9])
    found = verify_recording(tmp_path / "rec", checksums=True).findings
    assert [f.path.name for f in found] == ["part-00000.npy"]


def _stages(path):
    with h5py.File(path) as file:
        return json.loads(file.attrs["provenance"])["stages"]


def test_results_know_what_every_stage_before_them_ran_with(tmp_path):
    with kept_ledger("merge"):
        note_settings("merge", {"merge": True})
        note_warning("odd")
        _save(tmp_path / "merged.h5", [1])
    with kept_ledger("refine"):
        note_settings("refine", {"rounds": 2, "recording": {"frame_rate_hz": 30.0}})
        load_result(tmp_path / "merged.h5", "merged")
        _save(tmp_path / "refined.h5", [2])
    stages = _stages(tmp_path / "refined.h5")
    assert stages["merge"]["settings"] == {"merge": True}
    assert stages["merge"]["warnings"] == ["odd"]
    assert stages["refine"]["settings"] == {"rounds": 2, "recording": {"frame_rate_hz": 30.0}}
    assert stages["refine"]["version"]


def test_settings_of_another_recording_are_not_ones_own(tmp_path):
    with kept_ledger("merge"):
        note_settings("merge", {"merge": True})
        _save(tmp_path / "other.h5", [1])
    with kept_ledger("refine"):
        note_settings("refine", {"start": "other.h5"})
        with of_another_run():
            load_result(tmp_path / "other.h5", "merged")
        _save(tmp_path / "refined.h5", [2])
    assert list(_stages(tmp_path / "refined.h5")) == ["refine"]


def test_jobs_that_share_a_stage_bring_their_warnings_together(tmp_path):
    for share, texts in (("a", ("mask 1", "mask 2")), ("b", ("mask 2", "mask 3"))):
        with kept_ledger("patch_cnmf"):
            note_settings("patch_cnmf", {})
            for text in texts:
                note_warning(text)
            _save(tmp_path / f"{share}.h5", [1])
    with kept_ledger("merge"):
        for share in "ab":
            load_result(tmp_path / f"{share}.h5", "merged")
        _save(tmp_path / "merged.h5", [2])
    assert _stages(tmp_path / "merged.h5")["patch_cnmf"]["warnings"] == ["mask 1", "mask 2", "mask 3"]
