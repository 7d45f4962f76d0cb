"""Examples for the classifier: simulated recordings run through this very pipeline, held to the truth."""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.sparse import csc_matrix

from caiman_pipeline.model.arrays import BoolArray, IntArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.quality.crops import crop_footprints
from caiman_pipeline.quality.training import Labelled
from caiman_pipeline.results.files import load_result
from caiman_pipeline.simulation.masks import binarise
from caiman_pipeline.simulation.planted import PlantedFootprints
from caiman_pipeline.simulation.recording import simulate
from caiman_pipeline.simulation.settings import SimulationSettings
from caiman_pipeline.stages import path_of

# Intersection over union from which a component is a soma, and up to which it is none; between them it is not used.
SOMA_IOU, OTHER_IOU = 0.4, 0.2
# Share of its peak at which a footprint that was found, and a true one, is cut to a mask.
FOUND_LEVEL, TRUE_LEVEL = 0.3, 0.15
# Share of recordings in which footprints of real recordings are planted.
PLANTED_SHARE = 0.15

# A search that lets through what the classifier is to tell from somata.
PERMISSIVE = {
    "patch_cnmf": {"min_evidence": 12.0, "min_size": 0.08, "significance": 2.0},
    "refine": {"min_size": 0.05, "significance": 2.0},
    "motion": {"keep_better": False},
}


@dataclass(frozen=True)
class Recipe:
    """One recording of the set: what to simulate, whether real footprints are planted, how motion is corrected."""

    name: str
    settings: SimulationSettings
    planted: PlantedFootprints | None
    motion_method: str


def draw_recipe(index: int, rng: np.random.Generator, planted: list[PlantedFootprints]) -> Recipe:
    """Draw one recording's settings from wide ranges: sizes, densities, noise, neuropil, dendrites, vessels, motion.

    Parameters
    ----------
    index : int
        Number of the recording.
    rng : numpy Generator
        Where chance comes from.
    planted : list of PlantedFootprints
        Footprints of real recordings, or none.

    Returns
    -------
    Recipe
        What to simulate, and how to correct its motion.
    """
    dims = (int(rng.integers(96, 193)), int(rng.integers(96, 193)))
    shapes = planted[int(rng.integers(len(planted)))] if planted and rng.random() < PLANTED_SHARE else None
    diameter = float(rng.uniform(7, 16)) if shapes is None else typical_diameter(shapes)
    settings = SimulationSettings(
        frames=int(rng.integers(500, 1300)),
        dims=dims if shapes is None else shapes.dims,
        n_cells=int(dims[0] * dims[1] / diameter**2 * rng.uniform(0.03, 0.4)),
        n_dendrites=int(rng.integers(0, 9)),
        frame_rate_hz=float(rng.choice([7.5, 15.0, 30.0])),
        decay_time_s=float(rng.uniform(0.3, 1.2)),
        rise_time_s=float(rng.uniform(0.02, 0.12)),
        spike_rate_hz=float(rng.lognormal(np.log(0.2), 0.5)),
        dff_per_spike=float(rng.lognormal(np.log(0.35), 0.35)),
        cell_diameter_px=diameter,
        neuropil=float(rng.uniform(0.15, 0.9)),
        vessels=int(rng.integers(0, 7)),
        rigid_px=float(rng.uniform(0, 8)),
        nonrigid_px=float(rng.uniform(0, 4)),
        bleach=float(rng.uniform(0, 0.4)),
        photons=float(rng.lognormal(np.log(14), 0.6)),
        smear=float(rng.uniform(0, 0.2)),
        seed=int(rng.integers(2**31)),
    )
    settings = replace(settings, **_difficulty(rng))
    return Recipe(f"sim{index:04d}", settings, shapes, str(rng.choice(["piecewise", "piecewise", "rigid"])))


def _difficulty(rng: np.random.Generator) -> dict[str, Any]:
    """Draw what makes a recording difficult, for six of ten: dim and shaken, saturated, or softly saturated."""
    kind = rng.choice(["none", "dim", "saturated", "soft"], p=[0.4, 0.3, 0.1, 0.2])
    if kind == "dim":
        return {
            "photons": float(rng.lognormal(np.log(6), 0.3)),
            "rigid_px": float(rng.uniform(5, 12)),
            "nonrigid_px": float(rng.uniform(2, 7)),
            "neuropil": float(rng.uniform(0.4, 1.0)),
        }
    if kind == "saturated":
        return {"saturated": float(rng.uniform(0.001, 0.01)), "photons": float(rng.lognormal(np.log(20), 0.4))}
    if kind == "soft":
        return {
            "saturated": float(rng.uniform(0.002, 0.02)),
            "soft_range": float(rng.uniform(0.2, 0.6)),
            "photons": float(rng.lognormal(np.log(25), 0.4)),
        }
    return {}


def typical_diameter(shapes: PlantedFootprints) -> float:
    """Return the diameter, px, of a disc as large as the footprints' median area.

    Parameters
    ----------
    shapes : PlantedFootprints
        Footprints of a real recording.

    Returns
    -------
    float
        Diameter, pixels.
    """
    areas = np.asarray(binarise(shapes.matrix, shapes.dims, level=TRUE_LEVEL).sum(0)).ravel()
    return float(2 * np.sqrt(np.median(areas) / np.pi))


