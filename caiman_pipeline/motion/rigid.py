"""Rigid registration of frames by cross-correlation with a template, over any number of axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft as fft

from caiman_pipeline.types import Dims, FloatArray


@dataclass(frozen=True)
class RigidTemplate:
    """A template prepared for registration: its filtered conjugate spectrum, and the largest shift per axis, pixels."""

    dims: Dims
    spectrum: FloatArray
    max_shift: tuple[int, ...]


def prepare_template(template: FloatArray, *, max_shift: tuple[int, ...]) -> RigidTemplate:
    """Filter a template (float32 dims) and keep its conjugate spectrum."""
    spectrum = fft.rfftn(template - template.mean())
    radius = sum(
        (np.fft.fftfreq(n) if i < template.ndim - 1 else np.fft.rfftfreq(n)).reshape(
            [-1 if j == i else 1 for j in range(template.ndim)]
        )
        ** 2
        for i, n in enumerate(template.shape)
    )
    band = radius / (radius + 0.02**2) * np.exp(-radius / (2 * 0.2**2))
    limits = tuple(min(m, (n - 1) // 2) for m, n in zip(max_shift, template.shape, strict=True))
    return RigidTemplate(template.shape, (np.conj(spectrum) * band).astype(np.complex64), limits)


def register_rigid(frames: FloatArray, template: RigidTemplate) -> FloatArray:
    """Return the displacement of the scene, float32 (T, ndim) in pixels, of frames float32 (T, *dims)."""
    axes = tuple(range(1, frames.ndim))
    spectra = fft.rfftn(frames - frames.mean(axis=axes, keepdims=True), axes=axes)
    surface = fft.irfftn(spectra * template.spectrum, template.dims, axes=axes)
    for axis, limit in zip(axes, template.max_shift, strict=True):
        surface = np.take(surface, np.arange(-limit, limit + 1), axis=axis)
    return np.stack([peak_position(s) for s in surface]).astype(np.float32)


def peak_position(surface: FloatArray) -> FloatArray:
    """Return the sub-pixel position of a surface's maximum, relative to its centre, by a parabola along each axis."""
    top = np.unravel_index(int(np.argmax(surface)), surface.shape)
    position = np.empty(surface.ndim)
    for axis, size in enumerate(surface.shape):
        position[axis] = top[axis] - size // 2
        if 0 < top[axis] < size - 1:
            low, mid, high = (surface[(*top[:axis], top[axis] + d, *top[axis + 1 :])] for d in (-1, 0, 1))
            curvature = low - 2 * mid + high
            position[axis] += 0.5 * (low - high) / curvature if curvature < 0 else 0.0
    return position
