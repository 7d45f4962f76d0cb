"""Write config and sheet back from NWB files: they make the same results again, bit for bit."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("nwb", type=Path, nargs="+", help="NWB files that this pipeline wrote, a recording each")
    parser.add_argument(
        "--files", "--folder", type=Path, default=Path(), help="folder of the raw files (default: here)"
    )
    parser.add_argument(
        "--config", type=Path, default=Path("config/config.yaml"), help="config to write (default: %(default)s)"
    )
    parser.add_argument(
        "--sheet", type=Path, default=Path("config/recordings.tsv"), help="sheet to write (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> None:
    """Write both files and say what is left to do."""
    from caiman_pipeline.model.errors import PipelineError
    from caiman_pipeline.nwb.restore import read_run, restore
    from caiman_pipeline.results.atomic import write_text

    if there := [path for path in (args.config, args.sheet) if path.exists()]:
        raise PipelineError(f"{there[0]}: there already, and never overwritten. Give others with --config and --sheet.")
    restored = restore([read_run(path) for path in args.nwb], args.files, sheet=str(args.sheet))
    write_text(args.config, restored.config)
    write_text(args.sheet, restored.sheet)
    for remark in restored.remarks:
        print(f"look at this: {remark}")
    named = "" if args.config == Path("config/config.yaml") else f" --configfile {args.config}"
    print(f"written: {args.config}, {args.sheet}. Next: `caiman-pipeline check`, then `snakemake{named}`")
