"""Convert a movie to another format: any that can be read to TIFF, HDF5, Zarr, NPY, NPZ, MAT, NWB or a video."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from caiman_pipeline.cli.stage import add_stage_arguments, log, progress, stage_job


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how a movie is written."""
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="file to write; its suffix says the format: .tif (OME), .h5, .zarr (OME-NGFF), .npy, .npz, .mat (7.3), "
        ".nwb, .avi and .mkv (8 bits without loss), .mp4 (to look at)",
    )
    parser.add_argument("--format", help="the format where the suffix does not say it, like `imagej` for a hyperstack")
    parser.add_argument("--dtype", help="type of the pixels, like uint16 (default: that of the movie; uint8 in videos)")
    parser.add_argument(
        "--quantiles",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="stretch values between these quantiles over the type's range (default in videos that are not of 8 bits: "
        "0.005 0.998)",
    )
    for name in ("frames", "rows", "columns"):
        parser.add_argument(
            f"--{name}", nargs=2, type=int, metavar=("FIRST", "STOP"), help=f"write only these {name}, from 0"
        )
    parser.add_argument(
        "--recording",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="what is known of the recording, by the keys of the section `recording`, like frame_rate_hz=30 axes=TYX",
    )
    parser.add_argument("--overwrite", action="store_true", help="write over a file that is there")


def output_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return how a movie is written, as ``save_movie`` takes it."""
    options: dict[str, Any] = {name: getattr(args, name) for name in ("format", "dtype", "overwrite")}
    for name in ("quantiles", "frames", "rows", "columns"):
        value = getattr(args, name)
        options[name] = tuple(value) if value else None
    return {**options, "facts": facts_of(args.recording), "progress": progress("frames")}


def facts_of(pairs: list[str]) -> dict[str, str]:
    """Return facts that are written like ``frame_rate_hz=30``."""
    from caiman_pipeline.model.errors import PipelineError

    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise PipelineError(f"--recording {wrong[0]}: facts are written like frame_rate_hz=30.")
    return {key: value for key, _, value in (pair.partition("=") for pair in pairs)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("files", nargs="+", help="movie files, in the order recorded, or a movie.json of results")
    add_output_arguments(parser)
    add_stage_arguments(parser, settings=False)


def run(args: argparse.Namespace) -> None:
    """Convert one movie."""
    with stage_job("convert", args):
        from caiman_pipeline.notebook.movie import open_movie
        from caiman_pipeline.notebook.saving import save_movie

        facts = facts_of(args.recording)
        reading: dict[str, Any] = {name: facts.get(name) for name in ("axes", "dataset", "channel", "planes")}
        movie = open_movie(args.files if len(args.files) > 1 else args.files[0], **reading)
        for note in movie.notes:
            log.info("%s", note)
        save_movie(movie, args.output, **output_options(args))
        log.info("%s written: %s", args.output, movie)
