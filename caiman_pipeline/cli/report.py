"""Write a recording's HTML report, with a thumbnail and an overview for the batch page."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiman_pipeline.cli.export_nwb import add_outcome_arguments
from caiman_pipeline.cli.stage import add_stage_arguments, log, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    add_outcome_arguments(parser)
    parser.add_argument("--frames", type=Path, required=True, help="HDF5 result: statistics of every raw frame")
    parser.add_argument("--report", type=Path, required=True, help="HTML file to write")
    parser.add_argument("--thumbnail", type=Path, required=True, help="JPEG file to write")
    parser.add_argument("--overview", type=Path, required=True, help="JSON file to write")
    add_stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Write one recording's report."""
    with stage_job("report", args):
        import json

        from caiman_pipeline.config.report import ReportSettings
        from caiman_pipeline.outcome import OutcomeFiles, load_outcome, missing_dff
        from caiman_pipeline.report.canvas import jpeg_bytes
        from caiman_pipeline.report.page import build_page
        from caiman_pipeline.results.atomic import whole_file, write_text
        from caiman_pipeline.results.files import load_result
        from caiman_pipeline.results.job_settings import load_stage

        settings, facts = load_stage("report", ReportSettings, args.settings)
        names = ("movie_info", "motion", "images", "components", "traces", "quality", "selection")
        outcome = load_outcome(OutcomeFiles(**{name: getattr(args, name) for name in names}))
        for text in missing_dff(outcome):
            log.warning("%s", text)
        frame_means = load_result(args.frames, "inspect")["mean"]
        page = build_page(outcome, frame_means, facts=facts, settings=settings)
        log.info(
            "%d components, %d accepted, %.1f MB",
            page.overview["found"],
            page.overview["accepted"],
            len(page.html) / 1e6,
        )
        write_text(args.report, page.html)
        with whole_file(args.thumbnail) as temporary:
            temporary.write_bytes(jpeg_bytes(page.thumbnail))
        write_text(args.overview, json.dumps(page.overview, indent=1))
