"""The motion stage as functions, through the files that it writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caiman_pipeline.config.motion import MotionSettings
from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.motion import Shifts
from caiman_pipeline.model.movie import MovieInfo, Reading
from caiman_pipeline.motion.correct import correct_block
from caiman_pipeline.motion.in_pixels import make_plan
from caiman_pipeline.motion.join import Joined, join_recording
from caiman_pipeline.motion.make import build
from caiman_pipeline.motion.records import (
    block_from_result,
    block_to_arrays,
    template_from_result,
    template_to_arrays,
)
from caiman_pipeline.motion.saved import make_correction, open_source
from caiman_pipeline.movies.inspect import inspect_recording
from caiman_pipeline.movies.store.bounds import block_parts
from caiman_pipeline.results.files import load_result, save_result
from caiman_pipeline.results.records import motion_to_arrays


@dataclass(frozen=True)
class Outcome:
    """What the motion stage made of a movie."""

    template: Any
    joined: Joined
    movie: FloatArray

    def __getitem__(self, name: str) -> Any:
        return self.arrays[name]

    @property
    def arrays(self) -> dict[str, Any]:
        """What ``motion.h5`` holds."""
        return motion_to_arrays(self.joined.shifts, self.joined.measures)

    @property
    def shifts(self) -> Shifts:
        """Displacement found."""
        return self.joined.shifts


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., MovieInfo]:
    """Save a movie as one or several files and inspect it."""

    def save(movie: FloatArray, *, files: int = 1, name: str = "movie", rate: float = 30.0) -> MovieInfo:
        pieces = np.array_split(movie, files)
        paths = [str(tmp_path / f"{name}_{k}.npy") for k in range(files)]
        for path, piece in zip(paths, pieces, strict=True):
            np.save(path, piece)
        return inspect_recording(
            name,
            paths,
            reading=Reading("TYX" if movie.ndim == 3 else "TZYX"),
            frame_rate_hz=rate,
            min_frames=2,
            max_bad_fraction=1.0,
            threads=1,
            progress=lambda done, total: None,
        )[0]

    return save


@pytest.fixture
def run_motion(tmp_path: Path) -> Callable[..., Outcome]:
    """Run template, blocks and join of an inspected movie, through their files."""

    def run(info: MovieInfo, *, blocks: int = 1, **keys: Any) -> Outcome:
        settings = MotionSettings(**keys)
        plan = make_plan(settings, dims=info.dims, frame_rate_hz=info.frame_rate_hz)
        made = build(info, plan, settings, threads=2, progress=lambda done, total: None)
        path = tmp_path / "template.h5"
        save_result(path, kind="motion_template", arrays=template_to_arrays(made), settings={}, source={})
        template = template_from_result(load_result(path, "motion_template"))
        source = open_source(info, plan, settings, scan_offset_px=template.scan_offset_px)
        correction = make_correction(
            source, template, plan, settings=settings, values=(info.value_min, info.value_max), threads=2
        )
        results, folder = [], tmp_path / "parts"
        folder.mkdir(exist_ok=True)
        for block in range(blocks):
            parts = block_parts(info.n_frames, info.dims, block, blocks)
            result = correct_block(source, parts, folder, correction=correction, progress=lambda done, total: None)
            save_result(tmp_path / "b.h5", kind="motion_block", arrays=block_to_arrays(result), settings={}, source={})
            results.append(block_from_result(load_result(tmp_path / "b.h5", "motion_block")))
        movie = np.concatenate([np.load(p) for p in sorted(folder.glob("part-*.npy"))], axis=-1)
        for path in folder.glob("part-*.npy"):
            path.unlink()
        return Outcome(template, join_recording(results, template, info, settings), movie)

    return run
