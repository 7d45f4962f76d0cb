"""How the scene moved."""

from __future__ import annotations

from dataclasses import dataclass

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
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


@dataclass(frozen=True)
class MotionMeasures:
    """What motion correction did and how well, besides the shifts.

    Attributes
    ----------
    method : how frames were corrected: none, rigid or piecewise
    method_scores : float64 (3,), likelihood gained by none, rigid and local correction, of which the method follows
    template : float32 (*dims), the image that frames were registered to
    mean_before, mean_after : float32 (*dims), mean of the good frames, raw and corrected
    valid : bool (*dims), pixels in view in (nearly) every good frame
    outside_fraction : float32 (*dims), share of the good frames in which a pixel came from outside the field of view
    border : int64 (ndim, 2), lines that are not valid before and after along each axis
    correlation_before, correlation_after : float32 (T,), of each frame with the template
    crispness_before, crispness_after : norm of the mean's gradient over valid pixels
    residual_before, residual_after : float32, motion left in stretches of frames, pixels
    at_limit : bool (T,), frames shifted as far as allowed; at_limit_fraction : their share
    bad : bool (T,), frames that are empty or listed
    unlike : bool (T,), damaged frames, unlike the template
    beyond_border : bool (T,), frames shifted far beyond the border
    flagged : bool (T,), bad, unlike or at the limit
    left_out : uint8 (T,), why a frame takes part in nothing that follows, 0 where it does take part
    scan_offset_px : how far odd rows lay to the right of even ones
    """

    method: str
    method_scores: FloatArray
    template: FloatArray
    mean_before: FloatArray
    mean_after: FloatArray
    valid: BoolArray
    outside_fraction: FloatArray
    border: IntArray
    correlation_before: FloatArray
    correlation_after: FloatArray
    crispness_before: float
    crispness_after: float
    residual_before: FloatArray
    residual_after: FloatArray
    at_limit: BoolArray
    at_limit_fraction: float
    bad: BoolArray
    unlike: BoolArray
    beyond_border: BoolArray
    flagged: BoolArray
    left_out: IntArray
    scan_offset_px: float

    def __post_init__(self) -> None:
        n_frames = len(self.left_out)
        each_frame = (
            "correlation_before",
            "correlation_after",
            "at_limit",
            "bad",
            "unlike",
            "beyond_border",
            "flagged",
        )
        for name in each_frame:
            found = getattr(self, name).shape
            require(found == (n_frames,), f"{name} must have a value for each of {n_frames} frames, got {found}")
        for name in ("mean_before", "mean_after", "valid", "outside_fraction"):
            found = getattr(self, name).shape
            require(found == self.template.shape, f"{name} must be {self.template.shape}, got {found}")
