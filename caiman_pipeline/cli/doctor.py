"""Print what this machine offers a run: versions, threads, linear algebra library, kernel cache, disk."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "--results", type=Path, default=Path("results"), help="results folder to look at (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> None:
    """Print what was found, advice below it."""
    from caiman_pipeline.batch.doctor import examine

    for finding in examine(args.results):
        print(f"{finding.name:<24} {finding.value}")
        if finding.advice:
            print(f"{'':<24} -> {finding.advice}")
