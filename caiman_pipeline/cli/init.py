"""Write a starter config and recordings sheet for a folder of movies; nothing that exists is overwritten."""

from __future__ import annotations

import argparse
from pathlib import Path

FACTS = {
    "frame_rate_hz": "frames per second",
    "decay_time_s": "decay time of the indicator, s",
    "cell_diameter": "diameter of a typical cell, like '12 um'",
    "pixel_size_um": "size of a pixel, um (rows x columns where it is not square, like '2.5 x 1.0')",
    "species": "Latin name of the species, like 'Danio rerio'",
    "indicator": "calcium indicator, like GCaMP6f",
    "axes": "order of the axes, like TZYX",
    "dataset": "path of the movie inside HDF5 or Zarr files",
    "channel": "channel to read where files hold several",
    "planes": "planes to read of volumes, like 1-3",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("folder", type=Path, help="folder with movies, looked through with its subfolders")
    parser.add_argument(
        "--sheet", type=Path, default=Path("config/recordings.tsv"), help="sheet to write (default: %(default)s)"
    )
    parser.add_argument(
        "--separate", action="store_true", help="make each file a recording of its own, also where names count up"
    )
    parser.add_argument("--add", action="store_true", help="add a row for each movie that a sheet does not list yet")
    for name, meaning in FACTS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", help=f"{meaning}, the same for all recordings")


def run(args: argparse.Namespace) -> None:
    """Write the starter files and say what was found."""
    from caiman_pipeline.batch.running import run_command
    from caiman_pipeline.batch.starter import look_through, write_starter
    from caiman_pipeline.config.sheet import MAY_STAY_OPEN, PLACEHOLDER

    given = {name: value for name in FACTS if (value := getattr(args, name)) is not None}
    for reason, paths in look_through(args.folder).left_out.items():
        print(f"left out, {reason}: {', '.join(map(str, paths))}")
    drafts, written = write_starter(args.folder, Path(), args.sheet, given, separate=args.separate, add=args.add)
    if args.add and not drafts:
        print(f"{args.sheet} lists all movies of {args.folder} already")
    for draft in drafts:
        print(f"{draft.cells['recording']}: {draft.found}")
        if draft.problem:
            print(f"  look at this: {draft.problem}")
    if any(draft.n_files > 1 for draft in drafts):
        print("\nFiles whose names differ only in their last number were taken as one recording, in this order.")
        print("If each is a recording of its own: delete the sheet and give `init --separate`.")
    print(f"\nwritten: {', '.join(map(str, written)) or 'nothing'}")
    blanks = sorted({c for d in drafts for c, text in d.cells.items() if text == PLACEHOLDER})
    if asked := [c for c in MAY_STAY_OPEN if c in blanks]:
        print(f"asked for the NWB file: {', '.join(asked)}. Replace {PLACEHOLDER}, or leave open what is not known.")
    if needed := [c for c in blanks if c not in asked]:
        print(f"next: replace {PLACEHOLDER} in {args.sheet} ({', '.join(needed)}), then `caiman-pipeline check`")
    else:
        print(f"next: `caiman-pipeline check`, then `{run_command()}`")
