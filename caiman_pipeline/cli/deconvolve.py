"""Deconvolve a table of traces (CSV, NPY or NWB) without a movie."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, log, progress, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("table", type=Path, help="traces: .csv or .tsv (a row per frame), .npy (traces, frames), .nwb")
    parser.add_argument("--output", type=Path, required=True, help="file to write: .h5 everything; .csv, .npy activity")
    parser.add_argument("--frame-rate-hz", type=float, help="frames per second, where the file does not tell")
    parser.add_argument("--decay-time-s", type=float, required=True, help="1/e decay time of a transient")
    parser.add_argument("--series", help="ROI response series of an NWB file, like Demixed or Fluorescence/Demixed")
    parser.add_argument(
        "--transposed", action=argparse.BooleanOptionalAction, help="a CSV row, or an NPY column, is one trace (or not)"
    )
    parser.add_argument("--settings", default="{}", help="keys of `traces` that differ from their defaults, as JSON")
    add_stage_arguments(parser, settings=False)


def run(args: argparse.Namespace) -> None:
    """Deconvolve one table."""
    with stage_job("deconvolve", args) as threads:
        from caiman_pipeline.config.plausible import wrong_timing
        from caiman_pipeline.config.traces import TraceSettings
        from caiman_pipeline.model.errors import PipelineError
        from caiman_pipeline.results.job_settings import load_section
        from caiman_pipeline.traces.activity import infer_activity
        from caiman_pipeline.traces.decays import decay_warning, own_decays
        from caiman_pipeline.traces.tables import check_output, rate_and_decay, read_table, write_table
        from caiman_pipeline.traces.timing import timing_from

        settings = load_section(TraceSettings, args.settings)
        check_output(args.output)
        table = read_table(args.table, transposed=args.transposed, series=args.series)
        for name in table.left_out:
            log.warning("%s counts frames and is left out", name)
        rate = rate_and_decay(table, args.frame_rate_hz, args.decay_time_s, path=args.table)
        timing = timing_from(rate, args.decay_time_s)
        if problem := wrong_timing(timing.frame_rate_hz, timing.decay_time_s):
            raise PipelineError(problem)
        log.info("%d traces of %d frames at %.4g Hz", *table.traces.shape, timing.frame_rate_hz)
        result = infer_activity(table.traces, settings, timing, threads=threads, progress=progress("traces"))
        if warning := decay_warning(own_decays(result, timing), timing.decay_time_s):
            log.warning("%s", warning)
        for name, flag in zip(table.names, result.flags, strict=True):
            if flag:
                log.info("trace %s: %s", name, flag)
        write_table(
            args.output,
            table.names,
            result,
            source=str(args.table),
            settings={
                **settings.model_dump(mode="json"),
                "frame_rate_hz": timing.frame_rate_hz,
                "decay_time_s": timing.decay_time_s,
            },
        )
