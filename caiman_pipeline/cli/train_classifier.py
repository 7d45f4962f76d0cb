"""Train the network that tells somata by their footprints, on simulated recordings run through this pipeline."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiman_pipeline.cli.stage import add_stage_arguments, log, progress, stage_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("folder", type=Path, help="folder for simulated recordings and their results; kept, reused")
    parser.add_argument("--model", type=Path, required=True, help="model to write (.npz; a .json goes beside it)")
    parser.add_argument("--snakefile", type=Path, required=True, help="the workflow's Snakefile")
    parser.add_argument("--recordings", type=int, default=120, help="recordings to train on (default: 120)")
    parser.add_argument("--held-out", "--held-apart", type=int, default=30, help="recordings to judge on (default: 30)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the recordings' settings (default: 0)")
    parser.add_argument("--footprints", type=Path, nargs="*", default=[], help="real footprints to plant (.npz)")
    parser.add_argument("--footprints-name", help="which footprints of those files, where they hold several")
    add_stage_arguments(parser, settings=False)


def run(args: argparse.Namespace) -> None:
    """Simulate, run, label, train, judge, save."""
    with stage_job("train_classifier", args) as threads:
        import numpy as np

        from caiman_pipeline.quality.training import TrainingSettings, judge, save_network, train
        from caiman_pipeline.quality.training_set import collect, draw_recipe, make_recordings, run_workflow
        from caiman_pipeline.simulation.planted import load_footprints

        planted = [load_footprints(path, args.footprints_name) for path in args.footprints]
        parts = {}
        for name, count, seed in (("train", args.recordings, args.seed), ("held", args.held_out, args.seed + 1)):
            rng, folder = np.random.default_rng(seed), args.folder / name
            recipes = [draw_recipe(i, rng, planted) for i in range(count)]
            make_recordings(folder, recipes, threads=threads, progress=progress(f"{name} recordings"))
            run_workflow(folder, args.snakefile, cores=threads)
            parts[name] = collect(folder, recipes)
            log.info("%s: %d components, %d somata", name, len(parts[name].crops), parts[name].is_soma.sum())
        settings = TrainingSettings()
        network = train(parts["train"], settings)
        figures = judge(network, parts["held"])
        log.info(
            "held-out recordings: area under the curve %.4f; soma_score_lowest of %.2f keeps 99%% of their somata",
            figures["auc"],
            figures["lowest_keeping_99"],
        )
        made_from = {
            "recordings": args.recordings,
            "held_out": args.held_out,
            "seed": args.seed,
            "components": len(parts["train"].crops),
            "real_footprints": [p.name for p in args.footprints],
        }
        save_network(args.model, network, settings=settings, made_from=made_from, figures=figures)
