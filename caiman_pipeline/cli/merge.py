"""Stitch the tiles' components, remove duplicates at their borders and merge what is one cell."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, log, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--batches", type=Path, nargs="+", required=True, help="HDF5 files of all batches of tiles")
    parser.add_argument("--components", type=Path, required=True, help="HDF5 file to write: merged components")
    add_stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Merge one recording's components."""
    with stage_job("merge", args):
        from caiman_pipeline.config.merge import MergeSettings
        from caiman_pipeline.extraction.merge import merge_as_set
        from caiman_pipeline.extraction.tiles.stitch import stitch
        from caiman_pipeline.results.files import load_result, save_result
        from caiman_pipeline.results.job_settings import load_stage
        from caiman_pipeline.results.records import candidates_from_result

        settings, recording = load_stage("merge", MergeSettings, args.settings)
        batches = [load_result(path, "candidates") for path in args.batches]
        candidates = stitch([candidates_from_result(batch) for batch in batches])
        merged = merge_as_set(candidates, settings, recording, n_masks=int(batches[0]["n_masks"]))
        for child, parents in zip(merged.ids, merged.parents, strict=True):
            if len(parents) > 1:
                log.info("merged %s -> %d", ", ".join(map(str, parents)), child)
        log.info(
            "%d candidates, %d seen twice, %d components",
            len(candidates.traces),
            len(merged.dropped),
            len(merged.traces),
        )
        save_result(
            args.components,
            kind="merged",
            arrays={
                "footprints": merged.footprints,
                "traces": merged.traces,
                "dims": candidates.dims,
                "bin_frames": candidates.frames_per_bin,
                "parents": tuple(" ".join(map(str, p)) for p in merged.parents),
                "dropped": [list(pair) for pair in merged.dropped],
                "ids": merged.ids,
                "n_masks": batches[0]["n_masks"],
                "shapeless": candidates.shapeless,
                "dropped_masks": batches[0]["dropped_masks"],
            },
            settings=settings.plain(),
            source={"batches": [str(b) for b in args.batches]},
        )
