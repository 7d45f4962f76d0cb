"""Frame rate and decay time of traces: from seconds to frames."""

from __future__ import annotations

from dataclasses import dataclass

from caiman_pipeline.model.errors import PipelineError


@dataclass(frozen=True)
class Timing:
    """Frame rate, Hz, and the indicator's decay time, s."""

    frame_rate_hz: float
    decay_time_s: float

    def frames(self, seconds: float) -> float:
        """Convert seconds to frames.

        Parameters
        ----------
        seconds : float
            A time, s.

        Returns
        -------
        float
            Frames, not rounded.
        """
        return seconds * self.frame_rate_hz


def timing_from(frame_rate_hz: float | None, decay_time_s: float | None, *, frames_per_bin: int = 1) -> Timing:
    """Return the timing of traces that average ``frames_per_bin`` frames.

    Parameters
    ----------
    frame_rate_hz : float or None
        Frames (or volumes) per second.
    decay_time_s : float or None
        The indicator's 1/e decay, s.
    frames_per_bin : int
        Frames that a sample of the traces is the mean of.

    Returns
    -------
    Timing
        Rate of the traces' samples, Hz, and the decay, s.

    Raises
    ------
    PipelineError
        If the frame rate or the decay time is not known.

    Examples
    --------
    >>> timing_from(30.0, 0.7, frames_per_bin=3)
    Timing(frame_rate_hz=10.0, decay_time_s=0.7)
    """
    if not frame_rate_hz or not decay_time_s or min(frame_rate_hz, decay_time_s) <= 0:
        raise PipelineError(
            "deconvolution needs `frame_rate_hz` and `decay_time_s`, both above 0: "
            f"found {frame_rate_hz} Hz and {decay_time_s} s."
        )
    return Timing(frame_rate_hz / frames_per_bin, decay_time_s)
