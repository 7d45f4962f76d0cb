"""Make the summary images of a corrected movie in one pass over it."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, progress, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--movie", type=Path, required=True, help="movie.json of the corrected movie")
    parser.add_argument("--images", type=Path, required=True, help="HDF5 file to write: the images")
    add_stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Summarise one movie."""
    with stage_job("summary_images", args) as threads:
        from caiman_pipeline.config.summary_images import ImageSettings
        from caiman_pipeline.movies.store.parts import open_store
        from caiman_pipeline.results.files import save_result
        from caiman_pipeline.results.job_settings import load_stage
        from caiman_pipeline.summary_images import summarise_as_set

        settings, recording = load_stage("summary_images", ImageSettings, args.settings)
        movie = open_store(args.movie)
        images = summarise_as_set(movie, settings, recording, threads=threads, progress=progress("frames"))
        save_result(
            args.images,
            kind="images",
            arrays=vars(images),
            settings=settings.plain(),
            source={"movie": str(args.movie)},
        )
