"""Outputs are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.store.writing import PartWriter
from caiman_pipeline.results.atomic import whole_file, whole_folder, write_text
from caiman_pipeline.results.files import load_result, save_result


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of 2 MB, where that is allowed."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "r.txt"
    with whole_file(path) as temporary:
        temporary.write_text("some")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "some"
    assert os.listdir(path.parent) == ["r.txt"]


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_failure_leaves_the_old_output_and_nothing_else(tmp_path, whole):
    path = tmp_path / "r"
    for text, fails in (("old", False), ("new", True)):
        try:
            with whole(path) as temporary:
                (temporary / "f" if whole is whole_folder else temporary).write_text(text)
                if fails:
                    raise KeyError("stop")
        except KeyError:
            pass
    assert os.listdir(tmp_path) == ["r"]
    assert (path / "f" if whole is whole_folder else path).read_text() == "old"


def test_folder_replaces_the_old_one_as_a_whole(tmp_path):
    for name in ("a", "b"):
        with whole_folder(tmp_path / "r") as temporary:
            (temporary / name).write_text(name)
    assert os.listdir(tmp_path / "r") == ["b"]


def write_result(folder):
    save_result(folder / "r.h5", kind="x", arrays={"a": np.random.default_rng(0).random(10**6)}, settings={}, source={})


def write_array(folder):
    with whole_file(folder / "r.npy") as temporary, temporary.open("wb") as file:
        np.save(file, np.zeros(10**6))


def write_parts(folder):
    with whole_folder(folder / "block") as temporary, PartWriter(temporary) as writer:
        for index in range(9):
            writer.write(index, np.ones((50, 100, 20), np.float32))


@pytest.mark.parametrize("write", [write_result, write_array, write_parts])
def test_full_disk_is_said_and_leaves_nothing(small_disk, write):
    with pytest.raises(PipelineError, match=r"no space left.*MB were written.*Free some space"):
        write(small_disk)
    assert os.listdir(small_disk) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_disk_without_space_or_quota_is_explained(tmp_path, code):
    def fill(path):
        path.write_bytes(bytes(1000))
        raise OSError(code, os.strerror(code))

    with pytest.raises(PipelineError, match=r"r\.h5: no space left"), whole_file(tmp_path / "r.h5") as temporary:
        fill(temporary)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "words", ["9 requested and 5 written", "Not enough free space to write 9 bytes after offset 1"]
)
def test_words_of_numpy_for_a_full_disk_are_understood(tmp_path, words):
    with pytest.raises(PipelineError, match="no space left"), whole_folder(tmp_path / "block"):
        raise OSError(words)


def test_folder_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PipelineError, match=r"cannot be written.*permissions"):
        write_text(tmp_path / "file" / "sub" / "r.txt", "x")
    with pytest.raises(PipelineError, match="cannot be written"), whole_folder(tmp_path / "file" / "block"):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="everything is writable for root")
def test_folder_without_permission_is_explained(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PipelineError, match="Permission denied"):
        write_text(tmp_path / "r.txt", "x")


def test_missing_input_is_not_taken_for_an_output_that_cannot_be_written(tmp_path):
    missing = tmp_path / "raw" / "movie.npy"
    with pytest.raises(FileNotFoundError, match="movie"), whole_file(tmp_path / "out" / "r.txt"):
        np.load(missing)


KILLED = """
import sys, time
from pathlib import Path
import numpy as np
from caiman_pipeline.results.atomic import whole_file, whole_folder
from caiman_pipeline.movies.store.writing import PartWriter
folder = Path(sys.argv[1])
with whole_file(folder / "r.h5") as file, whole_folder(folder / "block") as block, PartWriter(block) as writer:
    file.write_bytes(bytes(1000))
    for index in range(3):
        writer.write(index, np.ones((5, 7, 3), np.float32))
    print("half", flush=True)
    time.sleep(60)
"""


def test_killed_writer_leaves_nothing_at_the_output_and_the_next_cleans_up(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    left = os.listdir(tmp_path)
    assert len(left) == 2
    assert all(name.startswith(".") and name.endswith(".part") for name in left)
    write_text(tmp_path / "r.h5", "whole")
    with whole_folder(tmp_path / "block") as block:
        (block / "part").touch()
    assert sorted(os.listdir(tmp_path)) == ["block", "r.h5"]


def test_writers_at_the_same_time_do_not_meet(tmp_path):
    barrier = threading.Barrier(4)

    def write(number):
        with whole_file(tmp_path / "r.txt") as temporary:
            temporary.write_text(str(number) * 1000)
            barrier.wait()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = (tmp_path / "r.txt").read_text()
    assert len(text) == 1000
    assert len(set(text)) == 1
    assert os.listdir(tmp_path) == ["r.txt"]


def test_recordings_with_files_of_one_name_do_not_meet(tmp_path):
    for recording in ("a", "b"):
        arrays = {"name": recording, "x": np.arange(3)}
        path = tmp_path / "results" / recording / "motion" / "movie.h5"
        save_result(path, kind="x", arrays=arrays, settings={}, source={"files": ["movie.tif"]})
    for recording in ("a", "b"):
        assert load_result(tmp_path / "results" / recording / "motion" / "movie.h5", "x")["name"] == recording


@pytest.mark.parametrize("name", ["r" * 255, "ü" * 127, "with space.h5", ".hidden"])
def test_any_name_that_the_disk_takes_can_be_written(tmp_path, name):
    write_text(tmp_path / name, "x")
    assert os.listdir(tmp_path) == [name]


def test_relative_path_is_written_where_it_was_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_text(Path("r.txt"), "x")
    assert os.listdir(tmp_path) == ["r.txt"]
