"""Recompute NWB files from themselves: DF/F from F and F0, F from its parts, the table from the series."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "nwb", type=Path, nargs="+", help="NWB files that this pipeline wrote; each is enough by itself"
    )


def run(args: argparse.Namespace) -> None:
    """Print one line for each file and comparison; the status is 2 where one does not hold."""
    from caiman_pipeline.model.errors import PipelineError
    from caiman_pipeline.nwb.recompute import recompute

    problems = 0
    for path in args.nwb:
        findings = recompute(path)
        wrong = [finding for finding in findings if not finding.holds]
        problems += len(wrong)
        print(f"{path}: {f'{len(wrong)} problem(s)' if wrong else 'ok'}, {len(findings)} comparisons")
        for finding in findings:
            print(f"  {'ok' if finding.holds else 'NO'}  {finding.what} (apart by {finding.apart:.1e})")
    if problems:
        raise PipelineError(f"{problems} problem(s), see above.")
