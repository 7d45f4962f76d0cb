"""Update footprints, background and traces of all components over the full field."""

from __future__ import annotations

import argparse
from contextlib import ExitStack, nullcontext
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, log, progress, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--movie", type=Path, required=True, help="movie.json of the corrected movie")
    parser.add_argument("--images", type=Path, required=True, help="HDF5 file of the summary images")
    parser.add_argument("--merged", type=Path, required=True, help="HDF5 file of the merged components")
    parser.add_argument("--components", type=Path, required=True, help="HDF5 file to write: the updated components")
    parser.add_argument("--scratch", help="local folder to keep the movie in for the job's later passes over it")
    add_stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Refine one recording's components."""
    with stage_job("refine", args) as threads, ExitStack() as kept:
        from caiman_pipeline.config.refine import RefineSettings
        from caiman_pipeline.config.traces import TraceSettings
        from caiman_pipeline.extraction.refined import refine_as_set
        from caiman_pipeline.extraction.refit import load_start
        from caiman_pipeline.movies.store.parts import open_store
        from caiman_pipeline.movies.store.scratch import near
        from caiman_pipeline.results.files import add_arrays, load_result, result_file
        from caiman_pipeline.results.job_settings import load_other, load_stage
        from caiman_pipeline.results.long_tables import on_disk
        from caiman_pipeline.results.provenance import of_another_run
        from caiman_pipeline.results.records import components_to_arrays

        settings, recording = load_stage("refine", RefineSettings, args.settings)
        model = load_other("refine", TraceSettings, args.settings).completed()
        movie = kept.enter_context(near(open_store(args.movie), args.scratch))
        with of_another_run() if settings.start else nullcontext():
            start = load_start(settings.start or args.merged, movie)
        images = load_result(args.images, "images")
        stored = settings.plain()
        source = {"movie": str(args.movie)}
        with result_file(args.components, kind="components", settings=stored, source=source) as file:
            components = refine_as_set(
                movie,
                start,
                settings,
                recording,
                model=model,
                mean=images["mean"],
                noise=images["noise"],
                tables=on_disk(file, args.components),
                threads=threads,
                progress=progress("frames"),
            )
            facts = {"bin_frames": start.bin_frames, "n_masks": start.n_masks, "shapeless": start.shapeless}
            add_arrays(file, {**components_to_arrays(components), **facts})
        log.info("%d components", components.n_components)
