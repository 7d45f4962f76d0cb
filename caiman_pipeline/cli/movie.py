"""Write a movie made of another: blurred, resized, binned, relative to its resting level, projected, in this order."""

from __future__ import annotations

import argparse
from typing import Any

from caiman_pipeline.cli.convert import add_output_arguments, facts_of, output_options
from caiman_pipeline.cli.stage import add_stage_arguments, log, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("files", nargs="+", help="movie files, in the order recorded, or a movie.json of results")
    parser.add_argument("--blur", choices=("gaussian", "median", "bilateral"), help="smooth within each plane")
    parser.add_argument(
        "--size", type=float, help="of the blur: standard deviation, or side of the median's square, px"
    )
    parser.add_argument("--value-range", type=float, help="of a bilateral blur: values that count as near")
    parser.add_argument("--resize", nargs=2, type=int, metavar=("ROWS", "COLUMNS"), help="frames of another size")
    parser.add_argument("--bin", type=int, metavar="FRAMES", help="so many frames as one")
    parser.add_argument("--statistic", choices=("mean", "median", "max", "min"), default="mean", help="of a bin")
    parser.add_argument(
        "--relative",
        choices=("dff", "dff_sqrt", "difference"),
        help="to each pixel's resting level: DF/F, DF/sqrt(F), or F - F0",
    )
    parser.add_argument("--window-s", type=float, help="windows in which the level is looked for, s")
    parser.add_argument("--quantile", type=float, help="of a window that is its level, from 0 to 1")
    parser.add_argument("--dark-level", type=float, help="pixel value without light")
    parser.add_argument("--project", choices=("mean", "std", "max", "min", "sum"), help="one frame made of all")
    add_output_arguments(parser)
    add_stage_arguments(parser, settings=False)


def run(args: argparse.Namespace) -> None:
    """Make one movie."""
    with stage_job("movie", args):
        from caiman_pipeline.notebook.movie import open_movie
        from caiman_pipeline.notebook.saving import save_movie

        facts = facts_of(args.recording)
        reading: dict[str, Any] = {name: facts.get(name) for name in ("axes", "dataset", "channel", "planes")}
        movie = open_movie(args.files if len(args.files) > 1 else args.files[0], **reading)
        made = _changed(movie, args, facts)
        options = output_options(args)
        # What was given is of the movie that was read; what was made of it knows its own.
        given = {"frame_rate_hz", "pixel_size_um", "plane_spacing_um"}
        options["facts"] = {k: v for k, v in facts.items() if k not in given}
        save_movie(made, args.output, **options)
        log.info("%s written: %s", args.output, made)


def _changed(movie: Any, args: argparse.Namespace, facts: dict[str, str]) -> Any:
    """Return the movie with everything done that is asked for."""
    import numpy as np

    from caiman_pipeline.model.errors import PipelineError
    from caiman_pipeline.notebook.operations import bin_movie, blur_movie, project_movie, resize_movie
    from caiman_pipeline.notebook.saving import relative_movie, with_facts

    movie = with_facts(movie, facts)
    if args.blur and args.size is None:
        raise PipelineError("--blur needs its --size.")
    movie = blur_movie(movie, args.blur, args.size, value_range=args.value_range) if args.blur else movie
    movie = resize_movie(movie, *args.resize) if args.resize else movie
    movie = bin_movie(movie, args.bin, statistic=args.statistic) if args.bin else movie
    if args.relative:
        level = {"window_s": args.window_s, "quantile": args.quantile, "dark_level": args.dark_level}
        movie = relative_movie(movie, kind=args.relative, **level)
    return np.asarray(project_movie(movie, args.project))[None] if args.project else movie
