"""A raw file is known again, and one that was rewritten is told from it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import numpy as np
import pytest

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Reading
from caiman_pipeline.movies import identity
from caiman_pipeline.movies.identity import checksum, difference, identify, is_fetched
from caiman_pipeline.movies.inspect import inspect_recording
from caiman_pipeline.movies.readers.open import open_inspected

MOVIE = np.random.default_rng(0).integers(0, 999, (80, 21, 33)).astype(np.uint16)


def inspected(folder, *, checksums, files=1):
    paths = [str(folder / f"m{i}.npy") for i in range(files)]
    for path, frames in zip(paths, np.array_split(MOVIE, files), strict=True):
        np.save(path, frames)
    return inspect_recording(
        "r",
        paths,
        reading=Reading("TYX"),
        frame_rate_hz=20.0,
        min_frames=50,
        max_bad_fraction=0.5,
        checksums=checksums,
        threads=2,
        progress=lambda done, total: None,
    )[0]


def rewrite(path, frame, *, keep_time=False):
    """Write one pixel anew: the file keeps its size, and its time stamp if asked."""
    movie, times = np.load(path), os.stat(path)
    movie[frame, 7, 9] += 1
    np.save(path, movie)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + (0 if keep_time else 10**9)))


@pytest.mark.parametrize("files", [1, 3])
@pytest.mark.parametrize("chunk", [2**24, 21 * 33 * 2 * 7])
def test_the_checksum_is_that_of_the_whole_file(tmp_path, monkeypatch, files, chunk):
    monkeypatch.setattr("caiman_pipeline.movies.inspect.CHUNK_BYTES", chunk)
    monkeypatch.setattr(identity, "READ_BYTES", 1000)
    for file in inspected(tmp_path, checksums=True, files=files).files:
        with open(file.path, "rb") as content:
            assert file.sha256 == hashlib.sha256(content.read()).hexdigest() == checksum(file.path)


def test_without_the_key_no_checksum_is_computed(tmp_path):
    assert inspected(tmp_path, checksums=False).files[0].sha256 == ""


@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.parametrize("frame", [0, 41, 79])
def test_a_rewritten_file_of_equal_size_is_refused_when_it_is_opened(tmp_path, monkeypatch, checksums, frame):
    """Also where the samples do not see what was changed."""
    monkeypatch.setattr(identity, "SAMPLES", 1)
    monkeypatch.setattr(identity, "SAMPLE_BYTES", 64)
    info = inspected(tmp_path, checksums=checksums)
    assert open_inspected(info).n_frames == 80
    rewrite(info.files[0].path, frame)
    with pytest.raises(PipelineError, match=r"m0\.npy: (holds other bytes|has another time stamp).*forcerun inspect"):
        open_inspected(info)


def test_samples_tell_a_rewritten_file_under_its_old_time_stamp(tmp_path):
    info = inspected(tmp_path, checksums=False, files=2)
    rewrite(info.files[1].path, 20, keep_time=True)
    with pytest.raises(PipelineError, match=r"m1\.npy: holds other bytes than it did, at the same size"):
        open_inspected(info)


def test_a_touched_file_is_the_same_and_needs_its_checksum_to_be_known(tmp_path):
    info = inspected(tmp_path, checksums=True)
    os.utime(info.files[0].path, (5, 5))
    assert difference(info.files[0]) == ""
    assert "another time stamp" in difference(replace(info.files[0], sha256=""))


def test_a_copy_from_an_object_store_has_a_time_stamp_of_its_own(tmp_path):
    folder = tmp_path / ".snakemake/storage/s3/bucket"
    folder.mkdir(parents=True)
    info = inspected(folder, checksums=False)
    assert is_fetched(info.files[0].path)
    os.utime(info.files[0].path, (5, 5))
    assert difference(info.files[0]) == ""
    rewrite(info.files[0].path, 3)
    assert "holds other bytes" in difference(info.files[0])


def test_a_folder_is_known_by_its_files(tmp_path):
    store = tmp_path / "m.zarr"
    (store / "c").mkdir(parents=True)
    for name in ("zarr.json", "c/0", "c/1"):
        (store / name).write_bytes(name.encode() * 50)
    file = identify(str(store), 9, n_files=1)
    assert file.size_bytes == sum(50 * len(n) for n in ("zarr.json", "c/0", "c/1"))
    known = replace(file, sha256=checksum(str(store)))
    assert difference(known, thorough=True) == ""
    times = (store / "c/1").stat()
    (store / "c/1").write_bytes(b"c/2" * 50)
    os.utime(store / "c/1", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert "holds other bytes" in difference(known)
    assert "SHA-256" in difference(replace(known, sample=""), thorough=True)
    (store / "c/1").rename(store / "c/3")
    assert difference(file) != ""
