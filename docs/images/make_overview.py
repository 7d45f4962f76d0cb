"""Draw overview.png from the demo's results: ``python docs/images/make_overview.py demo/results/demo``."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from caiman_pipeline.results.files import Result, load_result

N_TRACES = 12
SECONDS = 40.0
RATE_HZ = 30.0
COLOURS = plt.get_cmap("tab20").colors


def main() -> None:
    """Draw what goes in and what comes out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="a recording's results folder")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("overview.png"))
    args = parser.parse_args()
    images = load_result(args.results / "summary_images/images.h5", "images")
    motion = load_result(args.results / "motion/motion.h5", "motion")
    components = load_result(args.results / "refine/components.h5", "components")
    traces = load_result(args.results / "traces/traces.h5", "traces")
    accepted = np.flatnonzero(load_result(args.results / "select/selection.h5", "selection")["accepted"])
    snr = load_result(args.results / "evaluate/quality.h5", "quality")["snr"]
    shown = accepted[np.argsort(-snr[accepted])][:N_TRACES]
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), width_ratios=(1, 1, 1.5), layout="constrained")
    show_image(axes[0], motion["mean_before"], "raw movie, mean")
    show_image(axes[1], images["correlation"], f"{len(accepted)} neurons on the correlation image")
    draw_outlines(axes[1], components, accepted, shown)
    draw_traces(axes[2], components, traces, shown)
    figure.savefig(args.output, dpi=110)


def show_image(axes: Axes, image: np.ndarray, title: str) -> None:
    """Show an image in grey, its darkest and brightest pixels cut off."""
    low, high = np.nanpercentile(image, (1, 99.7))
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()


def draw_outlines(axes: Axes, components: Result, accepted: np.ndarray, shown: np.ndarray) -> None:
    """Outline each neuron at half its peak; those with a trace get its colour."""
    dims = tuple(components["dims"])
    colours = {int(k): COLOURS[i % len(COLOURS)] for i, k in enumerate(shown)}
    for k in accepted:
        footprint = components["footprints"][:, [int(k)]].toarray().reshape(dims)
        colour = colours.get(int(k), (1.0, 0.85, 0.2))
        axes.contour(footprint, [0.4 * footprint.max()], colors=[colour], linewidths=0.9)


def draw_traces(axes: Axes, components: Result, traces: Result, shown: np.ndarray) -> None:
    """Draw raw and denoised traces and the deconvolved activity of a few neurons."""
    n_frames = min(int(SECONDS * RATE_HZ), traces["denoised"].shape[1])
    time = np.arange(n_frames) / RATE_HZ
    for i, k in enumerate(shown):
        raw = (components["denoised"] + components["residual"])[k, :n_frames]
        scale = np.ptp(raw)
        base = len(shown) - i
        axes.plot(time, (raw - np.percentile(raw, 20)) / scale + base, color="0.75", lw=0.6)
        smooth = traces["denoised"][k, :n_frames]
        slope, offset = np.polyfit(smooth, raw - np.percentile(raw, 20), 1)
        axes.plot(time, (slope * smooth + offset) / scale + base, color=COLOURS[i % len(COLOURS)], lw=1.0)
        events = traces["deconvolved"][k, :n_frames]
        at = np.flatnonzero(events > 0.2 * max(events.max(), 1e-9))
        axes.vlines(time[at], base - 0.08, base - 0.02, color="0.2", lw=0.5)
    axes.set_title("traces: raw (grey), denoised, activity (ticks)", fontsize=10)
    axes.set_xlabel("s")
    axes.set_yticks([])
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.margins(x=0)


if __name__ == "__main__":
    main()
