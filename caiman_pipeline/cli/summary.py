"""List every recording of a results folder as ok, ok_empty, failed or waiting, in summary.tsv and on a page."""

from __future__ import annotations

import argparse
from pathlib import Path

SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--results", type=Path, required=True, help="the results folder")
    parser.add_argument("--recordings", nargs="+", required=True, metavar="ID", help="ids of the recordings to list")
    parser.add_argument("--store", default="", help="URL of results on an object store; their logs are fetched")
    parser.add_argument("--ended", action="store_true", help="the run has ended: what is not finished was killed")


def run(args: argparse.Namespace) -> None:
    """Write summary.tsv, timings.tsv and batch.html, and say what failed."""
    from caiman_pipeline.batch.states import age_old_results, collect_states, count_states, write_summary, write_timings
    from caiman_pipeline.report.batch_page import build_batch_page
    from caiman_pipeline.results.atomic import write_text

    if args.store:
        from caiman_pipeline.batch.fetching import fetch_traces

        fetch_traces(args.store, args.results, args.recordings)
    if args.ended:
        age_old_results(args.results, args.recordings)
    states = collect_states(args.results, args.recordings, ended=args.ended)
    write_summary(args.results / "summary.tsv", states)
    write_timings(args.results / "timings.tsv", states)
    write_text(args.results / "batch.html", build_batch_page(states, args.results))
    failed = [s for s in states if s.state == "failed"]
    for state in failed[:SHOWN]:
        print(f"failed: {state.recording}, {state.stage}: {state.reason} (log: {state.log})")
    if len(failed) > SHOWN:
        print(f"... and {len(failed) - SHOWN} more")
    counts = ", ".join(f"{n} {state}" for state, n in count_states(states).items())
    print(f"{len(states)} recordings: {counts}. See {args.results / 'summary.tsv'} and {args.results / 'batch.html'}")
