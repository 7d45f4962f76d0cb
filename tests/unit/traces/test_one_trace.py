"""The penalty that the noise sets, within its bounds; traces that say nothing."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from caiman_pipeline.traces.one_trace import Problem, Samples, _largest_gain, _within

NOTHING = np.zeros(3)


@pytest.mark.parametrize(
    ("sparsity", "expected"), [(0.1, 0.5), (0.5, None), (1.0, None), (2.0, None), (7.0, 2.0), (-1.0, 0.5)]
)
def test_a_penalty_out_of_bounds_becomes_the_nearest_bound(sparsity, expected):
    problem = SimpleNamespace(penalty_limits=(0.5, 2.0))
    assert _within(problem, Samples(NOTHING, NOTHING, 0.0, 0.0, target=4.0), sparsity) == expected
    assert _within(problem, Samples(NOTHING, NOTHING, 0.0, 0.0, target=-1.0), sparsity) is None, "it was given"


@pytest.mark.parametrize("ar", [(0.0, 0.0), (0.8, 0.0), (1.5, -0.55)])
def test_the_largest_gain_is_that_of_the_best_single_event(ar):
    residual = np.random.default_rng(3).normal(size=40)
    response = [1.0, ar[0]]
    for _ in range(38):
        response.append(ar[0] * response[-1] + ar[1] * response[-2])
    gains = [residual[t:] @ np.array(response)[: 40 - t] for t in range(40)]
    assert _largest_gain(residual, *ar) == pytest.approx(max(gains))


@pytest.mark.parametrize(("ar", "decay"), [((), 0.0), ((0.9,), 0.9), ((1.2, -0.27), 0.9)])
def test_the_slow_decay_of_each_order(ar, decay):
    problem = Problem(ar, 1.0, "l1", 0.0, (0.0, 1.0), 1.0, "free", 0.0, -1.0, None)
    assert problem.decay == pytest.approx(decay)
