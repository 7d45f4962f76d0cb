from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csc_matrix

from caiman_pipeline.model.background import SummedBackground
from caiman_pipeline.model.components import Components
from caiman_pipeline.model.motion import MotionMeasures, Shifts
from caiman_pipeline.model.movie import MovieInfo, SourceFile
from caiman_pipeline.model.quality import Quality
from caiman_pipeline.model.traces import Traces
from caiman_pipeline.outcome import Outcome
from caiman_pipeline.quality.accept import Selection
from caiman_pipeline.results.files import save_result
from caiman_pipeline.results.provenance import kept_ledger
from caiman_pipeline.results.records import (
    components_to_arrays,
    motion_to_arrays,
    quality_to_arrays,
    save_movie_info,
    traces_to_arrays,
)
from caiman_pipeline.traces.dff import relate

SELECTION = {"min_snr": 4.0, "snr_lowest": 0.5, "min_r_value": 0.98, "r_value_lowest": 0.3}


def stage_entry(section: str, settings: dict) -> dict:
    """Return what a stage notes of itself."""
    return {"section": section, "settings": settings, "version": "0.0", "commit": "", "warnings": []}


def _footprints(rng: np.random.Generator, dims: tuple[int, ...], n_components: int) -> csc_matrix:
    grid = np.indices(dims).reshape(len(dims), -1)
    columns = []
    for _ in range(n_components):
        centre = rng.uniform(2, np.array(dims) - 2)
        weight = np.exp(-((grid - centre[:, None]) ** 2).sum(0) / (2 * 2.0**2))
        weight[weight < 0.1] = 0
        columns.append(weight / np.linalg.norm(weight))
    matrix = np.stack(columns, axis=1) if columns else np.zeros((grid.shape[1], 0))
    return csc_matrix(matrix.astype(np.float32))


def _measures(n_frames: int, image: np.ndarray) -> MotionMeasures:
    """What correction would measure of a movie of one image, had all frames been where they should be."""
    none, border = np.zeros(n_frames, bool), np.zeros((image.ndim, 2), np.int64)
    return MotionMeasures(
        method="rigid",
        method_scores=np.array([0.0, 2.0, 1.5]),
        template=image,
        mean_before=np.ones_like(image),
        mean_after=image,
        valid=np.ones(image.shape, bool),
        outside_fraction=np.zeros_like(image),
        border=border,
        correlation_before=np.full(n_frames, 0.5, np.float32),
        correlation_after=np.full(n_frames, 0.75, np.float32),
        crispness_before=0.5,
        crispness_after=1.0,
        residual_before=np.ones(3, np.float32),
        residual_after=np.full(3, 0.25, np.float32),
        at_limit=none,
        at_limit_fraction=0.0,
        bad=none,
        unlike=none,
        beyond_border=none,
        flagged=none,
        left_out=np.zeros(n_frames, np.uint8),
        scan_offset_px=0.0,
    )


