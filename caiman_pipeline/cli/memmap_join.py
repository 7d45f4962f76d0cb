"""List the blocks' parts as one movie, and bring their shifts and measures together."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, log, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--movie-info", type=Path, required=True, help="what `inspect` found")
    parser.add_argument("--template", type=Path, required=True, help="what `motion-template` wrote")
    parser.add_argument("--blocks", type=Path, nargs="+", required=True, help="folders that `motion-correct` wrote")
    parser.add_argument("--movie", type=Path, required=True, help="movie index (JSON) to write")
    parser.add_argument("--motion", type=Path, required=True, help="HDF5 file to write: shifts and measures")
    add_stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Join one recording's blocks."""
    with stage_job("memmap_join", args):
        from caiman_pipeline import __version__
        from caiman_pipeline.config.motion import MotionSettings
        from caiman_pipeline.config.root import load_stage
        from caiman_pipeline.io.readers import natural_key
        from caiman_pipeline.io.records import load_movie_info
        from caiman_pipeline.io.results import load_result, save_result
        from caiman_pipeline.io.store import write_index
        from caiman_pipeline.motion.join import find_parts, join_blocks, valid_mask
        from caiman_pipeline.motion.results import block_from_result

        settings, _ = load_stage(MotionSettings, args.settings)
        info = load_movie_info(args.movie_info)
        template = load_result(args.template, "motion_template")["template"]
        folders = sorted(args.blocks, key=natural_key)
        blocks = [block_from_result(load_result(folder / "block.h5", "motion_block")) for folder in folders]
        parts = find_parts(folders, n_frames=info.n_frames, dims=info.dims)
        arrays = join_blocks(blocks, n_frames=info.n_frames, bad_frames=info.bad_frames)
        valid = valid_mask(arrays["valid_count"], n_frames=info.n_frames)
        log.info("%d parts, %d of %d pixels valid", len(parts), valid.sum(), valid.size)
        stored = settings.model_dump(mode="json")
        source: dict[str, object] = {"recording": info.recording, "version": __version__, "settings": stored}
        args.movie.parent.mkdir(parents=True, exist_ok=True)
        write_index(
            args.movie, dims=info.dims, frame_rate_hz=info.frame_rate_hz, parts=parts, valid=valid, source=source
        )
        save_result(
            args.motion, kind="motion", settings=stored,
            arrays={**arrays, "template": template, "valid": valid, "method": settings.method}, source={"recording": info.recording},
        )  # fmt: skip
