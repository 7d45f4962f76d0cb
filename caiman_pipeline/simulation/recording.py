"""A whole simulated recording: built from its settings, rendered frame by frame, written with its truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from scipy.sparse import csc_matrix, hstack

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.motion import Shifts
from caiman_pipeline.movies.writers.open import movie_writer
from caiman_pipeline.numerics.threads import stream_ordered
from caiman_pipeline.results.files import save_result
from caiman_pipeline.results.records import shifts_to_arrays
from caiman_pipeline.simulation.activity import Activity, simulate_activity
from caiman_pipeline.simulation.cells import BLUR_REACH, Window, draw_dendrites, draw_somata
from caiman_pipeline.simulation.detector import Detector
from caiman_pipeline.simulation.kernels import add_light, warp
from caiman_pipeline.simulation.motion import displacement, simulate_motion, spline_matrix
from caiman_pipeline.simulation.planted import PlantedFootprints
from caiman_pipeline.simulation.settings import SimulationSettings
from caiman_pipeline.simulation.tissue import Tissue, simulate_tissue
from caiman_pipeline.simulation.volume import drawn_finer, split_by_visibility, sub_planes

# Bytes of frames that are rendered together; changes no result.
CHUNK_BYTES = 8 * 2**20
# Frames by which the ceiling of a saturated recording is set.
SAMPLED_FRAMES = 32


@dataclass(frozen=True)
class Simulation:
    """Everything that is known of a simulated recording, its movie not yet rendered.

    Attributes
    ----------
    scene : sparse float32 (scene pixels, K + others), peak 1: the truth's components, then cells beside the view, in
        volumes all those that do not show clearly
    n_components : K, the components in the truth
    is_dendrite : bool (K,)
    activity : of all columns of ``scene``
    motion : displacement of the scene
    """

    settings: SimulationSettings
    window: Window
    scene: csc_matrix
    n_components: int
    is_dendrite: BoolArray
    activity: Activity
    tissue: Tissue
    motion: Shifts
    detector: Detector

    @property
    def footprints(self) -> csc_matrix:
        """What the field of view shows of the truth's components without motion, float32 (P, K)."""
        return self.window.crop_rows(self.scene[:, : self.n_components])

    @property
    def faint(self) -> csc_matrix:
        """What a volume shows of cells that do not show clearly, float32 (P, F); none in a plane's movie."""
        others = self.window.crop_rows(self.scene[:, self.n_components :])
        return others[:, (others.getnnz(0) > 0) & (self.settings.ndim == 3)]

    def mean_image(self) -> FloatArray:
        """Return the mean over time without motion or noise, float32 dims, brightness."""
        light = self.scene @ self.activity.fluorescence.mean(1, dtype=np.float64)
        light += self.tissue.temporal.mean(1, dtype=np.float64) @ self.tissue.layers
        return self.window.crop(light.reshape(self.window.shape)).astype(np.float32)

    def truth(self) -> dict[str, object]:
        """Return what is true of the movie, by name; see ``simulate``."""
        k = self.n_components
        return {
            "dims": np.array(self.settings.dims),
            "frame_rate_hz": self.settings.frame_rate_hz,
            "footprints": self.footprints,
            "faint": self.faint,
            "is_dendrite": self.is_dendrite,
            "calcium": self.activity.calcium[:k],
            "spikes": self.activity.spikes[:k],
            "fluorescence": self.activity.fluorescence[:k],
            "mean_image": self.mean_image(),
            "counts_per_brightness": self.settings.photons * self.settings.gain,
            "ceiling": self.detector.ceiling,
            **shifts_to_arrays(self.motion),
        }


def build_simulation(settings: SimulationSettings, planted: PlantedFootprints | None = None) -> Simulation:
    """Draw cells, activity, tissue and motion; nothing of the size of the movie is held.

    Parameters
    ----------
    settings : SimulationSettings
        All that decides it.
    planted : PlantedFootprints, optional
        Footprints to use instead of drawn somata; they must have the settings' frame size.

    Returns
    -------
    Simulation
        All that is known of it.

    Raises
    ------
    PipelineError
        If the somata do not fit, or planted footprints have another frame size.
    """
    step = sub_planes(settings) if planted is None else 1
    finer = drawn_finer(settings, step)
    window = Window(finer.dims, _margin(finer), step)
    if planted is None:
        somata, beside = draw_somata(finer, window)
        if settings.ndim == 3:
            somata, beside = split_by_visibility(hstack([somata, beside], format="csc"), window)
    else:
        if planted.dims != settings.dims:
            raise PipelineError(f"dims: {settings.dims}, but the footprints to plant are of frames of {planted.dims}.")
        somata = window.embed_rows(planted.matrix)
        settings, beside = replace(settings, n_cells=somata.shape[1]), somata[:, :0]
        finer = drawn_finer(settings, step)
    dendrites = draw_dendrites(finer, window)
    scene = hstack([somata, dendrites, beside], format="csc").astype(np.float32)
    cover = np.asarray(hstack([somata, beside]).max(axis=1).todense()).ravel() if scene.shape[1] else np.zeros(1)
    cover = np.broadcast_to(cover, int(np.prod(window.shape)))
    simulation = Simulation(
        settings=settings,
        window=window,
        scene=scene,
        n_components=somata.shape[1] + dendrites.shape[1],
        is_dendrite=np.arange(somata.shape[1] + dendrites.shape[1]) >= somata.shape[1],
        activity=simulate_activity(settings, scene.shape[1]),
        tissue=simulate_tissue(finer, window, cover),
        motion=simulate_motion(settings),
        detector=Detector(settings),
    )
    return replace(simulation, detector=Detector(settings, _ceiling(simulation))) if settings.saturated else simulation


