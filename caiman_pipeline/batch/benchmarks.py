"""What the jobs of a recording took, by Snakemake's benchmark files and by the jobs' own records."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from caiman_pipeline.batch.job_records import JobRecord
from caiman_pipeline.stages import in_order, stage_of


@dataclass(frozen=True)
class StageUse:
    """What a stage took: jobs, seconds of all jobs together, and the memory of the largest, MB (0 where unknown)."""

    stage: str
    jobs: int
    seconds: float
    memory_mb: float


def read_benchmark(path: Path) -> tuple[float, float]:
    """Return a job's seconds and peak resident memory, MB; 0 for what Snakemake could not measure."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", restval=""))
    row = rows[-1] if rows else {}
    return _number(row.get("s", "")), _number(row.get("max_rss", ""))


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if value == value else 0.0


def stage_uses(benchmarks: Path, records: Iterable[JobRecord]) -> list[StageUse]:
    """Add up what each stage took: seconds summed and memory of the largest over the jobs of a stage.

    Seconds come from the benchmark files, process start included. Memory is the larger of Snakemake's samples and
    what the job's record says, since samples miss the peak of short jobs.
    """
    paths = {p.name.removesuffix(".tsv"): p for p in benchmarks.glob("*.tsv")}
    by_job = {record.job: record for record in records}
    total: dict[str, StageUse] = {}
    for job in in_order(paths):
        seconds, memory = read_benchmark(paths[job])
        stage = stage_of(job)
        so_far = total.get(stage, StageUse(stage, 0, 0.0, 0.0))
        told = by_job[job].peak_memory_mb if job in by_job else 0.0
        most = max(so_far.memory_mb, memory, told)
        total[stage] = StageUse(stage, so_far.jobs + 1, so_far.seconds + seconds, most)
    return list(total.values())
