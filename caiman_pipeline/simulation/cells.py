"""Footprints of simulated somata and dendrites, and footprints taken from a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi
from scipy.sparse import csc_matrix, hstack

from caiman_pipeline.model.arrays import FloatArray, NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Bounds, Dims
from caiman_pipeline.simulation.fields import stream
from caiman_pipeline.simulation.settings import SimulationSettings

# Share of its peak below which a footprint's pixel is left out; light out of focus is faint.
FAINTEST, FAINTEST_IN_VOLUMES = 0.08, 0.01
# Standard deviation of the blur of a soma in focus, and of what light half the axial width away has more, in cell
# diameters.
IN_FOCUS = 0.06
# How far light out of focus is followed, in axial widths, and the share of it in the slow tail.
BLUR_REACH, TAIL = 3.0, 0.2
# Draws of a centre that may fail one after the other before there is no room.
MAX_MISSES = 5000


@dataclass(frozen=True)
class Window:
    """The scene, larger than the field of view so that motion brings in what lies beside it.

    Attributes
    ----------
    dims : size of the field of view; its planes with the sub-planes between them
    margin : pixels beside it at each end of each axis
    step : sub-planes from one plane to the next
    """

    dims: Dims
    margin: Dims
    step: int = 1

    @property
    def shape(self) -> Dims:
        """Size of the scene."""
        return tuple(n + 2 * m for n, m in zip(self.dims, self.margin, strict=True))

    @property
    def steps(self) -> tuple[slice, ...]:
        """Where the field of view lies in the scene, along each axis."""
        apart = (self.step, 1, 1)[-len(self.dims) :]
        return tuple(slice(m, m + n, s) for n, m, s in zip(self.dims, self.margin, apart, strict=True))

    def crop(self, scene: NumberArray) -> NumberArray:
        """Return the part of the scene in the field of view.

        Parameters
        ----------
        scene : array (*scene)
            Any unit.

        Returns
        -------
        array (*dims)
            A view.
        """
        return scene[self.steps]

    def crop_rows(self, matrix: csc_matrix) -> csc_matrix:
        """Return the rows of a matrix that lie in the field of view.

        Parameters
        ----------
        matrix : csc_matrix (scene pixels, K)
            Footprints in the scene.

        Returns
        -------
        csc_matrix (P, K)
            The same in the field of view.
        """
        rows = self.crop(np.arange(matrix.shape[0]).reshape(self.shape)).ravel()
        return matrix.tocsr()[rows].tocsc()

    def embed_rows(self, matrix: csc_matrix) -> csc_matrix:
        """Put a matrix of the field of view into the scene.

        Parameters
        ----------
        matrix : csc_matrix (P, K)
            Footprints in the field of view.

        Returns
        -------
        csc_matrix (scene pixels, K)
            The same in the scene.
        """
        rows = self.crop(np.arange(int(np.prod(self.shape))).reshape(self.shape)).ravel()
        coo = matrix.tocoo()
        return csc_matrix((coo.data, (rows[coo.row], coo.col)), (int(np.prod(self.shape)), matrix.shape[1]))


def draw_somata(settings: SimulationSettings, window: Window) -> tuple[csc_matrix, csc_matrix]:
    """Return footprints of the somata in the field of view, and of those beside it, over the scene's pixels.

    Both are float32 (scene pixels, count) with a peak of 1.

    Parameters
    ----------
    settings : SimulationSettings
        Number, size and spacing of somata.
    window : Window
        The scene.

    Returns
    -------
    inside : csc_matrix float32 (scene pixels, n_cells)
        Those in the field of view.
    beside : csc_matrix float32 (scene pixels, n)
        Those beside it.

    Raises
    ------
    PipelineError
        If so many somata do not fit at the spacing asked for.
    """
    rng = stream(settings, "cells")
    inside = _place(rng, settings, window, np.empty((0, settings.ndim)), beside=False)
    around = _place(rng, settings, window, inside, beside=True)
    columns = [
        _soma(stream(settings, "cells", 1 + i), settings, window, centre) for i, centre in enumerate([*inside, *around])
    ]
    matrix = _stack(columns, window)
    return matrix[:, : len(inside)], matrix[:, len(inside) :]


def _place(
    rng: np.random.Generator, settings: SimulationSettings, window: Window, taken: FloatArray, *, beside: bool
) -> FloatArray:
    """Draw centres at random, none nearer to another than the spacing: in the field of view, or only beside it."""
    shape, margin, dims = (np.array(v, float) for v in (window.shape, window.margin, window.dims))
    density = settings.n_cells / dims.prod()
    wanted = round(density * (shape.prod() - dims.prod())) if beside else settings.n_cells
    centres, diameter = list(taken), np.array(settings.cell_shape)
    misses = 0
    while len(centres) - len(taken) < wanted and misses < MAX_MISSES:
        point = rng.uniform(-0.5, shape - 0.5)
        within = bool(((point >= margin - 0.5) & (point < margin + dims - 0.5)).all())
        near = np.sqrt((((np.array(centres).reshape(-1, len(shape)) - point) / diameter) ** 2).sum(1))
        if within != beside and not (near < settings.spacing).any():
            centres.append(point)
            misses = 0
        else:
            misses += 1
    found = np.array(centres[len(taken) :]).reshape(-1, len(shape))
    if len(found) < wanted and not beside:
        raise PipelineError(
            f"n_cells: only {len(found)} of {wanted} somata fit into {settings.dims} px at a spacing of "
            f"{settings.spacing:g} diameters. Ask for fewer, or a smaller spacing."
        )
    return found


def _soma(rng: np.random.Generator, settings: SimulationSettings, window: Window, centre: FloatArray) -> csc_matrix:
    """Draw one soma: an irregular, grainy shell around a dim nucleus, cut by the image plane at any height."""
    radius = np.array(settings.cell_shape) / 2 * rng.uniform(0.85, 1.15, settings.ndim)
    bounds = _box(window, centre, 1.7 * radius + 1 + _blur_reach(settings))
    grid = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in bounds), indexing="ij"))
    offset = (grid - centre.reshape(-1, *[1] * settings.ndim)) / radius.reshape(-1, *[1] * settings.ndim)
    height = rng.uniform(-0.75, 0.75) if settings.ndim == 2 else 0.0
    distance = np.sqrt((offset**2).sum(0) + height**2)
    direction = offset / np.maximum(distance, 1e-6)
    waves = rng.normal(0, 1.6, (3, settings.ndim))
    ripple = sum(np.cos(np.tensordot(w, direction, 1) + p) for w, p in zip(waves, rng.uniform(0, 6.3, 3), strict=True))
    distance /= 1 + 0.09 * ripple
    body = 1 / (1 + np.exp((distance - 0.95) / 0.05))
    dim, size = rng.uniform(0.15, 0.75), rng.uniform(0.5, 0.7)
    body *= 1 - dim / (1 + np.exp((distance - size) / 0.06))
    grain = ndi.gaussian_filter(rng.standard_normal(body.shape), 0.1 * np.array(settings.cell_shape))
    body *= np.clip(1 + 0.2 * grain / max(grain.std(), 1e-6), 0.2, None)
    body = ndi.gaussian_filter(body, IN_FOCUS * np.array(settings.cell_shape))
    return _column(out_of_focus(body, settings), bounds, window, settings)


def draw_dendrites(settings: SimulationSettings, window: Window) -> csc_matrix:
    """Return footprints of thin winding processes, with a peak of 1.

    Parameters
    ----------
    settings : SimulationSettings
        Number of dendrites, and the size of somata.
    window : Window
        The scene.

    Returns
    -------
    csc_matrix float32 (scene pixels, n_dendrites)
        Footprints.
    """
    columns = []
    for i in range(settings.n_dendrites):
        rng = stream(settings, "dendrites", i)
        columns.append(_dendrite(rng, settings, window))
    return _stack(columns, window)


def _dendrite(rng: np.random.Generator, settings: SimulationSettings, window: Window) -> csc_matrix:
    ndim, shape = settings.ndim, np.array(window.shape)
    steps = int(rng.uniform(4, 9) * settings.cell_diameter_px / 0.5)
    angle = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.06, steps))
    moves = 0.5 * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    if ndim == 3:
        moves = np.column_stack([np.full(steps, rng.normal(0, 0.3) * settings.cell_planes / steps), moves])
    path = np.cumsum(moves, axis=0)
    middle = rng.uniform(-0.5, np.array(settings.dims) - 0.5) + window.margin
    path += middle - path[steps // 2]
    weight = np.clip(1 + 0.5 * ndi.gaussian_filter1d(rng.standard_normal(steps), 4) * 3, 0.2, None)
    kept = ((path >= 0) & (path <= shape - 1)).all(1)
    path, weight = path[kept], weight[kept]
    beside = np.ceil(_blur_reach(settings)).astype(int)
    low = np.maximum(np.floor(path.min(0)).astype(int) - 6 - beside, 0)
    high = np.minimum(np.ceil(path.max(0)).astype(int) + 7 + beside, shape)
    image = np.zeros(high - low)
    np.add.at(image, tuple((np.rint(path).astype(int) - low).T), weight)
    image = ndi.gaussian_filter(image, rng.uniform(0.08, 0.13) * np.array(settings.cell_shape))
    return _column(out_of_focus(image, settings), tuple(zip(low, high, strict=True)), window, settings)


def _blur_reach(settings: SimulationSettings) -> FloatArray:
    """Return how far light out of focus reaches along each axis, pixels; zero in a plane's movie."""
    if settings.ndim == 2:
        return np.zeros(2)
    wide = 2 * IN_FOCUS * settings.cell_diameter_px * BLUR_REACH
    return np.array([BLUR_REACH * settings.axial_planes, wide, wide])


