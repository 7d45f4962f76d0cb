"""Write a recording's components and traces for other tools: suite2p, CSV, NPZ, MATLAB, Neurofinder, ImageJ."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, log, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("results", type=Path, help="a recording's results, like results/mouse_a")
    parser.add_argument(
        "--format",
        required=True,
        help="suite2p (folder), csv (folder), npz, mat, neurofinder (JSON of pixels) or imagej (ZIP of outlines)",
    )
    parser.add_argument("--output", type=Path, required=True, help="file or folder to write")
    parser.add_argument("--all", action="store_true", help="rejected components too, flagged where the format can")
    parser.add_argument("--overwrite", action="store_true", help="write over what is there")
    add_stage_arguments(parser, settings=False)


def run(args: argparse.Namespace) -> None:
    """Export one recording."""
    with stage_job("export-results", args):
        from caiman_pipeline.notebook.results import open_results

        results = open_results(args.results)
        count = results.export(args.output, args.format, everything=args.all, overwrite=args.overwrite)
        log.info("%d components of %s written to %s", count, results.name, args.output)
