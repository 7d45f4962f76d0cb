"""Find which components of a field's recordings are the same cells: table, result file and page of one group."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, log, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--group", required=True, help="name of the group: subject and field")
    parser.add_argument("--facts", required=True, help="JSON: recordings, their pixel sizes, those left out")
    parser.add_argument("--components", type=Path, nargs="+", required=True, help="HDF5 files of the components")
    parser.add_argument("--selections", type=Path, nargs="+", required=True, help="HDF5 files of the selections")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="HDF5 files of the summary images")
    parser.add_argument("--traces", type=Path, nargs="+", required=True, help="HDF5 files of the traces, for the page")
    parser.add_argument("--cells", type=Path, required=True, help="HDF5 file to write; ids last from the one there is")
    parser.add_argument("--table", type=Path, required=True, help="CSV file to write: cell, recording, component")
    parser.add_argument("--page", type=Path, required=True, help="HTML page to write")
    add_stage_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Track one group's cells."""
    with stage_job("sessions", args):
        from caiman_pipeline.config.sessions import SessionsSettings
        from caiman_pipeline.report.sessions_page import build_sessions_page
        from caiman_pipeline.results.atomic import write_text
        from caiman_pipeline.results.files import save_result
        from caiman_pipeline.results.job_settings import load_stage
        from caiman_pipeline.results.session_inputs import load_session
        from caiman_pipeline.results.sessions import cells_csv, last_cells, sessions_to_arrays
        from caiman_pipeline.sessions.track import track

        settings, _ = load_stage("sessions", SessionsSettings, args.settings)
        facts = json.loads(args.facts)
        files = zip(facts["recordings"], args.components, args.selections, args.images, strict=True)
        sessions = [
            load_session(
                name,
                components=components,
                selection=selection,
                images=images,
                pixel_um=tuple(size) if (size := facts["pixel_um"].get(name)) else None,
                accepted=settings.components == "accepted",
            )
            for name, components, selection, images in files
        ]
        for name in facts["left_out"]:
            log.warning("%s is left out: it has no results (it failed, or was not run)", name)
        before, next_id = last_cells(args.cells)
        tracked = track(sessions, settings, group=args.group, before=before, next_id=next_id)
        found, ids = tracked.registration, [s.ids for s in sessions]
        for name, alignment in zip(found.sessions, found.alignments, strict=True):
            if not alignment.placed:
                log.warning("%s is left out: %s", name, alignment.reason)
        log.info("%d cells in two recordings or more, of %d", tracked.n_tracked, tracked.n_cells)
        left_out = dict.fromkeys(facts["left_out"], "no results: it failed, or was not run")
        write_text(args.page, build_sessions_page(args.group, sessions, tracked, left_out=left_out, traces=args.traces))
        write_text(args.table, cells_csv(found, ids, tracked.by_hand))
        save_result(
            args.cells,
            kind="sessions",
            arrays=sessions_to_arrays(found, ids, left_out, tracked.next_id) | {"union_cells": tracked.union_cells},
            settings=settings.model_dump(mode="json", exclude=settings.unused()),
            source={"group": args.group, "recordings": list(found.sessions)},
        )
