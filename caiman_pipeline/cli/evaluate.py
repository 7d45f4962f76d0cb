"""Measure the quality of all components: traces, footprints, and whether the movie shows them."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, progress, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--movie", type=Path, required=True, help="movie.json of the corrected movie")
    parser.add_argument("--movie-info", type=Path, required=True, help="JSON file of the inspection")
    parser.add_argument("--motion", type=Path, required=True, help="HDF5 file of the joined motion: shifts")
    parser.add_argument("--components", type=Path, required=True, help="HDF5 file of the refined components")
    parser.add_argument("--quality", type=Path, required=True, help="HDF5 file to write: the measures")
    add_stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Evaluate one recording's components."""
    with stage_job("evaluate", args) as threads:
        from caiman_pipeline.config.evaluate import EvaluateSettings
        from caiman_pipeline.movies.store.parts import open_store
        from caiman_pipeline.quality.evaluate import evaluate_as_set
        from caiman_pipeline.results.files import load_result, save_result
        from caiman_pipeline.results.job_settings import load_stage
        from caiman_pipeline.results.long_tables import working_tables
        from caiman_pipeline.results.records import (
            LONG_TABLES,
            components_from_result,
            load_movie_info,
            quality_to_arrays,
        )

        settings, recording = load_stage("evaluate", EvaluateSettings, args.settings)
        movie = open_store(args.movie)
        motion = load_result(args.motion, "motion", skip=("field",))
        found = load_result(args.components, "components", stored=LONG_TABLES["components"])
        quality = evaluate_as_set(
            movie,
            components_from_result(found),
            settings,
            recording,
            shifts=motion["rigid"],
            at_limit=motion["at_limit"],
            ceiling=load_movie_info(args.movie_info).ceiling,
            new_table=working_tables(args.quality),
            threads=threads,
            progress=progress("frames"),
        )
        save_result(
            args.quality,
            kind="quality",
            arrays=quality_to_arrays(quality),
            settings=settings.plain(),
            source={"components": str(args.components)},
        )
