"""Follow a run while it goes: keep ``summary.tsv`` up to date, and note what the scheduler says of jobs that failed.

Snakemake's own process does both, from the events that it logs: one process writes the table, whatever file system it
is on and wherever jobs run. A recording is looked at again when one of its jobs has ended, a few times a minute at
most.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from caiman_pipeline.batch.job_records import ENDING, scheduler_record
from caiman_pipeline.batch.states import collect_states, recording_state, write_summary

EVERY_S = 10.0
LOG = re.compile(r"(?:^|/)(?P<recording>[^/\s]+)/logs/(?P<job>[^/\s]+\.log)(?:\s|$)")
REFUSED = re.compile(r"(?:sbatch|submission) failed.*?The error message was '?(?:sbatch: error: )?(?P<why>.*?)'?\.?$")
NOT_SUBMITTED = re.compile(r"Job submission failed with exception: (?P<why>.*?)(?:For further error details.*)?$")
STATUS = re.compile(r"SLURM status is: '(?P<status>[^']+)'")
REASON = re.compile(r"Reasons?: (?P<why>.+?)\.?$")
LONGEST = 400
# As a module of another workflow the rules are read once for each `use rule`: whose recordings share a results folder.
_TOGETHER: dict[Path, list[str]] = {}


def recordings_together(results: Path, recordings: Iterable[str]) -> tuple[list[str], bool]:
    """Return the recordings that this process has in a results folder so far, and whether these are the first.

    The list is shared: it grows when the workflow is read again, as by another instance of the module.
    """
    first = results not in _TOGETHER
    known = _TOGETHER.setdefault(results, [])
    known += [name for name in recordings if name not in known]
    return known, first


class FirstJob(logging.Handler):
    """Call something once, before the first job of a run starts; a dry run starts none.

    Parameters
    ----------
    begin : what to call, without arguments
    """

    def __init__(self, begin: Callable[[], None]) -> None:
        super().__init__()
        self._begin = begin
        self._begun = False

    def emit(self, record: logging.LogRecord) -> None:
        """Look for a job that starts."""
        if str(getattr(record, "event", None) or "") == "job_started" and not self._begun:
            self._begun = True
            self._begin()


class RunWatch(logging.Handler):
    """A handler of Snakemake's log events; ``close`` ends it, before the last summary is written.

    Parameters
    ----------
    results : the results folder
    recordings : ids of the recordings to list, in this order
    """

    def __init__(self, results: Path, recordings: Sequence[str]) -> None:
        super().__init__()
        self._results, self._recordings = results, list(recordings)
        self._of_job: dict[int, str] = {}
        self._changed: set[str] = set()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep_up, daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of a job that is listed, has ended well, or has failed."""
        event = str(getattr(record, "event", None) or "")
        told = vars(record)
        if event == "job_info":
            self._of_job[told["jobid"]] = dict(told.get("wildcards") or {}).get("recording", "")
        elif event == "job_finished":
            self._changed.add(self._of_job.get(told["job_id"], ""))
        elif event == "job_error":
            self._failed(told, told.get("rule_msg"))
        elif event == "group_error":
            for job in told.get("job_error_info") or ():
                self._failed({**job, "log": [*job["log"], *(told.get("aux_logs") or ())]}, told.get("said"))

    def _failed(self, job: Mapping[str, Any], message: str | None) -> None:
        """Note what is said of a failed job; its logs are its own and, where it was submitted, the scheduler's."""
        own = [found for log in job["log"] if (found := LOG.search(str(log))) and self._is_ours(found)]
        others = [str(log) for log in job["log"] if not LOG.search(str(log)) and not str(log).endswith(ENDING)]
        for found in own:
            if message:
                log = self._results / found["recording"] / "logs" / found["job"]
                note_scheduler(log, message, others[0] if others else "")
            self._changed.add(found["recording"])

    def _is_ours(self, log: re.Match[str]) -> bool:
        """Tell whether a log is one of this results folder: a host may hold several."""
        return log["recording"] in self._recordings and Path(log.string[: log.start()]) == self._results

    def _keep_up(self) -> None:
        states = {s.recording: s for s in collect_states(self._results, self._recordings)}
        write_summary(self._results / "summary.tsv", states.values())
        while not self._done.wait(EVERY_S):
            changed, self._changed = self._changed, set()
            for name in changed & states.keys():
                try:
                    states[name] = recording_state(self._results / name, name)
                except FileNotFoundError:  # a job that starts takes away what an earlier one left: look again
                    self._changed.add(name)
            if changed:
                write_summary(self._results / "summary.tsv", states.values())

    def close(self) -> None:
        """Stop writing."""
        self._done.set()
        self._thread.join()
        super().close()


def note_scheduler(log: Path, message: str, scheduler_log: str) -> None:
    """Write down, beside a job's log, what the scheduler says of a job that failed, and where its own log is."""
    log.parent.mkdir(parents=True, exist_ok=True)
    record = {"says": in_words(message), "log": scheduler_log}
    scheduler_record(log).write_text(json.dumps(record), encoding="utf-8")


def in_words(message: str) -> str:
    """Return what an executor says of a failed job as one line, without the command that it called."""
    text = " ".join(re.split(r"\bsbatch (?:call|script):", message)[0].split())
    if found := REFUSED.search(text):
        return "the scheduler refused the job: " + re.sub(r"\s*sbatch: error: ", "; ", found["why"].strip())
    if found := NOT_SUBMITTED.search(text):
        return f"the job could not be submitted: {found['why'].strip()}"[:LONGEST]
    if found := STATUS.search(text):
        why = REASON.search(text)
        known = why is not None and not why["why"].startswith("Unknown")
        return f"SLURM says {found['status']}" + (f" ({why['why']})" if why is not None and known else "")
    return text[:LONGEST]
