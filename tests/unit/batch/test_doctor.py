from __future__ import annotations

from pathlib import Path

from caiman_pipeline import __version__
from caiman_pipeline.batch import doctor
from caiman_pipeline.batch.doctor import examine


def _by_name(results: Path):
    return {f.name: f for f in examine(results)}


def test_versions_cores_and_disk_are_told(tmp_path):
    found = _by_name(tmp_path / "results")
    assert found["caiman_pipeline"].value == __version__
    assert {"Python", "numpy", "snakemake", "cores", "memory", "linear algebra", "compiled kernels"} <= set(found)
    assert "GB free" in found["results folder"].value
    assert found["writing"].value.endswith("MB/s")
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_the_allocation_of_slurm_is_what_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    found = _by_name(tmp_path)
    assert found["cores"].value.startswith("1 granted of")
    assert "SLURM_CPUS_PER_TASK=1" in found["SLURM"].value


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    assert "is a file" in _by_name(tmp_path / "file" / "results")["writing"].advice


def test_a_slow_disk_gets_advice(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "write_speed_mb_s", lambda folder: 5.0)
    assert "slow" in _by_name(tmp_path)["writing"].advice
