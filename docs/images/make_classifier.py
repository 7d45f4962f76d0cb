"""Draw classifier.png from the figures beside the classifier's model: ``python docs/images/make_classifier.py``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt

from caiman_pipeline.quality.classifier import DEFAULT_MODEL


def main() -> None:
    """Draw the ROC curve and the reliability of the scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?", default=DEFAULT_MODEL.with_suffix(".json"), help="its .json")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("classifier.png"))
    args = parser.parse_args()
    figures = json.loads(args.model.read_text(encoding="utf-8"))["figures"]
    figure, (roc, reliability) = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
    curve = [(1.0, 1.0), *((p["false_positive"], p["true_positive"]) for p in figures["roc"]), (0.0, 0.0)]
    roc.plot(*zip(*curve, strict=True), marker=".", color="tab:orange")
    roc.set(xlabel="others above the threshold", ylabel="somata above the threshold")
    roc.set(xlim=(-0.01, 0.3), ylim=(0.7, 1.01))
    roc.set_title(f"area {figures['auc']:.3f}, {figures['somata']} somata of {figures['examples']} components")
    bins = figures["reliability"]
    reliability.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    scores, shares, sizes = ([b[name] for b in bins] for name in ("score", "share_somata", "count"))
    reliability.scatter(scores, shares, s=[8 + n for n in sizes], color="tab:blue")
    reliability.set(xlabel="soma score (size: components)", ylabel="share of somata")
    figure.savefig(args.output, dpi=110)


if __name__ == "__main__":
    main()
