"""Motion that is left after correction, measured on averages of frames."""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.motion.estimate import Registration, window_shifts
from caiman_pipeline.motion.filters import band_pass


def residual_motion(images: FloatArray, registration: Registration) -> FloatArray:
    """Return the root mean square displacement between images and the template.

    Parameters
    ----------
    images : float32 (N, *dims)
        Means of corrected frames, in raw pixel values, finite.
    registration : Registration
        What to register to.

    Returns
    -------
    float32 (1, N)
        Displacement, pixels.
    """
    seen = band_pass(images, registration.plan.high_pass)
    windows, _, _ = window_shifts(seen, registration)
    told = np.trace(registration.wide.information, axis1=1, axis2=2)
    weight = np.where(registration.members >= 0, told[registration.members], 0.0).sum(1)
    square = (windows.astype(np.float64) ** 2).sum(-1) @ weight / max(weight.sum(), 1e-30)
    return np.sqrt(square).astype(np.float32)[None]
