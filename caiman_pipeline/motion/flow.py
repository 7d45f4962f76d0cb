"""Motion that is left after correction, measured on averages of frames."""

from __future__ import annotations

import numpy as np

from caiman_pipeline.motion.estimate import Registration
from caiman_pipeline.motion.filters import band_pass
from caiman_pipeline.motion.peaks import patch_peaks
from caiman_pipeline.motion.rigid import coarse_shifts
from caiman_pipeline.motion.surfaces import cell_agreement
from caiman_pipeline.types import FloatArray


def residual_motion(images: FloatArray, registration: Registration) -> FloatArray:
    """Return the root mean square displacement between images (N, *dims) and the template, float32 (1, N) in pixels.

    It is measured in windows of the patch size, each counted by what it tells about displacement.
    """
    seen = band_pass(images, registration.plan.high_pass, threads=registration.threads)
    whole = np.rint(coarse_shifts(seen, registration.coarse, threads=registration.threads)[0]).astype(np.int64)
    agreement = cell_agreement(seen, whole, registration.cells)
    local = patch_peaks(agreement, registration.cells, registration.members, np.ones(len(images), np.float32))
    local[..., 3 - whole.shape[1] :] += whole[:, None]
    told = np.trace(registration.cells.information, axis1=1, axis2=2)
    weight = np.where(registration.members >= 0, told[registration.members], 0.0).sum(1)
    square = (local.astype(np.float64) ** 2).sum(-1) @ weight / max(weight.sum(), 1e-30)
    return np.sqrt(square).astype(np.float32)[None]
