"""Accept or reject components by thresholds on their saved measures, and by hand; the movie is not touched."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, log, stage_job

# Of the components only the number of given masks is read.
BULKY = (
    "background_spatial",
    "background_static",
    "background_temporal",
    "denoised",
    "residual",
    "footprints",
    "noise",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--movie-info", type=Path, required=True, help="JSON file of the inspection")
    parser.add_argument("--quality", type=Path, required=True, help="HDF5 file of the measures")
    parser.add_argument("--components", type=Path, help="HDF5 file of the components: which of them are given masks")
    parser.add_argument("--selection", type=Path, required=True, help="HDF5 file to write: accepted or not, and why")
    add_stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Select one recording's components."""
    with stage_job("select", args):
        from caiman_pipeline.config.select import SelectSettings
        from caiman_pipeline.quality.accept import UNDECIDED, accept_masks, select
        from caiman_pipeline.quality.by_hand import apply_decisions, read_decisions
        from caiman_pipeline.quality.in_pixels import make_thresholds
        from caiman_pipeline.results.files import load_result, save_result
        from caiman_pipeline.results.job_settings import load_stage
        from caiman_pipeline.results.records import load_movie_info, quality_from_result

        settings, recording = load_stage(SelectSettings, args.settings)
        thresholds = make_thresholds(settings, recording, load_movie_info(args.movie_info).dims)
        selection = select(quality_from_result(load_result(args.quality, "quality")), thresholds)
        if args.components and not settings.judge_masks:
            selection = accept_masks(selection, int(load_result(args.components, "components", skip=BULKY)["n_masks"]))
        if settings.curation:
            selection = apply_decisions(selection, read_decisions(Path(settings.curation)))
            log.info("%d decided by hand (%s)", (selection.by_hand != UNDECIDED).sum(), settings.curation)
        log.info("%d of %d components accepted", selection.accepted.sum(), len(selection.ids))
        save_result(
            args.selection,
            kind="selection",
            arrays=vars(selection),
            settings=settings.model_dump(mode="json"),
            source={"quality": str(args.quality)},
        )
