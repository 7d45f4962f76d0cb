"""What this machine offers a run: versions, cores, linear algebra, compiled-kernel cache, disk."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from caiman_pipeline import __version__
from caiman_pipeline.batch.preflight import nearest_folder, unwritable
from caiman_pipeline.numerics.threads import available_cores

PACKAGES = ("snakemake", "numpy", "scipy", "numba", "opencv-python-headless", "h5py", "zarr", "tifffile", "pynwb")
SLURM = ("SLURM_JOB_ID", "SLURM_CPUS_PER_TASK", "SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU")
TEST_MB = 64
ENOUGH_FREE_GB = 10.0
SLOW_MB_S = 50.0


@dataclass(frozen=True)
class Diagnosis:
    """One thing looked at: its name, what was found, and advice if it is not as it should be."""

    name: str
    value: str
    advice: str = ""


def examine(results: Path) -> list[Diagnosis]:
    """Look at everything; ``results`` is the folder that a run would write to."""
    return [*_versions(), *_processor(), *_libraries(), *_disks(results)]


def _versions() -> Iterator[Diagnosis]:
    yield Diagnosis("caiman_pipeline", __version__)
    yield Diagnosis("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in PACKAGES:
        try:
            yield Diagnosis(name, version(name))
        except PackageNotFoundError:
            # Conda names the OpenCV package differently.
            yield Diagnosis(name, "no metadata", "fine in a conda environment, else install the package")


def _processor() -> Iterator[Diagnosis]:
    usable, present = available_cores(), os.cpu_count() or 1
    advice = "" if usable == present else "a run uses the granted ones only; `cores: all` of a profile means these"
    yield Diagnosis("cores", f"{usable} granted of {present}", advice)
    memory = psutil.virtual_memory()
    yield Diagnosis("memory", f"{memory.available / 1e9:.1f} GB free of {memory.total / 1e9:.1f} GB")
    granted = [f"{name}={os.environ[name]}" for name in SLURM if name in os.environ]
    yield Diagnosis("SLURM", ", ".join(granted) or "not inside a job")
    limits = [f"{n}={os.environ[n]}" for n in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if n in os.environ]
    yield Diagnosis("thread variables", ", ".join(limits) or "none set (stages set their own)")


def _libraries() -> Iterator[Diagnosis]:
    import numpy as np

    built = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    yield Diagnosis("linear algebra", f"{built.get('name', 'unknown')} {built.get('version', '')}".strip())
    folder = os.environ.get("NUMBA_CACHE_DIR")
    package = Path(__file__).parents[1]
    beside = f"{package} (beside the package)" if os.access(package, os.W_OK) else "the user's cache folder"
    yield Diagnosis("compiled kernels", f"kept in {folder or beside}")


def _disks(results: Path) -> Iterator[Diagnosis]:
    for name, folder in (
        ("results folder", nearest_folder(results)),
        ("temporary folder", Path(tempfile.gettempdir())),
    ):
        free = shutil.disk_usage(folder).free / 1e9
        advice = "" if free > ENOUGH_FREE_GB else f"less than {ENOUGH_FREE_GB:.0f} GB; see `caiman-pipeline plan`"
        yield Diagnosis(name, f"{folder}, {free:.1f} GB free", advice)
    problem = unwritable(results)
    if problem:
        yield Diagnosis("writing", "not possible", problem)
        return
    speed = write_speed_mb_s(nearest_folder(results))
    yield Diagnosis("writing", f"{speed:.0f} MB/s", "" if speed > SLOW_MB_S else "slow: use a local disk for results")


def write_speed_mb_s(folder: Path) -> float:
    """Write and flush a file of 64 MiB into ``folder``, remove it, and return MB/s."""
    block = os.urandom(2**20)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".caiman-pipeline-") as file:
        started = time.perf_counter()
        for _ in range(TEST_MB):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        return TEST_MB * 2**20 / 1e6 / (time.perf_counter() - started)
