"""Where a batch stands while it runs: recordings done, running, failed, waiting, and when it will be done.

All is read from what jobs leave in the results folder, so it works from any machine that sees it, on a cluster too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from caiman_pipeline.batch import recording_state
from caiman_pipeline.joblogs import STAGE_ORDER, JobLog, read_logs
from caiman_pipeline.planning import COSTS, UNKNOWN_SIZE, MovieSize

STANDINGS = ("done", "running", "failed", "waiting")


@dataclass(frozen=True)
class RunningJob:
    """A job at work: its recording, its name (stage and item), where, and the memory that it has reached, MB."""

    recording: str
    job: str
    host: str
    memory_mb: float


@dataclass(frozen=True)
class BatchStatus:
    """A batch at one moment.

    Attributes
    ----------
    standings : recordings by done, running, failed, waiting
    failed : recording and reason
    remaining_s : seconds of all jobs that are still to be done, one after another
    eta_s : seconds until all is done with as many jobs at once as now; None if none is running
    """

    standings: dict[str, int]
    running: tuple[RunningJob, ...]
    failed: tuple[tuple[str, str], ...]
    remaining_s: float
    eta_s: float | None


def batch_status(results: Path, recordings: Iterable[str]) -> BatchStatus:
    """Find out where each recording stands.

    Notes
    -----
    What is left is predicted as `plan` predicts it, times how much longer (or shorter) than predicted the finished jobs
    of this batch took.
    """
    standings: Counter[str] = Counter()
    running: list[RunningJob] = []
    failed: list[tuple[str, str]] = []
    taken = predicted = left = 0.0
    for name in recordings:
        logs = read_logs(results / name / "logs")
        at_work = [RunningJob(name, log.job, log.host, log.memory_mb) for log in logs if log.is_running()]
        state = recording_state(results / name, name)
        standing = "running" if at_work else {"ok": "done", "ok_empty": "done"}.get(state.state, state.state)
        standings[standing] += 1
        running += at_work
        failed += [(name, f"{state.stage}: {state.reason}")] if standing == "failed" else []
        costs = _stage_seconds(results / name / "inspect" / "movie_info.json")
        spent, known, open_ = _tally(logs, costs)
        taken, predicted = taken + spent, predicted + known
        left += open_ if standing in ("running", "waiting") else 0.0
    remaining = left * (taken / predicted if predicted else 1.0)
    counts = {standing: standings[standing] for standing in STANDINGS}
    eta = remaining / len(running) if running else None
    return BatchStatus(counts, tuple(running), tuple(failed), remaining, eta)


def _stage_seconds(movie_info: Path) -> dict[str, float]:
    """Return what each stage should take on one core, from the recording's size, s."""
    from caiman_pipeline.io.records import load_movie_info

    size = UNKNOWN_SIZE
    if movie_info.exists():
        info = load_movie_info(movie_info)
        size = MovieSize(info.n_frames, info.dims, 4)
    return {stage: cost.start_s + cost.core_seconds(size) for stage, cost in COSTS.items()}


def _tally(logs: list[JobLog], costs: dict[str, float]) -> tuple[float, float, float]:
    """Return seconds that finished stages took, what was predicted for these, and what is predicted for the others."""
    taken = {stage: sum(log.seconds for log in logs if log.stage == stage) for stage in STAGE_ORDER}
    done = {stage for stage in STAGE_ORDER if _is_done([log for log in logs if log.stage == stage])}
    known = sum(costs[stage] for stage in done)
    return sum(taken[stage] for stage in done), known, sum(costs.values()) - known


def _is_done(logs: list[JobLog]) -> bool:
    """Tell whether a stage's jobs have all ended well, of as many as it was cut into."""
    wanted = max((int(log.job.rsplit("-of-", 1)[1]) for log in logs if "-of-" in log.job), default=1)
    return sum(log.finished for log in logs) >= wanted


def in_words(seconds: float) -> str:
    """Return a duration like ``2 h 05 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min" if minutes >= 10 else f"{minutes} min {rest:02d} s"
