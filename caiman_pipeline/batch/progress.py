"""Where a batch stands while it runs: recordings done, running, failed, waiting, and when it will be done.

All is read from what jobs leave in the results folder, so it works from any machine that sees it, on a cluster too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from caiman_pipeline.batch.costs import MovieSize, cost_of
from caiman_pipeline.batch.job_records import JobRecord, Progress, finished_stages, read_records
from caiman_pipeline.batch.states import recording_state
from caiman_pipeline.stages import LOGS, STAGES, path_of

STANDINGS = ("done", "running", "failed", "waiting")


@dataclass(frozen=True)
class RunningJob:
    """A job at work: its recording, its name (stage and item), where, its memory now, MB, and how far it has come."""

    recording: str
    job: str
    host: str
    memory_mb: float
    progress: Progress | None = None


@dataclass(frozen=True)
class BatchStatus:
    """A batch at one moment.

    Attributes
    ----------
    standings : recordings by done, running, failed, waiting
    failed : recording and reason
    remaining_s : seconds of all jobs that are still to be done, one after another; None if no recording's size is known
    eta_s : seconds until all is done with as many jobs at once as now; None if none is running, or none's size is known
    """

    standings: dict[str, int]
    running: tuple[RunningJob, ...]
    failed: tuple[tuple[str, str], ...]
    remaining_s: float | None
    eta_s: float | None


def batch_status(results: Path, recordings: Iterable[str]) -> BatchStatus:
    """Find out where each recording stands.

    Notes
    -----
    What is left is predicted as `plan` predicts it, times how much longer (or shorter) than predicted the finished jobs
    of this batch took. A recording that was not inspected yet is taken to be like the others.
    """
    standings: Counter[str] = Counter()
    running: list[RunningJob] = []
    failed: list[tuple[str, str]] = []
    work: list[_Work] = []
    for name in recordings:
        records = read_records(results / name / LOGS)
        at_work = [RunningJob(name, r.job, r.host, r.memory_mb, r.progress) for r in records if r.is_running()]
        state = recording_state(results / name, name, records=records)
        standing = "running" if at_work else {"ok": "done", "ok_empty": "done"}.get(state.state, state.state)
        standings[standing] += 1
        running += at_work
        failed += [(name, f"{state.stage}: {state.reason}")] if standing == "failed" else []
        work.append(_tally(records, results / name, to_do=standing in ("running", "waiting")))
    remaining = _remaining_s(work)
    counts = {standing: standings[standing] for standing in STANDINGS}
    eta = remaining / len(running) if running and remaining is not None else None
    return BatchStatus(counts, tuple(running), tuple(failed), remaining, eta)


@dataclass(frozen=True)
class _Work:
    """Seconds of a recording's finished stages, measured and predicted, and of all stages (None: size unknown)."""

    taken: float
    done: float
    all: float | None
    to_do: bool


def _remaining_s(work: list[_Work]) -> float | None:
    """Return the seconds that are left to do, or None where nothing is known of any recording."""
    waiting = [w for w in work if w.to_do]
    known = [w.all for w in work if w.all is not None]
    if not waiting:
        return 0.0
    if not known:
        return None
    usual = sum(known) / len(known)
    taken, predicted = sum(w.taken for w in work), sum(w.done for w in work)
    left = sum((usual if w.all is None else w.all) - w.done for w in waiting)
    return left * (taken / predicted if predicted else 1.0)


def _stage_seconds(movie_info: Path) -> dict[str, float]:
    """Return what each stage should take on one core, from the recording's size, s; nothing before it is known."""
    from caiman_pipeline.results.records import load_movie_info

    if not movie_info.exists():
        return {}
    info = load_movie_info(movie_info)
    size = MovieSize(info.n_frames, info.dims, 4)
    return {stage: cost_of(stage).start_s + cost_of(stage).core_seconds(size) for stage in STAGES}


def _tally(records: list[JobRecord], folder: Path, *, to_do: bool) -> _Work:
    """Add up what the stages of one recording took and should take."""
    costs = _stage_seconds(path_of(folder, "movie_info"))
    if not costs:
        return _Work(0.0, 0.0, None, to_do)
    done = finished_stages(records) & costs.keys()
    taken = sum(r.seconds for r in records if r.stage in done)
    return _Work(taken, sum(costs[stage] for stage in done), sum(costs.values()), to_do)


def in_words(seconds: float) -> str:
    """Return a duration like ``2 h 05 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min" if minutes >= 10 else f"{minutes} min {rest:02d} s"
