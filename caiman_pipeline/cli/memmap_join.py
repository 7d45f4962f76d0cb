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
        from caiman_pipeline.model.names import natural_key
        from caiman_pipeline.motion.join import find_parts, join_recording
        from caiman_pipeline.motion.records import block_from_result, template_from_result
        from caiman_pipeline.movies.store.parts import write_index
        from caiman_pipeline.results.files import load_result, save_result
        from caiman_pipeline.results.job_settings import load_stage
        from caiman_pipeline.results.records import LONG_TABLES, load_movie_info, motion_to_arrays

        settings, _ = load_stage("memmap_join", MotionSettings, args.settings)
        info = load_movie_info(args.movie_info)
        folders = sorted(args.blocks, key=natural_key)
        parts = find_parts(folders, n_frames=info.n_frames, dims=info.dims)
        results = (load_result(f / "block.h5", "motion_block", stored=LONG_TABLES["motion"]) for f in folders)
        blocks = [block_from_result(result) for result in results]
        template = template_from_result(load_result(args.template, "motion_template"))
        joined = join_recording(blocks, template, info, settings)
        for warning in joined.warnings:
            log.warning("%s", warning)
        log.info("%s; %d of %d pixels valid", joined.summary, joined.measures.valid.sum(), joined.measures.valid.size)
        stored = settings.plain()
        source: dict[str, object] = {"recording": info.recording, "version": __version__, "settings": stored}
        args.movie.parent.mkdir(parents=True, exist_ok=True)
        write_index(
            args.movie,
            dims=info.dims,
            frame_rate_hz=info.frame_rate_hz,
            parts=parts,
            valid=joined.measures.valid,
            source=source,
            left_out=joined.measures.left_out,
        )
        save_result(
            args.motion,
            kind="motion",
            arrays={**motion_to_arrays(joined.shifts, joined.measures), "warnings": joined.warnings},
            settings=stored,
            source={"recording": info.recording},
        )
