"""Say what of a batch is done, running, failed or waiting, and when it will be done; beside a running workflow."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caiman_pipeline.batch.progress import BatchStatus

SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--config", type=Path, help="config file (default: config/config.yaml if it is there)")
    parser.add_argument("--sheet", type=Path, help="recordings sheet (default: the config's `paths.recordings`)")
    parser.add_argument("--results", type=Path, help="results folder (default: the config's `paths.results`)")


def run(args: argparse.Namespace) -> None:
    """Print where the sheet's recordings stand."""
    from caiman_pipeline.batch.preflight import load_run
    from caiman_pipeline.batch.progress import batch_status
    from caiman_pipeline.config.sheet import load_sheet

    config, sheet = load_run(args.config, args.sheet)
    status = batch_status(args.results or Path(config.paths.results), load_sheet(sheet, config))
    for job in status.running[:SHOWN]:
        come = f", {job.progress.what}: {job.progress.done} of {job.progress.total}" if job.progress else ""
        print(f"running  {job.recording}  {job.job} on {job.host}, {job.memory_mb:.0f} MB{come}")
    for recording, reason in status.failed[:SHOWN]:
        print(f"failed   {recording}  {reason}")
    for kind, rows in (("running jobs", status.running), ("failed recordings", status.failed)):
        if len(rows) > SHOWN:
            print(f"... and {len(rows) - SHOWN} more {kind}")
    counts = ", ".join(f"{n} {standing}" for standing, n in status.standings.items())
    print(f"{sum(status.standings.values())} recordings: {counts}. {_what_is_left(status)}")


def _what_is_left(status: BatchStatus) -> str:
    from caiman_pipeline.batch.progress import in_words

    if status.remaining_s == 0:
        return "Nothing left" + (" but what failed" if status.failed else "")
    when = "no job is running" if not status.running else "some jobs are running"
    if status.eta_s is not None:
        when = f"done in about {in_words(status.eta_s)}"
    return when + (f"; {in_words(status.remaining_s)} of work left" if status.remaining_s else "")
