"""What a recording will cost: jobs, memory, disk and rough seconds of every stage, from its size alone.

Memory of a stage is a base (Python and its libraries) plus what it holds at once: parts of the movie, images, traces.
None of these but the traces grows with the length of the recording. Time is a start plus a cost per pixel and frame,
per core. The coefficients are fitted to ``tests/benchmarks/plan_measurements.tsv`` (``bench_plan.py fit``).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from caiman_pipeline.errors import PipelineError
from caiman_pipeline.types import Dims, Reading

if TYPE_CHECKING:
    from caiman_pipeline.config.sheet import Recording
    from caiman_pipeline.io.readers import RawMovie

PIXELS_PER_CELL = 500
# Raw frames are read in chunks of 16 MiB.
CHUNK_MB = 16 * 2**20 / 1e6
# What rules ask for, of what is predicted.
MARGIN = 1.25
# On a cluster each job has two Snakemake processes beside the stage's own; measured 146 and 138 MB.
SNAKEMAKE_MB = 300
# What AWS Batch gives along with so many cores at most.
BATCH_LARGEST_MB = {1: 8192, 2: 16384, 4: 30720, 8: 61440, 16: 122880}
# A job may take so much longer than predicted, and never has less than some minutes, before a scheduler ends it.
SLOWER, LEAST_MINUTES = 5, 10


@dataclass(frozen=True)
class MovieSize:
    """Frames, frame size (H, W) or (D, H, W), and bytes of a raw pixel."""

    n_frames: int
    dims: Dims
    pixel_bytes: int

    @property
    def frame_mb(self) -> float:
        """One frame as float32, MB."""
        return prod(self.dims) * 4 / 1e6

    @property
    def n_chunks(self) -> int:
        """Chunks that the raw movie is read in."""
        return math.ceil(self.n_frames * prod(self.dims) * self.pixel_bytes / 1e6 / CHUNK_MB)

    @property
    def part_mb(self) -> float:
        """One part of the movie store, MB."""
        from caiman_pipeline.io.store import part_length

        return self.frame_mb * min(part_length(self.dims), self.n_frames)

    @property
    def n_cells(self) -> float:
        """Components to expect in a well-filled field of view."""
        return prod(self.dims) / PIXELS_PER_CELL

    @property
    def traces_mb(self) -> float:
        """One float32 trace per component, MB."""
        return self.n_cells * self.n_frames * 4 / 1e6


@dataclass(frozen=True)
class StageCost:
    """How one job of a stage scales.

    Attributes
    ----------
    base_mb : memory of the process before it reads anything
    parts, images, traces : parts of the movie, images of frame size, and sets of traces held at once
    raw_chunks : chunks of raw frames held per thread that has one to work on
    start_s, ns : seconds to start, and nanoseconds per pixel and frame on one core
    us_pixel, ns_trace : microseconds per pixel of a frame, and nanoseconds per trace and frame, on one core
    """

    base_mb: float
    parts: float = 0.0
    images: float = 0.0
    traces: float = 0.0
    raw_chunks: float = 0.0
    start_s: float = 0.5
    ns: float = 0.0
    us_pixel: float = 0.0
    ns_trace: float = 0.0

    def memory_mb(self, size: MovieSize, threads: int) -> float:
        """Return the peak memory of one job, MB."""
        held = self.parts * size.part_mb + self.images * size.frame_mb + self.traces * size.traces_mb
        return self.base_mb + held + self.raw_chunks * min(threads, size.n_chunks) * CHUNK_MB

    def core_seconds(self, size: MovieSize) -> float:
        """Return the time of all jobs of the stage together on one core, s."""
        n_pixels = prod(size.dims)
        per_frame = self.ns * n_pixels + self.ns_trace * size.n_cells
        return per_frame * size.n_frames * 1e-9 + self.us_pixel * n_pixels * 1e-6


COSTS: dict[str, StageCost] = {
    "inspect": StageCost(62, raw_chunks=2, ns=1.5),
    "motion_template": StageCost(218, images=200, start_s=1.0, ns=1, us_pixel=50),
    "motion_correct": StageCost(197, parts=2.1, images=124, raw_chunks=1, start_s=1.0, ns=45),
    "memmap_join": StageCost(78, images=11, traces=4.6, start_s=0.7),
    "summary_images": StageCost(223, parts=2.1, images=87, start_s=0.7, ns=8),
    "patch_cnmf": StageCost(150, traces=14, raw_chunks=5.4, start_s=1.5, ns=35),
    "merge": StageCost(157, traces=0.8, start_s=0.8, ns_trace=200),
    "refine": StageCost(203, parts=2.4, images=47, start_s=2.0, ns=3),
    "evaluate": StageCost(233, parts=2.0, images=15, traces=3.3, start_s=1.0, ns=4.5),
    "traces": StageCost(211, parts=0.1, traces=4.1, start_s=1.0, ns_trace=1100),
    "select": StageCost(78, start_s=0.4),
    "export_nwb": StageCost(136, images=22, traces=3.8, start_s=1.7, ns_trace=100),
    "report": StageCost(118, images=16, traces=1.8, start_s=1.0, ns_trace=50),
}
# As the rules declare them; a test keeps the two equal.
THREADS = {
    "inspect": 2, "motion_template": 4, "motion_correct": 4, "summary_images": 4, "patch_cnmf": 4,
    "refine": 4, "evaluate": 2, "traces": 2,
}  # fmt: skip
SCATTERED = {"motion_correct": "blocks", "patch_cnmf": "tiles"}
UNKNOWN_SIZE = MovieSize(20_000, (512, 512), 2)


@dataclass(frozen=True)
class StagePlan:
    """What one stage of one recording will take."""

    stage: str
    jobs: int
    memory_mb: float
    disk_mb: float
    seconds: float


def predict_memory_mb(stage: str, movie_info: Path | str, threads: int) -> int:
    """Return the memory to ask for, for one job of ``stage``, MB: what is predicted and a margin.

    Before the recording was inspected, that of a field of 512 x 512 pixels is assumed.
    """
    return _memory_to_ask_for(stage, _known_size(movie_info), threads)


@cache
def _memory_to_ask_for(stage: str, size: MovieSize, threads: int) -> int:
    return math.ceil(MARGIN * COSTS[stage].memory_mb(size, threads))


def batch_memory_mb(needed_mb: int, cores: int) -> int:
    """Round memory up to a size that AWS Batch gives along with so many cores, MB; its largest if that is less."""
    step = 1024 if cores < 8 else 512 * cores
    return min(max(math.ceil(needed_mb / step) * step, 2048 * cores), BATCH_LARGEST_MB.get(cores, 8192 * cores))


def _known_size(movie_info: Path | str) -> MovieSize:
    from caiman_pipeline.io.records import load_movie_info

    if not os.path.exists(movie_info):
        return UNKNOWN_SIZE
    info = load_movie_info(movie_info)
    return MovieSize(info.n_frames, info.dims, 4)


def predict_minutes(stage: str, movie_info: Path | str, threads: int, *, jobs: int) -> int:
    """Return the time to ask a scheduler for, for one of ``jobs`` jobs of ``stage``, min; with much to spare."""
    return _minutes_to_ask_for(stage, _known_size(movie_info), threads * jobs)


@cache
def _minutes_to_ask_for(stage: str, size: MovieSize, cores: int) -> int:
    seconds = COSTS[stage].start_s + COSTS[stage].core_seconds(size) / cores
    return LEAST_MINUTES + math.ceil(SLOWER * seconds / 60)


def disk_mb(size: MovieSize) -> dict[str, float]:
    """Return what each stage leaves on disk, MB; a stage that is not named leaves next to nothing."""
    footprints = size.n_cells * 400 * 12 / 1e6
    return {
        "motion_correct": size.n_frames * size.frame_mb,
        "summary_images": 8 * size.frame_mb,
        "patch_cnmf": 2 * size.traces_mb + 2 * footprints,
        "merge": 3 * size.traces_mb + footprints,
        "refine": 3 * size.traces_mb + footprints,
        "traces": 4 * size.traces_mb,
        "export_nwb": 6 * size.traces_mb + footprints,
        "report": 1.0,
    }


def job_threads(most: int, *, jobs: int, cores: int) -> int:
    """Return the threads, ``most`` at most, of each of the jobs that a stage of one recording is cut into.

    Jobs enough to fill a machine of ``cores`` take fewer each, so that the start of one overlaps with another's work.
    """
    return max(1, min(most, cores // jobs))


def plan_recording(size: MovieSize, *, cores: int, scatter: Mapping[str, int]) -> list[StagePlan]:
    """Predict every stage of one recording, run alone on ``cores`` cores.

    ``scatter`` holds the jobs per recording of the stages that are cut, by Snakemake's names: blocks, tiles.
    """
    disk, plans = disk_mb(size), []
    for stage, cost in COSTS.items():
        jobs = scatter.get(SCATTERED.get(stage, ""), 1)
        width = job_threads(THREADS.get(stage, 1), jobs=jobs, cores=cores)
        at_once = min(jobs, max(cores // width, 1))
        seconds = cost.start_s * math.ceil(jobs / at_once) + cost.core_seconds(size) / (width * at_once)
        plans.append(StagePlan(stage, jobs, cost.memory_mb(size, width), disk.get(stage, 0.1), seconds))
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
            plans[name] = plan_recording(size, cores=cores, scatter=scatter)
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
    from caiman_pipeline.io.readers import open_movie_files

    if not files:
        raise PipelineError("no files found. Check the `files` column of the recordings sheet.")
    return size_of_movie(open_movie_files(files, reading))


def size_of_movie(movie: RawMovie) -> MovieSize:
    """Return the size of a recording that was opened."""
    return MovieSize(movie.n_frames, movie.dims, movie.dtype.itemsize)
