"""How the scene moved."""

from __future__ import annotations

from dataclasses import dataclass

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.checks import require


@dataclass(frozen=True)
class Shifts:
    """Displacement of the scene in each frame, in pixels; correcting a frame subtracts it.

    Attributes
    ----------
    rigid : float32 (T, ndim), order ([dz,] dy, dx)
    field : float32 (T, *grid, ndim) or None, total displacement (rigid part included) at the grid points
    grid : one array per axis with the pixel coordinates of the grid points, empty without a field
    """

    rigid: FloatArray
    field: FloatArray | None = None
    grid: tuple[FloatArray, ...] = ()

    def __post_init__(self) -> None:
        require(self.rigid.ndim == 2, f"rigid shifts must be (T, ndim), got {self.rigid.shape}")
        if self.field is not None:
            expected = (len(self.rigid), *(len(g) for g in self.grid), self.rigid.shape[1])
            require(self.field.shape == expected, f"shift field must be {expected}, got {self.field.shape}")

    @property
    def n_frames(self) -> int:
        """Frames covered."""
        return len(self.rigid)
