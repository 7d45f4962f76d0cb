"""Build the template that frames are registered to."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, log, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--movie-info", type=Path, required=True, help="what `inspect` found")
    parser.add_argument("--template", type=Path, required=True, help="HDF5 file to write")
    add_stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Build one recording's template."""
    with stage_job("motion_template", args):
        import numpy as np

        from caiman_pipeline.config.motion import MotionSettings
        from caiman_pipeline.config.root import load_stage
        from caiman_pipeline.io.readers import open_inspected
        from caiman_pipeline.io.records import load_movie_info
        from caiman_pipeline.io.results import save_result
        from caiman_pipeline.motion.template import build_template, choose_frames

        settings, _ = load_stage(MotionSettings, args.settings)
        info = load_movie_info(args.movie_info)
        indices = choose_frames(info.n_frames, info.bad_frames, count=settings.template_frames)
        limits = tuple(int(np.ceil(v)) for v in settings.max_shift.per_axis(len(info.dims)))
        box = np.array([(a, n - b) for (a, b), n in zip(info.border_px, info.dims, strict=True)])
        template = build_template(
            open_inspected(info), indices, max_shift=limits, iterations=settings.template_iterations, box=box
        )
        log.info("template from %d frames", len(indices))
        save_result(
            args.template, kind="motion_template", arrays={"template": template, "frames": indices},
            settings=settings.model_dump(mode="json"), source={"recording": info.recording},
        )  # fmt: skip
