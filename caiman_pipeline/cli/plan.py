"""Print jobs, predicted memory, disk and rough time of every stage; status 2 if the recordings cannot fit."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caiman_pipeline.batch.planning import StagePlan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--config", type=Path, help="config file (default: config/config.yaml if it is there)")
    parser.add_argument("--sheet", type=Path, help="recordings sheet (default: the config's `paths.recordings`)")
    parser.add_argument("--cores", type=int, default=0, help="cores of the run (default: all granted)")
    parser.add_argument("--blocks", type=int, default=1, help="motion_correct jobs per recording (default: 1)")
    parser.add_argument("--tiles", type=int, default=1, help="patch_cnmf jobs per recording (default: 1)")
    parser.add_argument("--memory-mb", type=int, default=0, help="memory of a machine (default: of this one)")


def run(args: argparse.Namespace) -> None:
    """Plan every recording and print the sum of all, and what is the matter with those that cannot be planned."""
    from caiman_pipeline.batch.planning import plan_recordings, too_large
    from caiman_pipeline.batch.preflight import check_results, load_run, recordings_to_do
    from caiman_pipeline.config.sheet import read_sheet
    from caiman_pipeline.model.errors import PipelineError
    from caiman_pipeline.numerics.threads import available_cores, machine_memory_mb

    config, sheet = load_run(args.config, args.sheet)
    cores = args.cores if args.cores > 0 else available_cores()
    recordings, row_problems = read_sheet(sheet, config)
    scatter = {"blocks": args.blocks, "tiles": args.tiles}
    plans, problems = plan_recordings(recordings, cores=cores, scatter=scatter)
    problems += [f"{sheet}, {problem}" for problem in row_problems]
    if plans:
        print_sum(plans, cores)
    to_do = sum(row.disk_mb for name in recordings_to_do(config, plans) for row in plans[name])
    problems += too_large(plans, args.memory_mb or machine_memory_mb())
    problems += check_results(Path(config.paths.results), to_do)
    for problem in problems:
        print(f"problem  {problem}")
    if problems:
        raise PipelineError(f"{len(problems)} problem(s), see above.")


def print_sum(plans: dict[str, list[StagePlan]], cores: int) -> None:
    """Print what each stage takes over all recordings."""
    from caiman_pipeline.batch.planning import add_up

    total = add_up(list(plans.values()))
    print(f"{len(plans)} recording(s) on {cores} cores; memory is that of the largest job, the rest adds up\n")
    print(f"{'stage':<16}{'jobs':>8}{'memory, MB':>12}{'disk, GB':>10}{'time, s':>10}")
    for row in total:
        print(f"{row.stage:<16}{row.jobs:>8}{row.memory_mb:>12.0f}{row.disk_mb / 1e3:>10.2f}{row.seconds:>10.0f}")
    jobs, disk, seconds = (sum(getattr(r, name) for r in total) for name in ("jobs", "disk_mb", "seconds"))
    print(f"{'all':<16}{jobs:>8}{max(r.memory_mb for r in total):>12.0f}{disk / 1e3:>10.2f}{seconds:>10.0f}")
