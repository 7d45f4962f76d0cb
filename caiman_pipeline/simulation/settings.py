"""What a simulated recording is made of: every number with its unit, meaning and bounds."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from caiman_pipeline.model.errors import PipelineError

if TYPE_CHECKING:
    from caiman_pipeline.model.movie import Dims

# Pixels of a frame's shorter side, at least.
MIN_SIDE = 16


def setting(default: Any, unit: str, meaning: str, *, low: float = 0.0, high: float = inf) -> Any:
    """Declare a setting: default, unit ("" for none), meaning, and the bounds that it may reach.

    Parameters
    ----------
    default : object
        Its default.
    unit : str
        Its unit, empty for none.
    meaning : str
        What it is.
    low : float
        Lowest value.
    high : float
        Highest value.

    Returns
    -------
    object
        Field of a dataclass.
    """
    return field(default=default, metadata={"unit": unit, "meaning": meaning, "low": low, "high": high})


@dataclass(frozen=True)
class SimulationSettings:
    """Everything that decides a simulated movie; the same settings give the same movie on any number of threads.

    Brightness is relative: a cell's typical resting fluorescence is 1.

    Raises
    ------
    PipelineError
        If a value is out of bounds.
    """

    frames: int = setting(1500, "frames", "length of the movie", low=1)
    dims: Dims = setting((256, 256), "px", "frame size: rows x columns, or planes x rows x columns")  # noqa: RUF009
    n_cells: int = setting(60, "", "somata centred in the field of view, in volumes also between planes")
    n_dendrites: int = setting(0, "", "dendrites centred in the field of view")
    frame_rate_hz: float = setting(30.0, "Hz", "frames (or volumes) per second", low=1e-3)
    decay_time_s: float = setting(0.45, "s", "decay time of a transient (1/e)", low=1e-3)
    rise_time_s: float = setting(0.06, "s", "rise time of a transient, shorter than the decay", low=1e-4)
    spike_rate_hz: float = setting(0.25, "Hz", "median spike rate over cells")
    dff_per_spike: float = setting(0.35, "", "relative rise of a cell's fluorescence with one spike")
    cell_diameter_px: float = setting(11.0, "px", "diameter of a soma in the plane", low=3.0)
    cell_planes: float = setting(3.0, "planes", "diameter of a soma across planes, for volumes", low=0.1)
    axial_planes: float = setting(
        1.0, "planes", "full width at half maximum of the point spread across planes, for volumes: light out of focus"
    )
    spacing: float = setting(0.65, "diameters", "smallest distance between the centres of two somata")
    neuropil: float = setting(0.45, "brightness", "mean brightness of the neuropil")
    vessels: int = setting(5, "", "blood vessels that cross the field of view")
    rigid_px: float = setting(5.0, "px", "largest rigid displacement")
    rigid_planes: float = setting(0.5, "planes", "largest displacement across planes, for volumes")
    nonrigid_px: float = setting(1.5, "px", "largest displacement of a place relative to the whole")
    bleach: float = setting(0.15, "", "share of the fluorescence lost by the end", low=0, high=0.95)
    photons: float = setting(18.0, "photons", "mean photons per pixel and frame at brightness 1", low=1e-3)
    gain: float = setting(40.0, "counts", "pixel value of one photon", low=1e-3)
    gain_spread: float = setting(0.4, "", "deviation of one photon's pixel value, relative to the gain")
    smear: float = setting(
        0.12, "", "share of a pixel's signal that the detector hands to the next in the row", low=0, high=0.5
    )
    offset: float = setting(90.0, "counts", "pixel value without light")
    read_noise: float = setting(18.0, "counts", "standard deviation of the electronics")
    saturated: float = setting(
        0.0, "", "share of pixel values to be cut off at the detector's ceiling", low=0, high=0.5
    )
    soft_range: float = setting(
        0.0, "", "share of the detector's range, below its ceiling, over which it bends towards it", low=0, high=0.95
    )
    seed: int = setting(0, "", "seed of every random draw")

    def __post_init__(self) -> None:
        for one in fields(self):
            value, low, high = getattr(self, one.name), one.metadata["low"], one.metadata["high"]
            if one.name != "dims" and not (isfinite(value) and low <= value <= high):
                raise PipelineError(f"{one.name}: must be between {low:g} and {high:g}, found {value}.")
            if isinstance(one.default, int) and value != int(value):
                raise PipelineError(f"{one.name}: must be a whole number, found {value}.")
        if len(self.dims) not in (2, 3) or min(self.dims[-2:]) < MIN_SIDE or self.dims[0] < 1:
            raise PipelineError(
                f"dims: must be rows x columns or planes x rows x columns, "
                f"at least {MIN_SIDE} px a side, found {self.dims}."
            )
        if self.rise_time_s >= self.decay_time_s:
            raise PipelineError(
                f"rise_time_s: must be shorter than decay_time_s ({self.decay_time_s:g}), found {self.rise_time_s:g}."
            )

    @property
    def ndim(self) -> int:
        """Spatial axes, 2 or 3."""
        return len(self.dims)

    @property
    def cell_shape(self) -> tuple[float, ...]:
        """A soma's diameter along each axis, in pixels (planes along the first of three)."""
        return (self.cell_planes, self.cell_diameter_px, self.cell_diameter_px)[-self.ndim :]
