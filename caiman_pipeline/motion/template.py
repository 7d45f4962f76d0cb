"""The image that frames are registered to: a robust average of frames from all over the recording."""

from __future__ import annotations

import numpy as np

from caiman_pipeline.io.readers import RawMovie
from caiman_pipeline.motion.apply import translate
from caiman_pipeline.motion.rigid import prepare_template, register_rigid
from caiman_pipeline.types import FloatArray


def choose_frames(n_frames: int, bad_frames: tuple[int, ...], *, count: int) -> FloatArray:
    """Return up to ``count`` frame indices spread evenly over the good frames."""
    good = np.setdiff1d(np.arange(n_frames), bad_frames)
    return good[np.unique(np.linspace(0, len(good) - 1, min(count, len(good))).round().astype(int))]


def build_template(
    movie: RawMovie, indices: FloatArray, *, max_shift: tuple[int, ...], iterations: int, box: FloatArray
) -> FloatArray:
    """Return the template, float32 dims: the mean of the most alike frames, registered to it and averaged again."""
    frames = np.nan_to_num(movie.read_frames(indices).astype(np.float32))
    template = _most_alike(frames)
    for _ in range(iterations):
        shifts = register_rigid(frames, prepare_template(template, max_shift=max_shift))
        moved = translate(frames, shifts - np.median(shifts, axis=0), box=box)
        flat = moved.reshape(-1, len(frames))
        similar = np.corrcoef(flat.T, flat.mean(1))[-1, :-1]
        template = moved[..., similar >= np.median(similar)].mean(-1, dtype=np.float64).astype(np.float32)
    return template


def _most_alike(frames: FloatArray) -> FloatArray:
    similar = np.nan_to_num(np.corrcoef(frames.reshape(len(frames), -1)))
    group = min(20, len(frames))
    ranked = np.sort(similar, axis=1)[:, -group:].mean(1)
    members = np.argsort(similar[np.argmax(ranked)])[-group:]
    return frames[np.sort(members)].mean(0)
