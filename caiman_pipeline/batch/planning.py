"""What a recording will cost: jobs, memory, disk and rough seconds of every stage, from its size and settings alone."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from caiman_pipeline.batch.costs import Layout, MovieSize, cost_of, layout_of
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Reading
from caiman_pipeline.stages import REGISTRY, STAGES

if TYPE_CHECKING:
    from caiman_pipeline.config.sheet import Recording
    from caiman_pipeline.movies.readers.open import RawMovie

# What rules ask for, of what is predicted.
MARGIN = 1.25
# On a cluster each job has two Snakemake processes beside the stage's own; measured 146 and 138 MB.
SNAKEMAKE_MB = 300
# Tracking a field's cells: memory to begin with, and for each recording of up to some 2,000 cells on a
# megapixel; minutes for each two recordings, with much to spare.
SESSIONS_MB = (400, 60)
SESSIONS_MINUTES = 5
# What AWS Batch gives along with so many cores at most.
BATCH_LARGEST_MB = {1: 8192, 2: 16384, 4: 30720, 8: 61440, 16: 122880}
# A job may take so much longer than predicted, and never has less than some minutes, before a scheduler ends it.
SLOWER, LEAST_MINUTES = 5, 10
UNKNOWN_SIZE = MovieSize(20_000, (512, 512), 2)


@dataclass(frozen=True)
class StagePlan:
    """What one stage of one recording will take."""

    stage: str
    jobs: int
    memory_mb: float
    disk_mb: float
    seconds: float


def predict_memory_mb(stage: str, movie_info: Path | str, threads: int, *, layout: Layout | None) -> int:
    """Return the memory to ask for, for one job of ``stage``, MB: what is predicted and a margin.

    Before the recording was inspected, that of a field of 512 x 512 pixels is assumed.
    """
    return _memory_to_ask_for(stage, _known_size(movie_info, layout), threads)


@cache
def _memory_to_ask_for(stage: str, size: MovieSize, threads: int) -> int:
    return math.ceil(MARGIN * cost_of(stage).memory_mb(size, threads))


def batch_memory_mb(needed_mb: int, cores: int) -> int:
    """Round memory up to a size that AWS Batch gives along with so many cores, MB; its largest if that is less."""
    step = 1024 if cores < 8 else 512 * cores
    return min(max(math.ceil(needed_mb / step) * step, 2048 * cores), BATCH_LARGEST_MB.get(cores, 8192 * cores))


def _known_size(movie_info: Path | str, layout: Layout | None) -> MovieSize:
    from caiman_pipeline.results.records import load_movie_info

    if not os.path.exists(movie_info):
        return UNKNOWN_SIZE
    info = load_movie_info(movie_info)
    return sized(MovieSize(info.n_frames, info.dims, 4), layout)


def sized(size: MovieSize, layout: Layout | None) -> MovieSize:
    """Return a size with its layout; without, where lengths are not for so many axes: the stage itself says so."""
    ndim = len(size.dims)
    return replace(size, layout=layout) if layout is not None and layout.is_for(ndim) else size


def predict_minutes(stage: str, movie_info: Path | str, threads: int, *, jobs: int, layout: Layout | None) -> int:
    """Return the time to ask a scheduler for, for one of ``jobs`` jobs of ``stage``, min; with much to spare."""
    return _minutes_to_ask_for(stage, _known_size(movie_info, layout), threads * jobs)


@cache
def _minutes_to_ask_for(stage: str, size: MovieSize, cores: int) -> int:
    seconds = cost_of(stage).start_s + cost_of(stage).core_seconds(size) / cores
    return LEAST_MINUTES + math.ceil(SLOWER * seconds / 60)


def disk_mb(size: MovieSize) -> dict[str, float]:
    """Return what each stage leaves on disk, MB."""
    return {stage: cost_of(stage).disk.mb(size) for stage in STAGES}


def job_threads(most: int, *, jobs: int, cores: int) -> int:
    """Return the threads, ``most`` at most, of each of the jobs that a stage of one recording is cut into.

    Jobs enough to fill a machine of ``cores`` take fewer each, so that the start of one overlaps with another's work.
    """
    return max(1, min(most, cores // jobs))


def plan_recording(size: MovieSize, *, cores: int, scatter: Mapping[str, int]) -> list[StagePlan]:
    """Predict every stage of one recording, run alone on ``cores`` cores.

    ``scatter`` holds the jobs per recording of the stages that are cut, by Snakemake's names: blocks, tiles.
    """
    plans = []
    for stage in REGISTRY:
        cost, jobs = cost_of(stage.name), scatter.get(stage.scatter, 1)
        width = job_threads(stage.threads, jobs=jobs, cores=cores)
        at_once = min(jobs, max(cores // width, 1))
        seconds = cost.start_s * math.ceil(jobs / at_once) + cost.core_seconds(size) / (width * at_once)
        plans.append(StagePlan(stage.name, jobs, cost.memory_mb(size, width), cost.disk.mb(size), seconds))
    return plans


def plan_recordings(
    recordings: Mapping[str, Recording], *, cores: int, scatter: Mapping[str, int]
) -> tuple[dict[str, list[StagePlan]], list[str]]:
    """Plan every recording; return plans by name, and what is the matter with those whose files cannot be opened."""
    plans, problems = {}, []
    for name, recording in recordings.items():
        facts = recording.config.recording
        try:
            size = size_of_files(recording.files() or list(recording.patterns), Reading.of(facts))
        except PipelineError as error:
            problems.append(f"{name}: {error}")
        else:
            plans[name] = plan_recording(sized(size, layout_of(recording.config)), cores=cores, scatter=scatter)
    return plans, problems


def add_up(plans: list[list[StagePlan]]) -> list[StagePlan]:
    """Sum the plans of several recordings, run one after another; memory is that of the largest job."""
    total = []
    for rows in zip(*plans, strict=True):
        jobs, memory = sum(r.jobs for r in rows), max(r.memory_mb for r in rows)
        total.append(StagePlan(rows[0].stage, jobs, memory, sum(r.disk_mb for r in rows), sum(r.seconds for r in rows)))
    return total


def too_large(plans: Mapping[str, list[StagePlan]], memory_mb: int) -> list[str]:
    """Return which stage of which recording, by name, takes more memory than a machine has: its largest one."""
    largest = {name: max(rows, key=lambda row: row.memory_mb) for name, rows in plans.items()}
    return [
        f"{name}: {row.stage} takes {row.memory_mb:.0f} MB, and a machine has {memory_mb}. Take a larger one."
        for name, row in largest.items()
        if row.memory_mb > memory_mb
    ]


def size_of_files(files: list[str], reading: Reading) -> MovieSize:
    """Return the size of a recording from its files' headers.

    Raises
    ------
    PipelineError
        If a file cannot be opened or the files do not fit together.
    """
    from caiman_pipeline.movies.readers.open import open_movie_files

    if not files:
        raise PipelineError("no files found. Check the `files` column of the recordings sheet.")
    return size_of_movie(open_movie_files(files, reading))


def size_of_movie(movie: RawMovie) -> MovieSize:
    """Return the size of a recording that was opened."""
    return MovieSize(movie.n_frames, movie.dims, movie.dtype.itemsize)
