"""Find components in one batch of tiles of the corrected movie."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, log, parse_share, progress, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--movie", type=Path, required=True, help="movie.json of the corrected movie")
    parser.add_argument("--images", type=Path, required=True, help="HDF5 file of the summary images")
    parser.add_argument("--batch", required=True, help="which batch of the tiles, like 1-of-4")
    parser.add_argument("--output", type=Path, required=True, help="HDF5 file to write: the components found")
    add_stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Search one batch of tiles."""
    with stage_job("patch_cnmf", args) as threads:
        from caiman_pipeline.config.patch_cnmf import PatchSettings
        from caiman_pipeline.config.plausible import doubts
        from caiman_pipeline.extraction.masks.seeds import assign_seeds, find_seeds
        from caiman_pipeline.extraction.tiles.cell_size import cell_size_warning
        from caiman_pipeline.extraction.tiles.in_pixels import plan_search
        from caiman_pipeline.extraction.tiles.run import search_tiles
        from caiman_pipeline.movies.store.parts import open_store
        from caiman_pipeline.results.files import load_result, save_result
        from caiman_pipeline.results.job_settings import load_stage
        from caiman_pipeline.results.records import candidates_to_arrays

        settings, recording = load_stage("patch_cnmf", PatchSettings, args.settings)
        movie = open_store(args.movie)
        plan = plan_search(settings, recording, movie.dims, movie.n_frames)
        log.info(
            "%d tiles of %s px, bins of %d frames", len(plan.grid.tiles), plan.grid.tiles[0].shape, plan.bin_frames
        )
        images, batch = load_result(args.images, "images"), parse_share(args.batch)
        noise = images["noise"]
        if batch[0] == 0:
            seen = "" if plan.shapeless else cell_size_warning(images["correlation"], noise > 0, plan.tile.cell_px)
            for doubt in filter(None, [*doubts(recording, movie.dims), seen]):
                log.warning("%s", doubt)
        seeds = find_seeds(settings, movie, noise)
        for number, reason in seeds.dropped:
            log.warning("mask %d is left out: %s", number, reason)
        candidates = search_tiles(
            movie,
            plan.grid,
            batch=batch,
            bin_frames=plan.bin_frames,
            noise=noise,
            seeds=assign_seeds(plan.grid, seeds),
            shapeless=plan.shapeless,
            settings=plan.tile,
            threads=threads,
            progress=progress("tiles"),
        )
        log.info("%d components", len(candidates.traces))
        save_result(
            args.output,
            kind="candidates",
            arrays={
                **candidates_to_arrays(candidates),
                "n_masks": seeds.n_masks,
                "dropped_masks": tuple(f"{number}: {reason}" for number, reason in seeds.dropped),
            },
            settings=settings.plain(),
            source={"movie": str(args.movie), "batch": args.batch},
        )
