"""Maxima between samples."""

from __future__ import annotations

from caiman_pipeline.numerics.kernels import compiled


@compiled
def parabola_vertex(low: float, middle: float, high: float) -> float:
    """Return where a parabola through three samples, one apart, has its maximum, within half a step of the middle.

    It is 0, the middle sample's own place, where the three do not bend downwards.
    """
    curvature = low - 2 * middle + high
    if not curvature < 0:
        return 0.0
    return min(max(0.5 * (low - high) / curvature, -0.5), 0.5)
