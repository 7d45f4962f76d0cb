"""Update footprints and traces of a components file by hierarchical alternating least squares."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, log, progress, stage_job
from caiman_pipeline.stages import place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("components", type=Path, help=f"a recording's {place('components')}, or one edited before")
    parser.add_argument("--movie", type=Path, required=True, help="movie.json of the corrected movie")
    parser.add_argument("--images", type=Path, required=True, help="HDF5 file of the summary images")
    parser.add_argument("--output", type=Path, required=True, help="file to write; may be the same")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of a pass for footprints and one for traces")
    parser.add_argument("--footprint-iterations", type=int, default=2, help="sweeps over footprints; 0 leaves them")
    parser.add_argument("--trace-iterations", type=int, default=5, help="sweeps over traces; 0 leaves them")
    parser.add_argument("--nonnegative", action="store_true", help="keep traces and background above their lowest")
    parser.add_argument("--keep-background", action="store_true", help="leave the background as it is")
    add_stage_arguments(parser, settings=False)


def run(args: argparse.Namespace) -> None:
    """Update one file."""
    with stage_job("hals", args) as threads:
        from caiman_pipeline.extraction.background.nodes import Static
        from caiman_pipeline.extraction.gaps import with_gaps, without_gaps
        from caiman_pipeline.extraction.hals import HalsSettings, hals
        from caiman_pipeline.extraction.refine import prepare_field
        from caiman_pipeline.extraction.refit import check_movie
        from caiman_pipeline.model.errors import PipelineError
        from caiman_pipeline.movies.store.parts import open_store
        from caiman_pipeline.results.curated import load_curated, save_curated
        from caiman_pipeline.results.files import load_result

        for name in ("rounds", "footprint_iterations", "trace_iterations"):
            if getattr(args, name) < (fewest := 1 if name == "rounds" else 0):
                option = f"--{name.replace('_', '-')}"
                raise PipelineError(f"`{option}` is {getattr(args, name)}: give a number from {fewest} on.")
        movie, images = open_store(args.movie), load_result(args.images, "images")
        result, curated = load_curated(args.components)
        check_movie(args.components, curated.present.dims, curated.present.denoised.shape[1], movie, bin_frames=None)
        if images["mean"].shape != movie.dims:
            raise PipelineError(
                f"{args.images}: images of {images['mean'].shape}, but the movie's frames are {movie.dims}. "
                "Give the summary images of the same recording."
            )
        # The file's own background is updated: the field needs none.
        field = prepare_field(movie, mean=images["mean"], noise=images["noise"], background=Static(), threads=threads)
        settings = HalsSettings(
            rounds=args.rounds,
            footprint_iterations=args.footprint_iterations,
            trace_iterations=args.trace_iterations,
            nonnegative=args.nonnegative,
            update_background=not args.keep_background,
        )
        present = without_gaps(curated.present, movie.kept)
        present = with_gaps(hals(field, present, settings=settings, progress=progress("frames")), movie.kept)
        log.info("%d components", present.n_components)
        save_curated(args.output, replace(curated, present=present), result)
