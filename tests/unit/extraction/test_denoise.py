"""The model's traces inside the updates follow the settings of the traces stage that say how calcium moves."""

import json

import numpy as np
import pytest
from spike_trains import simulate

from caiman_pipeline.config.refine import RefineSettings
from caiman_pipeline.config.root import load_config, resolve_stage
from caiman_pipeline.config.traces import TraceSettings
from caiman_pipeline.extraction.denoise import make_denoiser
from caiman_pipeline.results.job_settings import load_other, load_stage
from caiman_pipeline.stages import STAGES
from caiman_pipeline.traces.timing import timing_from

CHANGES = {
    "polarity": -1,
    "order": 1,
    "time_constants": "given",
    "rise_time_s": 0.2,
    "estimate_share": 0.1,
    "autocovariance_s": 0.1,
    "fudge_factor": 0.9,
    "noise_band": (0.1, 0.3),
    "noise_average": "median",
}
BASE = {"recording": {"frame_rate_hz": 30, "decay_time_s": 0.6, "cell_diameter": "11 px"}}


def test_every_key_of_the_model_reaches_the_updates_and_changes_their_traces() -> None:
    assert set(CHANGES) == set(STAGES["refine"].reads["traces"])
    traces, _, _ = simulate(1, n_traces=2, n_frames=900, level=10.0)
    before = None
    for change in ({}, *({name: value} for name, value in CHANGES.items())):
        handed_on = json.dumps(resolve_stage(load_config({**BASE, "traces": change}), "refine"))
        model = load_other("refine", TraceSettings, handed_on).completed()
        denoised = make_denoiser(model, timing_from(30.0, 0.6), kept=np.ones(traces.shape[1], bool), threads=1)(traces)
        before = denoised if before is None else before
        assert np.array_equal(denoised, before) == (not change), change
        assert isinstance(load_stage("refine", RefineSettings, handed_on)[0], RefineSettings)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_model_is_without_the_noise(order: int) -> None:
    traces, _, calcium = simulate(1, n_traces=2, level=10.0)
    denoised = make_denoiser(
        TraceSettings(order=order), timing_from(30.0, 0.6), kept=np.ones(traces.shape[1], bool), threads=1
    )(traces)
    for k in range(2):
        assert np.std(denoised[k] - 10 - calcium[k]) < 0.9 * np.std(traces[k] - 10 - calcium[k])


def test_what_only_says_which_events_count_does_not_run_the_updates_again() -> None:
    plain, other = (
        resolve_stage(load_config({**BASE, "traces": traces}), "refine")
        for traces in ({}, {"penalty": "l0", "s_min": 3.0, "f0_window_s": 20.0, "event_height": 5.0})
    )
    assert plain == other
    assert plain != resolve_stage(load_config({**BASE, "traces": {"order": 1}}), "refine")
