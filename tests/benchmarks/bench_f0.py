"""Compare F0 and DF/F of a simulated, dense recording's result with the truth.

    python tests/benchmarks/bench_f0.py [TRUTH.h5 RESULTS]

Without arguments a recording is simulated and run; else these are the truth of `caiman-pipeline simulate` and the
folder of that recording's results.

The true F0 of a component is what its footprint sees of the mean image without any cell's light, and its own cell at
rest. The template decides where the movie comes to lie, so with much motion the truth does not fit the footprints to
the pixel.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from caiman_pipeline.results.files import load_result
from caiman_pipeline.results.records import components_from_result, traces_from_result
from caiman_pipeline.simulation.masks import binarise, match_masks

SNAKEFILE = Path(__file__).parents[2] / "Snakefile"


def compare(truth, components, traces):
    """Return the ratio of F0 to the true one, and the slope of DF/F against the true one, of each cell found."""
    dims = components.dims
    masks = (binarise(components.footprints, dims, level=0.3), binarise(truth["footprints"], dims, level=0.15))
    pairs, _ = match_masks(*masks, min_iou=0.4)
    counts, dff_per_spike = truth["counts_per_brightness"], truth.settings["dff_per_spike"]
    light, calcium = truth["fluorescence"], truth["calcium"]
    rest = light / (1 + dff_per_spike * calcium)
    a = components.footprints.T.tocsr()
    seen = (a @ truth["footprints"]).toarray()
    beneath = a @ truth["mean_image"].ravel() - seen @ light.mean(1)
    offset = truth.settings["offset"] * np.asarray(a.sum(1)).ravel()
    ratios, slopes = [], []
    for x, y in pairs:
        f0 = (beneath[x] + seen[x, y] * rest[y].mean()) * counts + offset[x]
        ratios.append(traces.f0[x].mean() / f0)
        if calcium[y].any():
            transients = seen[x, y] * (light[y] - rest[y]) * counts / f0
            slopes.append(np.polyfit(transients, traces.dff[x], 1)[0])
    return np.array(ratios), np.array(slopes)


def simulate_and_run(folder):
    """Simulate a dense recording in a folder and run the workflow on it; return the truth and the results' folder."""
    verb = [sys.executable, "-m", "caiman_pipeline.cli.main", "simulate", str(folder / "movie.npy")]
    size = ["--sheet", str(folder), "--n-cells", "110", "--dims", "192x200", "--frames", "2000"]
    workflow = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--quiet", "--cores", "2"]
    for command in ([*verb, *size], [*workflow, "--configfile", str(folder / "config.yaml"), "--until", "traces"]):
        subprocess.run(command, check=True, cwd=folder, capture_output=True)
    return folder / "truth.h5", folder / "results" / "movie"


def report(truth, results):
    """Print the distribution over cells of F0 and of the amplitude of DF/F, against the truth."""
    components = components_from_result(load_result(results / "refine" / "components.h5", "components"))
    traces = traces_from_result(load_result(results / "traces" / "traces.h5", "traces"))
    ratios, slopes = compare(load_result(truth, "truth"), components, traces)
    for name, values in (("F0 over the true one", ratios), ("amplitude of DF/F over the true one", slopes)):
        low, middle, high = np.percentile(values, [10, 50, 90])
        print(
            f"{name}: median {middle:.3f}, 10th to 90th percentile {low:.3f} to {high:.3f}, mean {values.mean():.3f}, "
            f"within 5%: {np.mean(np.abs(values - 1) < 0.05):.2f} of {len(values)}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", help="truth, and folder of results")
    files = parser.parse_args().files
    if files:
        report(*files)
        return
    with tempfile.TemporaryDirectory() as folder:
        report(*simulate_and_run(Path(folder)))


if __name__ == "__main__":
    main()
