"""The ``caiman-pipeline`` command: a registry of verbs, each imported only when it is called."""

from __future__ import annotations

import argparse
import atexit
import gc
import importlib
import logging
import os
import sys
from typing import NoReturn

from caiman_pipeline import __version__
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.machine import why_not_here
from caiman_pipeline.numerics.threads import keep_blas_on_one_thread
from caiman_pipeline.stages import REGISTRY, SESSIONS

OBJECTS_BEFORE_COLLECTION = 100_000
INTERRUPTED_STATUS = 130
# The verb whose arguments are Snakemake's.
PASSES_ON = "run"
VERBS: dict[str, tuple[str, str]] = {
    # verb: (module, one line of help)
    "init": ("init", "write a starter config and recordings sheet for a folder of movies"),
    "check": ("check", "validate config, sheet and files before anything runs"),
    "plan": ("plan", "print jobs, predicted memory and disk for each stage"),
    "run": ("run", "run the workflow in this folder, with Snakemake's own arguments"),
    "doctor": ("doctor", "print versions, threads, linear algebra library and free disk"),
    "simulate": ("simulate", "simulate a two-photon recording with known cells"),
    "score": ("score", "compare a result with the truth of a simulated recording"),
    "extract-masks": ("extract_masks", "find cells in a structural channel, as masks to start from"),
    "train-classifier": ("train_classifier", "train the network that tells somata by their footprints"),
    "edit-components": ("edit_components", "select, remove, restore and merge components of a result by hand"),
    "hals": ("hals", "update footprints and traces of a result by alternating least squares"),
    **{stage.verb: (stage.name, f"stage: {stage.summary}") for stage in (*REGISTRY, SESSIONS)},
    "apply-shifts": ("apply_shifts", "correct another channel by the shifts of a recording"),
    "convert": ("convert", "convert a movie to TIFF, HDF5, Zarr, NPY, MAT, NWB or a video"),
    "movie": ("movie", "blur, resize, bin or project a movie, or relate it to its resting level"),
    "export-movie": ("export_movie", "write the corrected, denoised, background, residual or DF/F movie of results"),
    "export-results": (
        "export_results",
        "write components and traces for suite2p, CSV, NPZ, MATLAB, Neurofinder, ImageJ",
    ),
    "deconvolve": ("deconvolve", "deconvolve a table of traces (CSV, NPY, NWB) without a movie"),
    "summary": ("summary", "write summary.tsv and the batch page of a results folder"),
    "status": ("status", "say what of a batch is done, running, failed or waiting, and when it will be done"),
    "config-of": ("config_of", "write config and sheet back from NWB files, to make their results again"),
    "verify-nwb": ("verify_nwb", "recompute NWB files from themselves: DF/F, F, table and rows"),
    "verify": ("verify", "verify results against what made them: content, raw files, each other"),
}


def build_parser() -> argparse.ArgumentParser:
    """Return the top-level parser; verbs add their own arguments when they are called."""
    width = max(map(len, VERBS))
    listing = "\n".join(f"  {verb:<{width}}  {text}" for verb, (_, text) in VERBS.items())
    parser = argparse.ArgumentParser(
        prog="caiman-pipeline",
        description="Calcium-imaging analysis as a workflow: raw movies to curated neurons, traces and NWB files.",
        epilog=f"verbs:\n{listing}\n\n`caiman-pipeline VERB --help` explains one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"caiman-pipeline {__version__}")
    parser.add_argument("verb", choices=VERBS, metavar="VERB", help="what to do")
    return parser


def run_verb(verb: str, arguments: list[str]) -> None:
    """Import a verb's module, parse its arguments and run it."""
    module = importlib.import_module(f"caiman_pipeline.cli.{VERBS[verb][0]}")
    parser = argparse.ArgumentParser(prog=f"caiman-pipeline {verb}", description=module.__doc__)
    module.add_arguments(parser)
    if verb == PASSES_ON and arguments not in (["-h"], ["--help"]):
        arguments = ["--", *arguments]  # they are another program's
    module.run(parser.parse_args(arguments))


def main(arguments: list[str] | None = None) -> None:
    """Entry point: foreseen failures end with one line on stderr and status 2."""
    if why_not := why_not_here(sys.platform):
        print(f"caiman-pipeline: error: {why_not}", file=sys.stderr)
        sys.exit(2)
    given = sys.argv[1:] if arguments is None else arguments
    parser = build_parser()
    verb = parser.parse_args(given[:1]).verb
    keep_blas_on_one_thread()
    try:
        run_verb(verb, given[1:])
    except PipelineError as error:
        logging.getLogger("caiman_pipeline").debug("failed: %s", error)
        print(f"caiman-pipeline {verb}: error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)


def command() -> NoReturn:
    """Run the command in a process of its own, which starts and ends sooner than Python does if left alone.

    Thousands of modules are loaded, none of them garbage, and Python would look for garbage hundreds of times
    meanwhile. At the end it would take them all apart, which takes as long as a short job's work, and aborts where
    requests to an object store are under way. So it ends at once, after what is registered for the end.
    """
    gc.set_threshold(OBJECTS_BEFORE_COLLECTION, 20, 20)
    status = _status_of_main()
    try:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # closed by whoever started the process
                stream.flush()
    except OSError as error:
        status = status or 1
        if not isinstance(error, BrokenPipeError):
            os.write(2, f"caiman-pipeline: error: the output cannot be written ({error.strerror}).\n".encode())
    os._exit(status)


def _status_of_main() -> int:
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        print("caiman-pipeline: interrupted", file=sys.stderr)
        return INTERRUPTED_STATUS
    return 0


if __name__ == "__main__":
    command()
