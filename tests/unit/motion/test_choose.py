"""Whether correction helps, judged on pixels that it was not estimated from."""

from __future__ import annotations

import numpy as np
from moving import DIMS, film, make_scene, wander

from caiman_pipeline.config.motion import MotionSettings
from caiman_pipeline.motion.choose import judge
from caiman_pipeline.motion.estimate import prepare_registration
from caiman_pipeline.motion.filters import band_pass
from caiman_pipeline.motion.in_pixels import make_plan
from caiman_pipeline.motion.saved import open_source

SCENE, T = make_scene(), 60
STILL = film(SCENE, lambda t: np.zeros(2), 1).mean(0).astype(np.float32)


def verdict(info, template, **keys):
    settings = MotionSettings(method="rigid", **keys)
    plan = make_plan(settings, dims=DIMS, frame_rate_hz=30.0)
    registration = prepare_registration(template, np.full(DIMS, 1e-3, np.float32), plan, modes=None, threads=1)
    source = open_source(info, plan, settings, scan_offset_px=0.0)
    return judge(source, [(0, T)], registration, wanted="rigid")


def test_frames_are_judged_as_registration_sees_them(record):
    """Neither template nor frames are filtered twice: the score is that of a movie that was filtered beforehand."""
    true = wander(T, size=1.0)
    movie, template = film(SCENE, lambda t: true[t], T).astype(np.float32), STILL
    plain = verdict(record(movie, name="raw"), template, high_pass="2.5 px")
    width = (2.5, 2.5)
    before = verdict(record(band_pass(movie, width), name="filtered"), band_pass(template[None], width)[0])
    np.testing.assert_allclose(plain.scores, before.scores, rtol=1e-3)
    assert plain.kept == before.kept == "rigid"