def make_recordings(folder: Path, recipes: list[Recipe], *, threads: int, progress: Callable[[int, int], None]) -> None:
    """Simulate the recordings that are not there yet, and write the sheet and config to run on them.

    Parameters
    ----------
    folder : path
        Where movies, truths, sheet and config go.
    recipes : list of Recipe
        What to simulate.
    threads : int
        Threads to use.
    progress : callable
        Called with the recordings that are done, and those in all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for done, recipe in enumerate(recipes, 1):
        movie = folder / "movies" / f"{recipe.name}.npy"
        movie.parent.mkdir(exist_ok=True)
        if not movie.exists():
            simulate(movie, recipe.settings, truth=_truth(folder, recipe), planted=recipe.planted, threads=threads)
        rows.append(
            {
                "recording": recipe.name,
                "files": f"movies/{movie.name}",
                "frame_rate_hz": f"{recipe.settings.frame_rate_hz:g}",
                "decay_time_s": f"{recipe.settings.decay_time_s:g}",
                "cell_diameter": f"{recipe.settings.cell_diameter_px:g} px",
                "motion.method": recipe.motion_method,
            }
        )
        progress(done, len(recipes))
    with (folder / "recordings.tsv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)
    config = {"paths": {"recordings": "recordings.tsv"}, **PERMISSIVE}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def _truth(folder: Path, recipe: Recipe) -> Path:
    return folder / "movies" / f"{recipe.name}_truth.h5"


def run_workflow(folder: Path, snakefile: Path, *, cores: int) -> None:
    """Run the workflow up to the refined components of every recording.

    Parameters
    ----------
    folder : path
        What ``make_recordings`` filled.
    snakefile : path
        The workflow's Snakefile.
    cores : int
        Cores that Snakemake may use.

    Raises
    ------
    PipelineError
        If Snakemake is missing or a recording fails.
    """
    program = shutil.which("snakemake")
    if program is None:
        raise PipelineError("snakemake is not on the PATH; activate the environment of the pipeline.")
    command = [
        program,
        "--snakefile",
        str(snakefile.resolve()),
        "--directory",
        str(folder),
        "--configfile",
        str((folder / "config.yaml").resolve()),
        "--cores",
        str(cores),
        "--until",
        "refine",
        "--quiet",
    ]
    if subprocess.run(command, check=False).returncode:
        raise PipelineError(f"{folder}: the workflow failed; its log says why.")


def collect(folder: Path, recipes: list[Recipe]) -> Labelled:
    """Read the components of all recordings and label them: a soma, something else, or left out as neither.

    Parameters
    ----------
    folder : path
        Where the workflow ran.
    recipes : list of Recipe
        The recordings that were simulated.

    Returns
    -------
    Labelled
        Crops (N, 50, 50), labels, and the number of the recording of each.
    """
    crops, labels, owners = [], [], []
    for number, recipe in enumerate(recipes):
        components = load_result(path_of(folder / "results" / recipe.name, "components"), "components")
        truth = load_result(_truth(folder, recipe), "truth")
        dims: Dims = tuple(int(n) for n in components["dims"])
        label = label_components(components["footprints"], truth["footprints"], truth["is_dendrite"], dims)
        sure = label >= 0
        diameter = recipe.settings.cell_diameter_px
        crops.append(crop_footprints(components["footprints"][:, sure], dims, cell_px=(diameter, diameter)))
        labels.append(label[sure] == 1)
        owners.append(np.full(int(sure.sum()), number))
    return Labelled(np.concatenate(crops), np.concatenate(labels), np.concatenate(owners))


def label_components(found: csc_matrix, true: csc_matrix, is_dendrite: BoolArray, dims: Dims) -> IntArray:
    """Return 1 for components that are a soma, 0 for others, -1 for what is neither clearly.

    Parameters
    ----------
    found : csc_matrix (P, K)
        Footprints that were found.
    true : csc_matrix (P, N)
        True footprints.
    is_dendrite : bool (N,)
        Which of these are dendrites, and no somata.
    dims : tuple of int
        (H, W) or (D, H, W).

    Returns
    -------
    int (K,)
        Labels.

    Notes
    -----
    A soma shares at least 0.4 of intersection over union with a true one that no other component shares more with;
    anything else shares at most 0.2 with any.
    """
    masks = binarise(found, dims, level=FOUND_LEVEL)
    somata = binarise(true[:, ~is_dendrite.astype(bool)], dims, level=TRUE_LEVEL)
    overlap = (masks.T @ somata).toarray()
    sizes = (np.asarray(masks.sum(0)).ravel()[:, None], np.asarray(somata.sum(0)).ravel()[None])
    iou = overlap / np.maximum(sizes[0] + sizes[1] - overlap, 1)
    if iou.shape[1] == 0:
        return np.zeros(iou.shape[0], int)
    best = iou.max(1)
    mine = iou.argmax(1)
    first = np.isclose(best, iou.max(0)[mine]) if len(best) else np.zeros(0, bool)
    return np.where((best >= SOMA_IOU) & first, 1, np.where(best <= OTHER_IOU, 0, -1))
