"""Build the template that frames are registered to, and decide how they are corrected."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, log, progress, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--movie-info", type=Path, required=True, help="what `inspect` found")
    parser.add_argument("--template", type=Path, required=True, help="HDF5 file to write")
    add_stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Build one recording's template."""
    with stage_job("motion_template", args) as threads:
        from caiman_pipeline.config.motion import MotionSettings
        from caiman_pipeline.motion.in_pixels import make_plan
        from caiman_pipeline.motion.make import build
        from caiman_pipeline.motion.records import template_to_arrays
        from caiman_pipeline.results.files import save_result
        from caiman_pipeline.results.job_settings import load_stage
        from caiman_pipeline.results.records import load_movie_info

        settings, _ = load_stage("motion_template", MotionSettings, args.settings)
        info = load_movie_info(args.movie_info)
        plan = make_plan(settings, dims=info.dims, frame_rate_hz=info.frame_rate_hz)
        result = build(info, plan, settings, threads=threads, progress=progress("rounds"))
        log.info(
            "template from %d stretches of frames; method %s (wanted %s)",
            len(result.sample),
            result.method,
            settings.method,
        )
        log.info(
            "log-likelihood per frame against no correction: none %.1f, rigid %.1f, piecewise %.1f", *result.scores
        )
        if settings.scan_offset:
            log.info("odd rows lie %.2f px to the right", result.scan_offset_px)
        save_result(
            args.template,
            kind="motion_template",
            arrays=template_to_arrays(result),
            settings=settings.plain(),
            source={"recording": info.recording},
        )
