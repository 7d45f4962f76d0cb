"""Run the workflow in this folder; all arguments are Snakemake's own, like -n, --cores 4 or --profile slurm."""

from __future__ import annotations

import argparse
import os
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("arguments", nargs="*", help="arguments for snakemake; `snakemake --help` explains them")


def run(args: argparse.Namespace) -> None:
    """Run Snakemake, whose output, signals and exit status are this command's; after a failure track what is done."""
    from caiman_pipeline.batch.running import NO_WORK, environment_for_jobs, run_and_follow, snakemake_command

    if NO_WORK & set(args.arguments) or os.name == "nt":
        command = snakemake_command(args.arguments)
        os.execve(command[0], command, environment_for_jobs())
    status = run_and_follow(args.arguments)
    sys.exit(status if status >= 0 else 128 - status)
