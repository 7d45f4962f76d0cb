"""Compiled parts of rendering: a frame's light, and the scene seen displaced."""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.numerics.cubic import catmull_rom
from caiman_pipeline.numerics.kernels import compiled


@compiled
def add_light(
    layers: FloatArray,
    layer_light: FloatArray,
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    cell_light: FloatArray,
    scene: FloatArray,
) -> None:
    """Fill ``scene`` (pixels,) with the light of tissue layers (N, pixels) and of cells (csc columns), all float32."""
    scene[:] = 0.0
    for i in range(layers.shape[0]):
        weight = layer_light[i]
        for p in range(scene.size):
            scene[p] += weight * layers[i, p]
    for k in range(indptr.size - 1):
        for i in range(indptr[k], indptr[k + 1]):
            scene[indices[i]] += cell_light[k] * data[i]


@compiled
def warp(scene: FloatArray, shift: FloatArray, margin: tuple[int, int, int], step: int, frame: FloatArray) -> None:
    """Fill ``frame`` (D, H, W) with what is seen of ``scene`` displaced by ``shift`` (3, D, H, W) pixels, all float32.

    Every ``step``-th plane of the scene is one of the frame's. Cubic (Catmull-Rom) in the plane, linear across planes;
    never below zero. Places more than a pixel beyond the scene show its edge, which the margin keeps out of sight.
    """
    depth, height, width = scene.shape
    zero, one = np.float32(0), np.float32(1)
    for z in range(frame.shape[0]):
        for y in range(frame.shape[1]):
            for x in range(frame.shape[2]):
                sz = np.float32(z * step + margin[0]) - np.float32(step) * shift[0, z, y, x]
                sz = min(max(sz, zero), np.float32(depth - 1))
                sy = min(max(np.float32(y + margin[1]) - shift[1, z, y, x], one), np.float32(height - 3))
                sx = min(max(np.float32(x + margin[2]) - shift[2, z, y, x], one), np.float32(width - 3))
                iz, iy, ix = int(sz), int(sy), int(sx)
                across = sz - np.float32(iz)
                wy, wx = catmull_rom(sy - np.float32(iy)), catmull_rom(sx - np.float32(ix))
                value = zero
                for a in range(1 if across == zero else 2):
                    plane = zero
                    for b in range(4):
                        row = scene[iz + a, iy + b - 1]
                        part = wx[0] * row[ix - 1] + wx[1] * row[ix] + wx[2] * row[ix + 1] + wx[3] * row[ix + 2]
                        plane += wy[b] * part
                    value += (across if a else one - across) * plane
                frame[z, y, x] = max(value, zero)
