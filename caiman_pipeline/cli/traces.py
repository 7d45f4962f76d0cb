"""Deconvolve the demixed trace of every component and compute its F0 and DF/F."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, log, progress, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--components", type=Path, required=True, help="HDF5 file of the refined components")
    parser.add_argument("--traces", type=Path, required=True, help="HDF5 file to write: deconvolution and DF/F")
    add_stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Compute one recording's traces."""
    with stage_job("traces", args) as threads:
        from caiman_pipeline.config.traces import TraceSettings
        from caiman_pipeline.results.files import add_arrays, load_result, result_file
        from caiman_pipeline.results.job_settings import load_stage
        from caiman_pipeline.results.records import LONG_TABLES, components_from_result, traces_to_arrays
        from caiman_pipeline.traces.decays import decay_warning
        from caiman_pipeline.traces.extract import extract_traces
        from caiman_pipeline.traces.timing import timing_from

        settings, recording = load_stage("traces", TraceSettings, args.settings)
        found = load_result(args.components, "components", stored=LONG_TABLES["components"])
        components = components_from_result(found)
        timing = timing_from(recording.frame_rate_hz, recording.decay_time_s, frames_per_bin=components.frames_per_bin)
        source = {"components": str(args.components), **found.source}
        with result_file(args.traces, kind="traces", settings=settings.plain(), source=source) as file:
            traces = extract_traces(
                components,
                settings,
                timing,
                pixel_height=recording.pixel_height(len(components.dims)),
                threads=threads,
                progress=progress("components"),
                new_table=file.create_dataset,
            )
            add_arrays(file, traces_to_arrays(traces))
            if warning := decay_warning(traces.own_decay_s, timing.decay_time_s):
                log.warning("%s", warning)  # before the file is closed, so that it stands in its provenance
        for row, flag in zip(traces.ids, traces.flags, strict=True):
            if flag:
                log.info("component %d: %s", row, flag)
        log.info("%d components, %d with a remark", len(traces.ids), sum(map(bool, traces.flags)))
