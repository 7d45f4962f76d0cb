"""Find cells in a structural channel, as masks to start the extraction from (`patch_cnmf.init: seeded`)."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, log, progress, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "files", type=Path, nargs="+", help="movie or image of the structural channel, motion corrected"
    )
    parser.add_argument("--output", type=Path, required=True, help="masks to write: .tif labels, or .npz sparse matrix")
    parser.add_argument("--cell-diameter-px", type=float, nargs="+", required=True, help="one number, or one per axis")
    parser.add_argument("--axes", help="order of the axes in the files, letters of TZYX")
    parser.add_argument("--channel", help="channel to read of files that hold several: its name or number")
    parser.add_argument("--planes", help="planes to read of volumes, counted from 1, like 1-3")
    parser.add_argument("--dataset", help="path of the movie inside an HDF5 or Zarr file")
    parser.add_argument("--contrast", type=float, default=2.0, help="background SD above the surround that is a cell")
    parser.add_argument("--min-area", type=float, default=0.25, help="smallest mask, share of a cell's area (volume)")
    parser.add_argument("--max-hole", type=float, default=0.15, help="largest hole to fill, share of a cell's area")
    parser.add_argument("--expand", choices=("closing", "dilation", "none"), default="closing", help="widen masks")
    parser.add_argument("--expand-px", type=int, default=1, help="by so many pixels")
    parser.add_argument("--split", action="store_true", help="cut cells that touch apart")
    add_stage_arguments(parser, settings=False)


def run(args: argparse.Namespace) -> None:
    """Extract masks from one structural channel."""
    with stage_job("extract-masks", args):
        from caiman_pipeline.config.base import Length
        from caiman_pipeline.extraction.masks.read import check_masks_name, write_masks
        from caiman_pipeline.extraction.masks.structural import extract_binary_masks, mean_image
        from caiman_pipeline.model.movie import Reading
        from caiman_pipeline.movies.readers.open import open_movie_files

        check_masks_name(args.output)
        movie = open_movie_files([str(f) for f in args.files], Reading.of(args))
        cell_px = Length(tuple(args.cell_diameter_px), "px").per_axis(len(movie.dims))
        masks = extract_binary_masks(
            mean_image(movie, progress=progress("frames")),
            cell_px=cell_px,
            contrast=args.contrast,
            min_area=args.min_area,
            max_hole=args.max_hole,
            expand=args.expand,
            expand_px=args.expand_px,
            split=args.split,
        )
        log.info("%d masks in %s", masks.shape[1], " x ".join(map(str, movie.dims)))
        write_masks(args.output, masks, movie.dims)