def build_outcome(
    dims: tuple[int, ...] = (37, 53),
    n_components: int = 7,
    n_frames: int = 130,
    *,
    seed: int = 0,
    dff_kind: str = "dff",
    frames_per_bin: int = 1,
) -> Outcome:
    rng = np.random.default_rng(seed)
    n_samples, shape = n_frames // frames_per_bin, (n_components, n_frames // frames_per_bin)
    spikes = rng.poisson(0.02, shape).astype(np.float32) * 8
    calcium = np.stack([np.convolve(s, 0.9 ** np.arange(40))[:n_samples] for s in spikes]) if n_components else spikes
    ids = np.arange(n_components, dtype=np.int64) * 3 + 2
    n_pixels = int(np.prod(dims))
    spatial = csc_matrix(np.abs(rng.normal(size=(n_pixels, 2))).astype(np.float32))
    background = SummedBackground(np.full(n_pixels, 90, np.float32), spatial, np.ones((2, n_samples), np.float32))
    noise = rng.normal(size=shape).astype(np.float32)
    components = Components(
        dims=dims,
        ids=ids,
        footprints=_footprints(rng, dims, n_components),
        denoised=calcium.astype(np.float32) + 5,
        residual=noise,
        background=background,
        noise=np.ones(n_pixels, np.float32),
        frames_per_bin=frames_per_bin,
    )
    f0, fluorescence = np.full(shape, 100, np.float32), (calcium + 5 + noise + 95).astype(np.float32)
    noise_level = np.ones(n_components, np.float32)
    traces = Traces(
        ids=ids,
        denoised=calcium.astype(np.float32),
        deconvolved=spikes,
        baseline=np.full(n_components, 5, np.float32),
        fluorescence=fluorescence,
        background=np.full(shape, 95, np.float32),
        f0=f0,
        dff=relate(fluorescence, f0, noise_level, dff_kind),
        dff_denoised=relate((calcium + 100).astype(np.float32), f0, noise_level, dff_kind),
        dff_kind=dff_kind,
        neighbours_light=np.linspace(0, 3, n_components).astype(np.float32),
        noise=noise_level,
        ar=np.full((n_components, 1), 0.9, np.float32),
        sparsity=np.zeros(n_components, np.float32),
        event_snr=np.full(n_components, 8, np.float32),
        event_rate_hz=np.linspace(0.1, 0.5, n_components).astype(np.float32),
        own_decay_s=np.linspace(0.3, 0.9, n_components).astype(np.float32),
        flags=("",) * n_components,
    )
    snr = np.linspace(1, 9, n_components).astype(np.float32)
    quality = Quality(
        ids,
        snr,
        np.linspace(0.4, 0.95, n_components).astype(np.float32),
        np.full(n_components, 31, np.float32),
        np.linspace(0.05, 0.99, n_components).astype(np.float32),
        np.linspace(0.1, 0.95, n_components).astype(np.float32),
        elongation=np.linspace(1, 3, n_components).astype(np.float32),
        border_share=np.zeros(n_components, np.float32),
        saturated_share=np.zeros(n_components, np.float32),
        likeness=np.linspace(0, 0.5, n_components).astype(np.float32),
        nesting=np.linspace(0, 0.4, n_components).astype(np.float32),
        motion_share=np.linspace(0, 0.3, n_components).astype(np.float32),
    )
    accepted = snr > 4
    reasons = tuple("" if a else "snr below 4" for a in accepted)
    selection = Selection(ids, accepted, reasons, np.full(n_components, -1, np.int8))
    file = SourceFile("raw/movie one.tif", n_frames, 12345, 1_700_000_000_000_000_000)
    info = MovieInfo(
        recording="mouse1_day2",
        files=(file,),
        axes="TYX",
        dataset=None,
        dims=dims,
        dtype="uint16",
        frame_rate_hz=30.0,
        value_min=3.0,
        value_max=4000.0,
        saturated_fraction=0.0,
        bad_frames=(),
        border_px=((0, 0),) * len(dims),
        warnings=("0.31% of pixel values are saturated at 4000",),
    )
    shifts = Shifts(rng.normal(size=(n_frames, len(dims))).astype(np.float32))
    names = ("mean", "std", "max", "correlation", "peak_to_noise", "noise")
    images = {name: rng.random(dims).astype(np.float32) for name in names}
    return Outcome(
        info=info,
        shifts=shifts,
        motion=_measures(n_frames, images["mean"]),
        images=images,
        components=components,
        traces=traces,
        quality=quality,
        selection=selection,
        stages={"select": stage_entry("select", SELECTION)},
    )


def save_outcome(outcome: Outcome, folder: Path) -> dict[str, Path]:
    """Write an outcome as the stages would; return the paths by argument name."""
    paths = {
        n: folder / f"{n}.h5" for n in ("motion", "images", "components", "traces", "quality", "selection", "frames")
    }
    selection = vars(outcome.selection)
    arrays = {
        "motion": motion_to_arrays(outcome.shifts, outcome.motion),
        "images": outcome.images,
        "components": components_to_arrays(outcome.components),
        "traces": traces_to_arrays(outcome.traces),
        "quality": quality_to_arrays(outcome.quality),
        "selection": selection,
        "frames": {n: np.linspace(90, 110, outcome.info.n_frames) for n in ("mean", "minimum", "maximum")},
    }
    with kept_ledger() as ledger:
        ledger.stages = dict(outcome.stages)
        for name, values in arrays.items():
            kind = "inspect" if name == "frames" else name
            save_result(paths[name], kind=kind, arrays=values, settings={}, source={"recording": "r"})
        save_movie_info(folder / "movie_info.json", outcome.info)
    return {**paths, "movie_info": folder / "movie_info.json"}


@pytest.fixture
def make_outcome() -> Callable[..., Outcome]:
    return build_outcome


@pytest.fixture
def saved_outcome() -> Callable[[Outcome, Path], dict[str, Path]]:
    return save_outcome


@pytest.fixture
def as_json() -> Callable[[object], str]:
    return json.dumps
