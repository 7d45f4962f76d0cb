"""Register one block of frames and write its parts of the movie."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, log, parse_share, progress, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--movie-info", type=Path, required=True, help="what `inspect` found")
    parser.add_argument("--template", type=Path, required=True, help="what `motion-template` wrote")
    parser.add_argument("--block", required=True, help="which block of how many, like 2-of-4")
    parser.add_argument("--output", type=Path, required=True, help="folder to write: parts of the movie and block.h5")
    parser.add_argument("--store", default="", help="URL on an object store for the parts, instead of the folder")
    add_stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Correct one block of frames."""
    with stage_job("motion_correct", args) as threads:
        from caiman_pipeline.config.motion import MotionSettings
        from caiman_pipeline.motion.correct import correct_block
        from caiman_pipeline.motion.in_pixels import make_plan
        from caiman_pipeline.motion.records import block_to_arrays, template_from_result
        from caiman_pipeline.motion.saved import make_correction, open_source
        from caiman_pipeline.movies.store.bounds import block_parts
        from caiman_pipeline.movies.store.writing import keep_elsewhere
        from caiman_pipeline.results.atomic import whole_folder
        from caiman_pipeline.results.files import load_result, save_result
        from caiman_pipeline.results.job_settings import load_stage
        from caiman_pipeline.results.records import load_movie_info

        block, blocks = parse_share(args.block)
        settings, _ = load_stage("motion_correct", MotionSettings, args.settings)
        info = load_movie_info(args.movie_info)
        plan = make_plan(settings, dims=info.dims, frame_rate_hz=info.frame_rate_hz)
        template = template_from_result(load_result(args.template, "motion_template"))
        source = open_source(info, plan, settings, scan_offset_px=template.scan_offset_px)
        correction = make_correction(
            source, template, plan, settings=settings, values=(info.value_min, info.value_max), threads=threads
        )
        parts = block_parts(info.n_frames, plan.dims, block, blocks)
        log.info("block %s: %d parts, method %s", args.block, len(parts), template.method)
        with whole_folder(args.output) as folder:
            if args.store:
                keep_elsewhere(folder, f"{args.store}/{args.block}.zarr", dims=plan.dims, parts=parts)
            corrected = correct_block(source, parts, folder, correction=correction, progress=progress("frames"))
            save_result(
                folder / "block.h5",
                kind="motion_block",
                arrays=block_to_arrays(corrected),
                settings=settings.plain(),
                source={"recording": info.recording, "block": args.block},
            )
