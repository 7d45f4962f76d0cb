"""Apply the shifts of one recording to another movie of the same scene, such as a second channel."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, log, progress, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--movie-info", type=Path, required=True, help="what `inspect` found in the movie to correct")
    parser.add_argument("--motion", type=Path, required=True, help="motion.h5 of the recording whose shifts to apply")
    parser.add_argument("--output", type=Path, required=True, help="folder to write: parts of the corrected movie")
    parser.add_argument("--movie", type=Path, required=True, help="movie index (JSON) to write")
    parser.add_argument("--settings", default="{}", help="settings of the motion stage, as JSON (default: none)")
    add_stage_arguments(parser, settings=False)


def run(args: argparse.Namespace) -> None:
    """Correct one movie by another's shifts."""
    with stage_job("apply_shifts", args) as threads:
        from caiman_pipeline import __version__
        from caiman_pipeline.config.motion import MotionSettings
        from caiman_pipeline.motion.given import apply_shifts
        from caiman_pipeline.motion.join import find_parts
        from caiman_pipeline.movies.store.parts import write_index
        from caiman_pipeline.results.atomic import whole_folder
        from caiman_pipeline.results.job_settings import load_section
        from caiman_pipeline.results.records import load_movie_info

        settings = load_section(MotionSettings, args.settings)
        info = load_movie_info(args.movie_info)
        with whole_folder(args.output) as folder:
            valid = apply_shifts(
                info, args.motion, folder, settings=settings, threads=threads, progress=progress("frames")
            )
        parts = find_parts([args.output], n_frames=info.n_frames, dims=info.dims)
        source: dict[str, object] = {"recording": info.recording, "version": __version__, "shifts": str(args.motion)}
        args.movie.parent.mkdir(parents=True, exist_ok=True)
        write_index(
            args.movie, dims=info.dims, frame_rate_hz=info.frame_rate_hz, parts=parts, valid=valid, source=source
        )
        log.info("%d frames corrected by the shifts of %s", info.n_frames, args.motion)
