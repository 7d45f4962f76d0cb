"""Write a recording's NWB file and its table of components."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, log, stage_job


def add_outcome_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the results that an outcome is read from."""
    parser.add_argument("--movie-info", type=Path, required=True, help="JSON of the inspect stage")
    for name, text in (
        ("motion", "shifts and measures of the motion stage"),
        ("images", "summary images"),
        ("components", "components of the refine stage"),
        ("traces", "traces of all components"),
        ("quality", "quality measures of all components"),
        ("selection", "which components are accepted"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"HDF5 result: {text}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    add_outcome_arguments(parser)
    parser.add_argument("--nwb", type=Path, required=True, help="NWB file to write")
    parser.add_argument("--table", type=Path, required=True, help="CSV table of components to write")
    add_stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Export one recording."""
    with stage_job("export_nwb", args):
        from caiman_pipeline.config.export import ExportSettings
        from caiman_pipeline.nwb.table import write_table
        from caiman_pipeline.nwb.write import write_nwb
        from caiman_pipeline.outcome import OutcomeFiles, component_table, keep_accepted, load_outcome
        from caiman_pipeline.results.job_settings import load_stage
        from caiman_pipeline.results.provenance import noted_stages

        settings, facts = load_stage("export_nwb", ExportSettings, args.settings)
        names = ("movie_info", "motion", "images", "components", "traces", "quality", "selection")
        outcome = load_outcome(OutcomeFiles(**{name: getattr(args, name) for name in names}))
        outcome = replace(outcome, stages=noted_stages())
        log.info("%d components, %d accepted", outcome.components.n_components, outcome.n_accepted)
        outcome = outcome if settings.include_rejected else keep_accepted(outcome)
        table = component_table(outcome, pixel_um=facts.pixel_um())
        write_nwb(args.nwb, outcome, table, facts=facts)
        write_table(args.table, table)
