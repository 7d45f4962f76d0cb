"""What planes see of the space between them: sub-planes, light out of focus, and which cells show clearly."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np
import scipy.ndimage as ndi
from scipy.sparse import csc_matrix

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.simulation.cells import Window
from caiman_pipeline.simulation.settings import SimulationSettings

# Sub-planes from one plane to the next, at most: memory grows with them.
MOST_STEPS = 12
# Visibility from which a cell counts as one that a search should find.
CLEARLY = 0.5


def sub_planes(settings: SimulationSettings) -> int:
    """Return in how many steps the scene is drawn from one plane to the next; one for a plane's movie.

    Parameters
    ----------
    settings : SimulationSettings
        Size of cells and of the point spread across planes.

    Returns
    -------
    int
        Steps, 1 to 12.
    """
    if settings.ndim == 2:
        return 1
    steps = max(3 / settings.cell_planes, 1.5 / settings.axial_planes if settings.axial_planes else 1.0)
    return min(max(ceil(steps), 1), MOST_STEPS)


def drawn_finer(settings: SimulationSettings, step: int) -> SimulationSettings:
    """Return the settings of a scene drawn in sub-planes: whatever is counted in planes is counted in those.

    Parameters
    ----------
    settings : SimulationSettings
        Counted in planes.
    step : int
        Sub-planes from one plane to the next.

    Returns
    -------
    SimulationSettings
        Counted in sub-planes.
    """
    if settings.ndim == 2:
        return settings
    return replace(
        settings,
        dims=((settings.dims[0] - 1) * step + 1, *settings.dims[1:]),
        cell_planes=settings.cell_planes * step,
        rigid_planes=settings.rigid_planes * step,
        axial_planes=settings.axial_planes * step,
    )


def visibility(columns: csc_matrix, window: Window) -> FloatArray:
    """Return how clearly each cell shows.

    Parameters
    ----------
    columns : csc_matrix (scene pixels, K)
        Footprints in the scene.
    window : Window
        The scene.

    Returns
    -------
    float64 (K,)
        0 to 1.

    Notes
    -----
    The smaller of two shares: the light of its brightest section in a plane, of that of the brightest section there is;
    and what of its light in the planes lies in the field of view.
    """
    plane = int(np.prod(window.shape[1:]))
    owner = np.repeat(np.arange(columns.shape[1]), np.diff(columns.indptr))
    light = np.zeros((columns.shape[1], window.shape[0]))
    np.add.at(light, (owner, columns.indices // plane), columns.data)
    shown = light[:, window.steps[0]]
    inside = np.asarray(window.crop_rows(columns).sum(0)).ravel()
    sharp = shown.max(1) / np.maximum(light.max(1), 1e-12)
    return np.minimum(sharp, inside / np.maximum(shown.sum(1), 1e-12))


def split_by_visibility(columns: csc_matrix, window: Window) -> tuple[csc_matrix, csc_matrix]:
    """Return the columns of the cells that show clearly, and those of the others.

    Parameters
    ----------
    columns : csc_matrix (scene pixels, K)
        Footprints in the scene.
    window : Window
        The scene.

    Returns
    -------
    clear : csc_matrix
        Those that show clearly.
    faint : csc_matrix
        The others.
    """
    share = visibility(columns, window)
    return columns[:, share >= CLEARLY], columns[:, share < CLEARLY]


def sharp_in_depth(layers: FloatArray, settings: SimulationSettings) -> FloatArray:
    """Blur tissue (D, H, W) across planes as the point spread does.

    Parameters
    ----------
    layers : float (D, H, W)
        Tissue, any unit.
    settings : SimulationSettings
        Axial width, planes.

    Returns
    -------
    float (D, H, W)
        The tissue as planes see it; of a movie of one plane, as it is.
    """
    sigma = settings.axial_planes / 2.355
    return layers if settings.ndim == 2 or not sigma else ndi.gaussian_filter1d(layers, sigma, axis=0)
