"""Compare a result with the truth of a simulated recording: neurons found, traces, motion."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caiman_pipeline.cli.stage import add_stage_arguments, stage_job
from caiman_pipeline.stages import place

if TYPE_CHECKING:
    from caiman_pipeline.simulation.scoring import Score


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("truth", type=Path, help="truth that `simulate` wrote")
    parser.add_argument(
        "result", type=Path, help=f"NWB file, a recording's results folder, or its {place('components')}"
    )
    parser.add_argument("--all", action="store_true", help="score all components instead of the accepted ones")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument("--level", type=float, help="share of its peak that bounds a found footprint (0.3)")
    parser.add_argument(
        "--true-level", type=float, help="share of its peak that bounds a true footprint (default: 0.15)"
    )
    parser.add_argument("--min-iou", type=float, help="smallest intersection over union of a pair (0.4)")
    parser.add_argument(
        "--smooth-s", type=float, help="smoothing of spikes before they are compared, s (default: 0.07)"
    )
    add_stage_arguments(parser, settings=False)


def run(args: argparse.Namespace) -> None:
    """Score one result."""
    with stage_job("score", args):
        from caiman_pipeline.results.files import load_result
        from caiman_pipeline.simulation.scoring import Rule, read_found, score_result

        found = read_found(args.result)
        given = {
            "found_level": args.level,
            "true_level": args.true_level,
            "min_iou": args.min_iou,
            "smooth_s": args.smooth_s,
        }
        rule = Rule(**{name: value for name, value in given.items() if value is not None})
        score = score_result(found if args.all else found.only_accepted(), load_result(args.truth, "truth"), rule)
        print(json.dumps(as_record(score)) if args.json else as_text(score))


def as_record(score: Score) -> dict[str, Any]:
    """Lay a score out as plain values."""
    return {
        "found": score.found,
        "faint": score.faint,
        "true": score.true,
        "matched": score.matched,
        "precision": round(score.precision, 3),
        "recall": round(score.recall, 3),
        "f1": round(score.f1, 3),
        "iou_mean": round(score.iou, 3) if score.matched else None,
        **{f"{name}_corr_p50_p10": [round(v, 3) for v in values] for name, values in score.correlations.items()},
        "rigid_rms_px": None if score.rigid_rms_px is None else round(score.rigid_rms_px, 3),
    }


def as_text(score: Score) -> str:
    """Lay a score out to be read."""
    lines = [
        f"found {score.found} neurons, {score.matched} of them among the {score.true} true ones",
        f"precision {score.precision:.3f}, recall {score.recall:.3f}, F1 {score.f1:.3f}",
    ]
    if score.faint:
        lines.append(f"and {score.faint} cells that the planes show barely, which count neither way")
    if score.matched:
        lines.append(f"overlap of pairs (intersection over union) {score.iou:.3f}")
    for name, (median, low) in score.correlations.items():
        lines.append(f"{name} traces: correlation with the truth {median:.3f} (10th percentile {low:.3f})")
    if score.rigid_rms_px is not None:
        lines.append(f"rigid motion: error {score.rigid_rms_px:.3f} px (root mean square)")
    return "\n".join(lines)
