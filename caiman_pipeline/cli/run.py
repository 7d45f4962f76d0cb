"""Run the workflow in this folder; all arguments are Snakemake's own, like -n, --cores 4 or --profile slurm."""

from __future__ import annotations

import argparse
import os


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("arguments", nargs="*", help="arguments for snakemake; `snakemake --help` explains them")


def run(args: argparse.Namespace) -> None:
    """Become Snakemake: its output, signals and exit status are this command's."""
    from caiman_pipeline.batch.running import environment_for_jobs, snakemake_command

    command = snakemake_command(args.arguments)
    os.execve(command[0], command, environment_for_jobs())
