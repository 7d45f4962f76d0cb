"""From brightness to pixel values: photons, gain, electronics and the detector's ceiling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.simulation.fields import stream
from caiman_pipeline.simulation.settings import SimulationSettings

# The largest value of a 16-bit file.
TOP = 65535.0


@dataclass(frozen=True)
class Detector:
    """A photomultiplier and its electronics; ``ceiling`` is the largest pixel value that it gives."""

    settings: SimulationSettings
    ceiling: float = TOP

    def expose(self, brightness: FloatArray, frame: int) -> FloatArray:
        """Return the pixel values of one frame before ceiling and rounding.

        Parameters
        ----------
        brightness : float32 (D, H, W)
            Light, 1 for a typical cell at rest.
        frame : int
            Number of the frame, which decides its noise.

        Returns
        -------
        float32 (D, H, W)
            Pixel values, counts.
        """
        s, rng = self.settings, stream(self.settings, "detector", frame)
        photons = rng.poisson(brightness * np.float32(s.photons)).astype(np.float32)
        deviation = np.sqrt((s.gain * s.gain_spread) ** 2 * photons + np.float32(s.read_noise**2))
        signal = s.gain * photons + deviation * rng.standard_normal(brightness.shape, np.float32)
        if s.smear:
            before = np.concatenate([signal[..., :1], signal[..., :-1]], axis=-1)
            signal = (1 - s.smear) * signal + s.smear * before
        return signal + np.float32(s.offset)

    def digitise(self, signal: FloatArray) -> IntArray:
        """Bend towards the ceiling, where the detector is soft, and round to whole pixel values below it.

        Parameters
        ----------
        signal : float32 (...)
            Pixel values, counts.

        Returns
        -------
        uint16 (...)
            Pixel values, counts, 0 to the ceiling.

        Examples
        --------
        >>> import numpy as np
        >>> Detector(SimulationSettings(), ceiling=100.0).digitise(np.array([-3.0, 12.4, 250.0], np.float32)).tolist()
        [0, 12, 100]
        """
        span = np.float32(self.settings.soft_range * self.ceiling)
        if span:
            over = np.maximum(signal - (np.float32(self.ceiling) - span), 0)
            signal = signal - over + span * np.tanh(over / span)
        return np.rint(np.clip(signal, 0, self.ceiling)).astype(np.uint16)
