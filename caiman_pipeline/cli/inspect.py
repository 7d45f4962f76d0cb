"""Look at a recording's files: frames, size, type, range, saturation, bad frames."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, log, progress, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--recording", required=True, help="id of the recording")
    parser.add_argument("--files", nargs="+", required=True, help="movie files, in the order recorded")
    parser.add_argument("--movie-info", type=Path, required=True, help="JSON file to write: what was found")
    parser.add_argument("--frames", type=Path, required=True, help="HDF5 file to write: statistics of every frame")
    parser.add_argument(
        "--pixel-axes",
        type=int,
        default=0,
        help="axes along which the size of a pixel is known (0: unknown): along two only, a volume is refused",
    )
    add_stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Inspect one recording."""
    with stage_job("inspect", args) as threads:
        from caiman_pipeline.config.inspect import InspectSettings
        from caiman_pipeline.config.motion import MotionSettings
        from caiman_pipeline.config.recording import lacks_spacing
        from caiman_pipeline.model.errors import PipelineError
        from caiman_pipeline.model.movie import Reading
        from caiman_pipeline.movies.inspect import inspect_recording
        from caiman_pipeline.results.files import save_result
        from caiman_pipeline.results.job_settings import load_other, load_stage
        from caiman_pipeline.results.records import save_movie_info

        settings, recording = load_stage("inspect", InspectSettings, args.settings)
        listed = load_other("inspect", MotionSettings, args.settings).bad_frames
        log.info("files, in this order: %s", ", ".join(args.files))
        info, stats = inspect_recording(
            args.recording,
            args.files,
            reading=Reading.of(recording),
            frame_rate_hz=recording.known("frame_rate_hz"),
            min_frames=settings.min_frames,
            max_bad_fraction=settings.max_bad_fraction,
            checksums=settings.checksums,
            threads=threads,
            progress=progress("frames"),
            listed=listed,
        )
        if problem := lacks_spacing(args.pixel_axes, len(info.dims)):
            raise PipelineError(problem)
        for warning in info.warnings:
            log.warning("%s", warning)
        log.info("%d frames of %s, %s", info.n_frames, info.dims, info.dtype)
        arrays = {"mean": stats.mean, "minimum": stats.minimum, "maximum": stats.maximum}
        save_result(
            args.frames,
            kind="inspect",
            arrays=arrays,
            settings=settings.plain(),
            source={"recording": info.recording},
        )
        save_movie_info(args.movie_info, info)