def out_of_focus(body: FloatArray, settings: SimulationSettings) -> FloatArray:
    """Spread a volume's light across planes as a point spread does: wider in the plane the further away.

    Parameters
    ----------
    body : float (D, H, W)
        Light, any unit.
    settings : SimulationSettings
        Axial width, planes.

    Returns
    -------
    float (D, H, W)
        The light as planes see it; a movie of one plane as it is.

    Notes
    -----
    A Gaussian core and the slow tail of a Lorentzian, unit sum; the width in the plane is that in focus at the core.
    """
    if settings.ndim == 2 or settings.axial_planes == 0:
        return body
    half, reach = settings.axial_planes / 2, int(np.ceil(BLUR_REACH * settings.axial_planes))
    away = np.abs(np.arange(-reach, reach + 1))
    weight = (1 - TAIL) * _unit(np.exp(-np.log(2) * (away / half) ** 2)) + TAIL * _unit(1 / (1 + (away / half) ** 2))
    blurred = np.zeros_like(body)
    for d in range(min(reach, len(body) - 1) + 1):
        sigma = IN_FOCUS * settings.cell_diameter_px * d / half
        there = weight[reach + d] * ndi.gaussian_filter(body, (0, sigma, sigma), mode="constant")
        blurred[d:] += there[: len(body) - d]
        if d:
            blurred[:-d] += there[d:]
    return blurred


def _unit(weights: FloatArray) -> FloatArray:
    return weights / weights.sum()


def _box(window: Window, centre: FloatArray, reach: FloatArray) -> Bounds:
    low = np.maximum(np.floor(centre - reach).astype(int), 0)
    high = np.minimum(np.ceil(centre + reach).astype(int) + 1, window.shape)
    return tuple((int(a), int(b)) for a, b in zip(low, high, strict=True))


def _column(image: FloatArray, bounds: Bounds, window: Window, settings: SimulationSettings) -> csc_matrix:
    """Turn an image in a box of the scene into a column of peak 1, without its faintest pixels."""
    image = image / image.max()
    places = np.nonzero(image >= (FAINTEST if settings.ndim == 2 else FAINTEST_IN_VOLUMES))
    rows = np.ravel_multi_index([p + a for p, (a, _) in zip(places, bounds, strict=True)], window.shape)
    values = image[places].astype(np.float32)
    return csc_matrix((values, (rows, np.zeros(len(rows), int))), (int(np.prod(window.shape)), 1))


def _stack(columns: list[csc_matrix], window: Window) -> csc_matrix:
    if not columns:
        return csc_matrix((int(np.prod(window.shape)), 0), dtype=np.float32)
    return hstack(columns, format="csc")
