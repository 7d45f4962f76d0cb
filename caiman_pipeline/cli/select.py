"""Accept or reject components by thresholds on their saved measures, and by hand; the movie is not touched."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, log, stage_job


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
        from caiman_pipeline.model.background import BACKGROUND_SIGNALS
        from caiman_pipeline.quality.accept import UNDECIDED
        from caiman_pipeline.quality.in_pixels import idle_thresholds, select_as_set
        from caiman_pipeline.results.files import load_result, save_result
        from caiman_pipeline.results.job_settings import load_stage
        from caiman_pipeline.results.records import load_movie_info, quality_from_result

        settings, recording = load_stage("select", SelectSettings, args.settings)
        # Of the components only the number of given masks is read.
        bulky = {*BACKGROUND_SIGNALS, "background_static", "denoised", "residual", "footprints", "noise"}
        n_masks = int(load_result(args.components, "components", skip=bulky)["n_masks"]) if args.components else 0
        quality = quality_from_result(load_result(args.quality, "quality"))
        if idle := idle_thresholds(quality, settings):
            names = ", ".join(f"`select.{name}`" for name in idle)
            log.warning("%s: decides nothing here, `select.min_probability` does; empty it to go by thresholds", names)
        selection = select_as_set(
            quality,
            settings,
            recording,
            dims=load_movie_info(args.movie_info).dims,
            n_masks=n_masks,
        )
        if settings.curation:
            log.info("%d decided by hand (%s)", (selection.by_hand != UNDECIDED).sum(), settings.curation)
        log.info("%d of %d components accepted", selection.accepted.sum(), len(selection.ids))
        save_result(
            args.selection,
            kind="selection",
            arrays=vars(selection),
            settings=settings.plain(),
            source={"quality": str(args.quality)},
        )
