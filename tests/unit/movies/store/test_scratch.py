from __future__ import annotations

import shutil

import numpy as np
import pytest

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.store.bounds import part_bounds, part_name
from caiman_pipeline.movies.store.parts import Part, open_store, write_index
from caiman_pipeline.movies.store.scratch import VARIABLE, near
from caiman_pipeline.movies.store.writing import PartWriter

DIMS = (7, 11)


@pytest.fixture
def movie(tmp_path):
    folder = tmp_path / "movie"
    folder.mkdir()
    frames = np.random.default_rng(0).normal(size=(*DIMS, 1300)).astype(np.float32)
    bounds = part_bounds(1300, DIMS)
    with PartWriter(folder) as writer:
        for i, (a, b) in enumerate(bounds):
            writer.write(i, frames[..., a:b])
    parts = [Part(folder / part_name(i), a, b) for i, (a, b) in enumerate(bounds)]
    write_index(folder / "movie.json", dims=DIMS, frame_rate_hz=30.0, parts=parts, valid=np.ones(DIMS, bool), source={})
    return open_store(folder / "movie.json")


def _frames(movie):
    return np.concatenate([frames for *_, frames in movie.read_parts()], axis=1)


def test_later_passes_read_from_scratch_which_is_removed_at_the_end(movie, tmp_path):
    expected, scratch = _frames(movie), tmp_path / "scratch"
    scratch.mkdir()
    with near(movie, str(scratch)) as kept:
        assert np.array_equal(_frames(kept), expected)
        for part in movie.parts:
            part.path.unlink()
        assert np.array_equal(_frames(kept), expected)
        assert list(scratch.iterdir())
    assert not list(scratch.iterdir())


def test_scratch_is_removed_when_the_job_is_stopped(movie, tmp_path):
    def stopped_job():
        with near(movie, str(tmp_path)) as kept:
            _frames(kept)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_job()
    assert {p.name for p in tmp_path.iterdir()} == {"movie"}


def test_the_environment_names_scratch_with_variables_of_the_job(movie, tmp_path, monkeypatch):
    monkeypatch.setenv("JOB_TMP", str(tmp_path))
    monkeypatch.setenv(VARIABLE, "$JOB_TMP")
    with near(movie, None) as kept:
        assert kept.parts[0].folder.parent == tmp_path
    with near(movie, "") as kept:
        assert kept is movie


def test_without_scratch_the_movie_is_as_it_was(movie, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with near(movie, None) as kept:
        assert kept is movie


def test_scratch_that_cannot_do_is_refused_before_any_work(movie, tmp_path, monkeypatch):
    with pytest.raises(PipelineError, match="is not there"), near(movie, str(tmp_path / "none")):
        pass
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(PipelineError, match="GB of scratch"), near(movie, str(tmp_path)):
        pass
