"""Edit a components file: select, remove, restore and merge components by id, in the order of the arguments."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from caiman_pipeline.cli.stage import add_stage_arguments, log, stage_job
from caiman_pipeline.stages import place


class _Step(argparse.Action):
    """Append (operation, values) to ``steps``, so that the order of the arguments is kept."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        steps = [*(getattr(namespace, "steps", None) or []), (self.dest, values)]
        namespace.steps = steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("components", type=Path, help=f"a recording's {place('components')}, or one edited before")
    parser.add_argument("--output", type=Path, required=True, help="file to write; may be the same")
    for name, what in (
        ("select", "keep only these"),
        ("remove", "take these out"),
        ("restore", "put these back"),
        ("merge", "make one of these; the new component gets a new id"),
    ):
        parser.add_argument(f"--{name}", type=int, nargs="+", metavar="ID", action=_Step, help=what)
    parser.add_argument(
        "--size", type=float, nargs=2, metavar=("MIN", "MAX"), action=_Step, help="take out others, by pixels"
    )
    parser.add_argument(
        "--duplicates",
        type=float,
        nargs=2,
        metavar=("COSINE", "CORRELATION"),
        action=_Step,
        help="of components as alike as this in footprint and trace, take out the weaker",
    )
    parser.add_argument("--threshold", type=float, metavar="SHARE", action=_Step, help="drop pixels below the peak's")
    add_stage_arguments(parser, settings=False)


def run(args: argparse.Namespace) -> None:
    """Edit one file."""
    with stage_job("edit-components", args):
        from caiman_pipeline.quality.editing import apply_step
        from caiman_pipeline.results.curated import load_curated, save_curated

        result, curated = load_curated(args.components)
        for name, values in getattr(args, "steps", None) or []:
            before = len(curated.history)
            curated = apply_step(curated, name, values if isinstance(values, list) else [values])
            log.info("%s", "; ".join(curated.history[before:]))
        log.info("%d components, %d removed", curated.present.n_components, curated.removed.n_components)
        save_curated(args.output, curated, result)