def _margin(settings: SimulationSettings) -> tuple[int, ...]:
    plane = int(np.ceil(settings.rigid_px + 1.5 * settings.nonrigid_px)) + 3
    deep = settings.rigid_planes + 0.5 * settings.cell_planes + BLUR_REACH * settings.axial_planes
    return (int(np.ceil(deep)), plane, plane)[-settings.ndim :]


def _ceiling(simulation: Simulation) -> float:
    """Return the pixel value that the wanted share of values exceeds, judged on frames spread over the movie."""
    settings = simulation.settings
    frames = np.unique(np.linspace(0, settings.frames - 1, SAMPLED_FRAMES).astype(int))
    values = [simulation.detector.expose(brightness, int(t)) for t, brightness in _brightness(simulation, frames)]
    return float(np.floor(np.clip(np.quantile(np.stack(values), 1 - settings.saturated), 1, 65535)))


def _brightness(simulation: Simulation, frames: IntArray) -> Iterator[tuple[int, FloatArray]]:
    """Yield (frame, brightness float32 (D, H, W)) of the displaced scene, without noise."""
    window, motion, dims = simulation.window, simulation.motion, simulation.settings.dims
    matrices = tuple(spline_matrix(g, n) for g, n in zip(motion.grid, dims, strict=True))
    volume, margin = ((1, *dims), (0, *window.margin)) if len(dims) == 2 else (dims, window.margin)
    light = np.empty(int(np.prod(window.shape)), np.float32)
    shift = np.zeros((3, *volume), np.float32)
    scene, tissue = simulation.scene, simulation.tissue
    deep = (1, *window.shape) if len(dims) == 2 else window.shape
    assert motion.field is not None
    for t in frames:
        fluorescence = simulation.activity.fluorescence[:, t]
        add_light(tissue.layers, tissue.temporal[:, t], scene.data, scene.indices, scene.indptr, fluorescence, light)
        shift[-len(dims) :] = displacement(motion.field[t], matrices).reshape(-1, *volume)
        frame = np.empty(volume, np.float32)
        warp(light.reshape(deep), shift, margin, window.step, frame)
        yield int(t), frame


def render_movie(
    simulation: Simulation, *, threads: int, chunk_frames: int | None = None
) -> Iterator[tuple[int, int, IntArray]]:
    """Yield the movie piece by piece, in order; the pieces' length changes nothing.

    Parameters
    ----------
    simulation : Simulation
        What ``build_simulation`` returns.
    threads : int
        Pieces to render at a time.
    chunk_frames : int, optional
        Frames of a piece; else about 8 MB.

    Yields
    ------
    (int, int, uint16 (t, *dims))
        First frame, the one after the last, and the frames, counts.

    Examples
    --------
    >>> simulation = build_simulation(SimulationSettings(frames=5, dims=(32, 48), n_cells=2))
    >>> [(start, stop, frames.shape) for start, stop, frames in render_movie(simulation, threads=1, chunk_frames=3)]
    [(0, 3, (3, 32, 48)), (3, 5, (2, 32, 48))]
    """
    settings = simulation.settings
    if chunk_frames is None:
        chunk_frames = int(np.clip(CHUNK_BYTES // (4 * np.prod(settings.dims)), 1, 64))
    detector = simulation.detector

    def render(start: int) -> IntArray:
        frames = np.arange(start, min(start + chunk_frames, settings.frames))
        pieces = [detector.digitise(detector.expose(b, t)) for t, b in _brightness(simulation, frames)]
        return np.stack(pieces).reshape(-1, *settings.dims)

    starts = range(0, settings.frames, chunk_frames)
    for start, piece in zip(starts, stream_ordered(render, starts, threads), strict=True):
        yield start, start + len(piece), piece


def simulate(
    path: Path | str,
    settings: SimulationSettings,
    *,
    truth: Path | str,
    planted: PlantedFootprints | None = None,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Simulation:
    """Simulate a recording and write its movie and its truth.

    Parameters
    ----------
    path : movie to write, uint16 (T, [D,] H, W); .tif (BigTIFF), .npy, .h5 or .zarr
    settings : size, cells, indicator, motion and detector of the recording
    truth : result file to write, of kind ``truth``. Footprints (P, K), peak 1; calcium (K, T), one spike = 1; spikes
        (K, T), counts; fluorescence (K, T), brightness; faint (P, F), what a volume shows of cells between its planes
        and beside it that do not show clearly; rigid (T, ndim), field (T, *grid, ndim) and grid_N,
        displacement in pixels; mean_image, brightness; dims; frame_rate_hz; is_dendrite (K,)
    planted : footprints to use instead of drawn somata
    threads : threads to use; the movie is the same for any number
    progress : called with the number of frames written and in all

    Returns
    -------
    Simulation
        All that is known of the recording; its movie is on disk.

    Raises
    ------
    PipelineError
        If the settings do not fit together, or a file cannot be written.

    Examples
    --------
    >>> import caiman_pipeline as cp
    >>> settings = cp.SimulationSettings(frames=60, dims=(40, 56), n_cells=3, cell_diameter_px=8, seed=1)
    >>> made = cp.simulate("small.tif", settings, truth="small_truth.h5")
    >>> made.n_components, cp.open_movie("small.tif").shape
    (3, (60, 40, 56))
    """
    simulation = build_simulation(settings, planted)
    settings = simulation.settings
    with movie_writer(Path(path), (settings.frames, *settings.dims), np.dtype(np.uint16)) as append:
        for _, stop, frames in render_movie(simulation, threads=threads):
            append(frames)
            progress(stop, settings.frames)
    save_result(
        truth, kind="truth", arrays=simulation.truth(), settings=asdict(settings), source={"movie": Path(path).name}
    )
    return simulation
