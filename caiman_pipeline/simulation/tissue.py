"""What lies around the cells: neuropil in several layers, bright puncta, dark cells and vessels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.simulation.activity import N_SHARED, bleaching, population_signals
from caiman_pipeline.simulation.cells import Window
from caiman_pipeline.simulation.fields import smooth_field, smooth_signal, stream
from caiman_pipeline.simulation.settings import SimulationSettings
from caiman_pipeline.simulation.volume import sharp_in_depth

# Layers of neuropil that change over time, each by itself in part.
N_LAYERS = 10
# Share of the neuropil's light that does not change.
STATIC_SHARE = 0.4
# Bright spots in the area of a cell, on average.
PUNCTA_PER_CELL_AREA = 0.35
# Unlabelled somata for each labelled one, on average.
DARK_CELLS = 0.4


@dataclass(frozen=True)
class Tissue:
    """Light that belongs to no cell: ``temporal.T @ layers``.

    Attributes
    ----------
    layers : float32 (N, scene pixels), the first one constant but for bleaching
    temporal : float32 (N, T)
    """

    layers: FloatArray
    temporal: FloatArray


def simulate_tissue(settings: SimulationSettings, window: Window, cell_cover: FloatArray) -> Tissue:
    """Draw the tissue of a scene.

    Parameters
    ----------
    settings : SimulationSettings
        Brightness of the neuropil, vessels, size of cells.
    window : Window
        The scene.
    cell_cover : float (scene pixels,)
        1 where a soma is, where there is little neuropil.

    Returns
    -------
    Tissue
        Layers of light, and their course.
    """
    rng = stream(settings, "tissue")
    shape, cell = window.shape, np.array(settings.cell_shape)
    hollow = (1 - 0.6 * np.clip(cell_cover.reshape(shape), 0, 1)) * _dark_cells(rng, settings, shape)
    envelope = hollow * _vessels(rng, settings, shape) * np.exp(0.25 * smooth_field(rng, shape, 0.2 * cell))
    static = np.exp(0.2 * smooth_field(rng, shape, 0.35 * cell)) + _puncta(rng, settings, shape)
    layers = [STATIC_SHARE * static / static.mean()]
    for scale in np.geomspace(1.5, 10, N_LAYERS):
        layer = np.exp(0.7 * smooth_field(rng, shape, scale * cell)) + 0.3 * _puncta(rng, settings, shape)
        layers.append((1 - STATIC_SHARE) / N_LAYERS * layer / layer.mean())
    stacked = np.stack(layers) * (settings.neuropil * envelope)
    stacked = np.stack([sharp_in_depth(layer, settings) for layer in stacked])
    return Tissue(stacked.reshape(N_LAYERS + 1, -1).astype(np.float32), _temporal(settings))


def _temporal(settings: SimulationSettings) -> FloatArray:
    """Return the course of each layer, float32 (N, T): partly its own, partly shared with the cells."""
    run_up = int(np.ceil(5 * settings.decay_time_s * settings.frame_rate_hz))
    shared = population_signals(settings, settings.frames + run_up)[:, run_up:]
    rows = [np.ones(settings.frames)]
    for i, seconds in enumerate(np.geomspace(0.2, 8, N_LAYERS)):
        rng = stream(settings, "tissue", 1 + i)
        own = smooth_signal(rng, settings.frames, max(seconds * settings.frame_rate_hz, 0.5))
        loading = rng.dirichlet(np.ones(N_SHARED))
        rows.append(np.clip(1 + 0.3 * own + 0.15 * loading @ shared, 0.05, None))
    return (np.stack(rows) * bleaching(settings)).astype(np.float32)


def _puncta(rng: np.random.Generator, settings: SimulationSettings, shape: tuple[int, ...]) -> FloatArray:
    """Return an image of boutons and cut dendrites: spots far smaller than a cell, a few of them bright."""
    cell = np.array(settings.cell_shape)
    count = rng.poisson(PUNCTA_PER_CELL_AREA * np.prod(shape) / np.prod(cell))
    image = np.zeros(shape)
    spots = tuple(rng.integers(0, n, count) for n in shape)
    np.add.at(image, spots, rng.lognormal(0, 0.8, count))
    sigma = np.maximum(0.1 * cell, 0.4)
    return ndi.gaussian_filter(image, sigma) * np.prod(np.sqrt(2 * np.pi) * sigma)


def _dark_cells(rng: np.random.Generator, settings: SimulationSettings, shape: tuple[int, ...]) -> FloatArray:
    """Return a factor below 1 where unlabelled somata displace the neuropil."""
    cell = np.array(settings.cell_shape)
    density = settings.n_cells / np.prod(settings.dims)
    count = rng.poisson(DARK_CELLS * density * np.prod(shape))
    image = np.zeros(shape)
    image[tuple(rng.integers(0, n, count) for n in shape)] = 1
    sigma = 0.28 * cell
    return 1 - 0.5 * np.clip(ndi.gaussian_filter(image, sigma) * np.prod(np.sqrt(2 * np.pi) * sigma), 0, 1)


def _vessels(rng: np.random.Generator, settings: SimulationSettings, shape: tuple[int, ...]) -> FloatArray:
    """Return a factor below 1 under winding vessels, the same in every plane, rows x columns or with a plane axis."""
    plane = shape[-2:]
    factor = np.ones(plane)
    reach = int(2 * np.hypot(plane[0], plane[1]))
    for _ in range(settings.vessels):
        angle, start = rng.uniform(0, np.pi), rng.uniform(0, 1, 2) * plane
        bend = 0.25 * min(plane) * np.stack([smooth_signal(rng, 2 * reach, reach / 12) for _ in range(2)])
        along = np.arange(-reach, reach) * 0.5
        line = start[:, None] + np.array([[np.sin(angle)], [np.cos(angle)]]) * along + 0.4 * bend
        rows, columns = np.rint(line).astype(int)
        kept = (rows >= 0) & (rows < plane[0]) & (columns >= 0) & (columns < plane[1])
        image = np.zeros(plane)
        image[rows[kept], columns[kept]] = 1
        sigma = settings.cell_diameter_px * rng.uniform(0.12, 0.4)
        shadow = ndi.gaussian_filter(image, sigma) * np.sqrt(2 * np.pi) * sigma
        factor *= 1 - rng.uniform(0.5, 0.85) * np.clip(shadow, 0, 1)
    return np.broadcast_to(factor, shape)
