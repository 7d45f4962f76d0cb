"""Simulate a two-photon recording with known cells: its movie, its truth, and a sheet and config to run on it."""

from __future__ import annotations

import argparse
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from caiman_pipeline.cli.stage import add_stage_arguments, log, progress, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments: one for each setting, with its default."""
    from caiman_pipeline.simulation.settings import SimulationSettings

    parser.add_argument("movie", type=Path, help="movie to write: .tif, .npy, .h5 or .zarr")
    parser.add_argument("--truth", type=Path, help="truth to write (default: truth.h5 beside the movie)")
    parser.add_argument("--overwrite", action="store_true", help="write over a movie or truth that is there")
    parser.add_argument("--sheet", type=Path, help="folder to write a recordings.tsv and a config.yaml to")
    parser.add_argument("--footprints", type=Path, help="plant these cells: a components.h5 or an .npz file")
    parser.add_argument("--footprints-name", help="which footprints of an .npz file that holds several")
    for one in fields(SimulationSettings):
        unit = f", {one.metadata['unit']}" if one.metadata["unit"] else ""
        shown = str(one.default).strip("()").replace(", ", "x")
        parser.add_argument(
            f"--{one.name.replace('_', '-')}",
            type=_dims if one.name == "dims" else type(one.default),
            metavar="HxW" if one.name == "dims" else "N",
            help=f"{one.metadata['meaning']}{unit} (default: {shown})",
        )
    add_stage_arguments(parser, settings=False)


def _dims(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(x\d+){1,2}", text):
        raise argparse.ArgumentTypeError(f"a frame size is written like 256x256 or 8x128x128, found {text!r}")
    return tuple(int(n) for n in text.split("x"))


def run(args: argparse.Namespace) -> None:
    """Simulate one recording."""
    with stage_job("simulate", args) as threads:
        from caiman_pipeline.model.errors import PipelineError
        from caiman_pipeline.simulation.planted import load_footprints
        from caiman_pipeline.simulation.recording import simulate
        from caiman_pipeline.simulation.settings import SimulationSettings
        from caiman_pipeline.simulation.sheet import write_sheet

        names = [one.name for one in fields(SimulationSettings)]
        given: dict[str, Any] = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
        truth = args.truth or args.movie.with_name("truth.h5")
        if there := [str(p) for p in (args.movie, truth) if p.exists() and not args.overwrite]:
            raise PipelineError(f"{' and '.join(there)} would be written over. Give another (--truth) or --overwrite.")
        planted = load_footprints(args.footprints, args.footprints_name) if args.footprints else None
        if planted is not None:
            given.setdefault("dims", planted.dims)
        simulation = simulate(
            args.movie,
            SimulationSettings(**given),
            truth=truth,
            planted=planted,
            threads=threads,
            progress=progress("frames"),
        )
        log.info("%d components; movie %s, truth %s", simulation.n_components, args.movie, truth)
        if args.sheet:
            write_sheet(args.sheet, args.movie, simulation.settings)
