"""Verify results against what made them: content, raw files, and each other; status 2 if something does not fit."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiman_pipeline.stages import LOGS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("results", type=Path, nargs="?", help="results folder (default: the config's `paths.results`)")
    parser.add_argument("--recordings", nargs="*", metavar="ID", help="only these (default: all that are there)")
    parser.add_argument("--checksums", action="store_true", help="read movie, raw files and NWB files too (slow)")


def run(args: argparse.Namespace) -> None:
    """Verify recordings and print one line for each, and each problem."""
    from caiman_pipeline.batch.preflight import load_run
    from caiman_pipeline.batch.verify import verify_recording
    from caiman_pipeline.model.errors import PipelineError

    results = args.results or Path(load_run(None, None)[0].paths.results)
    there = sorted(p.name for p in results.glob("*") if (p / LOGS).is_dir()) if results.is_dir() else []
    names = args.recordings or there
    if not names:
        raise PipelineError(f"{results}: no recordings there. Name the results folder.")
    if unknown := sorted(set(names) - set(there)):
        raise PipelineError(f"{results}: no recording {', '.join(unknown)} there.")
    verified = [verify_recording(results / name, checksums=args.checksums) for name in names]
    for one in verified:
        state = f"{len(one.findings)} problem(s)" if one.findings else "ok" if one.n_files else "nothing to verify"
        versions = f" by version {', '.join(one.versions)}" if one.versions else ""
        print(f"{one.recording}: {state}, {one.n_files} results{versions}")
        for finding in one.findings:
            print(f"  {finding.path}: {finding.problem}")
    if problems := sum(len(one.findings) for one in verified):
        raise PipelineError(f"{problems} problem(s), see above.")
