"""Validate config, sheet and files before anything runs; every problem is listed, status 2 if there is one."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--config", type=Path, help="config file (default: config/config.yaml if it is there)")
    parser.add_argument("--sheet", type=Path, help="recordings sheet (default: the config's `paths.recordings`)")
    parser.add_argument(
        "--files", action=argparse.BooleanOptionalAction, default=True, help="open the raw files too (default: yes)"
    )
    parser.add_argument(
        "--dandi", action="store_true", help="list the facts that an archive such as DANDI would ask for"
    )


def run(args: argparse.Namespace) -> None:
    """Check everything and print one line for each recording and each problem."""
    from caiman_pipeline.batch.preflight import check_run
    from caiman_pipeline.batch.running import run_command
    from caiman_pipeline.model.errors import PipelineError

    checked = check_run(args.config, args.sheet, files=args.files, dandi=args.dandi)
    width = max((len(r.name) for r in checked.recordings), default=0)
    for recording in checked.recordings:
        print(f"{'problem' if recording.problems else 'ok':<8} {recording.name:<{width}}  {recording.found}")
        for problem in recording.problems:
            print(f"{'':<8} {'':<{width}}  {problem}")
        for remark in recording.remarks:
            print(f"{'':<8} {'':<{width}}  {remark}")
    for problem in (*checked.row_problems, *checked.place_problems):
        print(f"problem  {problem}")
    if checked.n_problems:
        raise PipelineError(f"{checked.n_problems} problem(s), see above.")
    command = run_command(args.config, args.sheet)
    print(f"\n{len(checked.recordings)} recording(s), nothing to complain about. Next: `{command}`")
