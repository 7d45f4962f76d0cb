"""Write a movie of a recording's results: corrected, denoised, background, residual or DF/F."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiman_pipeline.cli.convert import add_output_arguments, output_options
from caiman_pipeline.cli.stage import add_stage_arguments, log, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("results", type=Path, help="a recording's results, like results/mouse_a")
    parser.add_argument(
        "--what",
        choices=("corrected", "denoised", "background", "residual", "dff"),
        required=True,
        help="corrected: without motion; denoised: footprints x denoised traces; background; residual: corrected less "
        "background and all components; dff: corrected, relative to each pixel's resting level",
    )
    parser.add_argument("--ids", type=int, nargs="+", help="components that `denoised` shows (default: the accepted)")
    add_output_arguments(parser)
    add_stage_arguments(parser, settings=False)


def run(args: argparse.Namespace) -> None:
    """Write one movie."""
    with stage_job("export-movie", args):
        from caiman_pipeline.notebook.results import open_results
        from caiman_pipeline.notebook.saving import save_movie

        results = open_results(args.results)
        known = results.settings.get("export_nwb", results.settings.get("report", {})).get("recording", {})
        options = output_options(args)
        options["facts"] = {**{k: v for k, v in known.items() if v is not None}, **options["facts"]}
        movie = results.modelled_movie(args.what, args.ids)
        save_movie(movie, args.output, **options)
        log.info("%s movie of %s written to %s: %s", args.what, results.name, args.output, movie)
