"""From brightness to pixel values: photons, gain, electronics and the detector's ceiling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.simulation.fields import stream
from caiman_pipeline.simulation.settings import SimulationSettings

TOP = 65535.0


@dataclass(frozen=True)
class Detector:
    """A photomultiplier and its electronics; ``ceiling`` is the largest pixel value that it gives."""

    settings: SimulationSettings
    ceiling: float = TOP

    def expose(self, brightness: FloatArray, frame: int) -> FloatArray:
        """Return the pixel values of one frame before ceiling and rounding, float32 (D, H, W).

        Noise is drawn from the frame's own seed. Photons are Poisson, each with a gain of its own; a part of the signal
        reaches the next pixel of the row, so that the noise of neighbours is alike, as it is in real recordings.
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
        """Bend towards the ceiling, where the detector is soft, and round to whole pixel values below it, uint16."""
        span = np.float32(self.settings.soft_range * self.ceiling)
        if span:
            over = np.maximum(signal - (np.float32(self.ceiling) - span), 0)
            signal = signal - over + span * np.tanh(over / span)
        return np.rint(np.clip(signal, 0, self.ceiling)).astype(np.uint16)
