"""The package's solvers against a convex solver."""

from __future__ import annotations

import numpy as np
import pytest
from spike_trains import known, method, simulate

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.traces import solvers
from caiman_pipeline.traces.foopsi import deconvolve


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("baseline", ["free", "nonnegative", "fixed"])
def test_same_solution_as_the_convex_solver(order, baseline):
    pytest.importorskip("cvxpy")
    from caiman_pipeline.traces.convex import deconvolve_convex

    traces, _, _ = simulate(order or 1, n_frames=400, level=0.2)
    traces[1, 100:130] = np.nan
    own = deconvolve(traces, method(order, baseline=baseline), **known(order), baseline=np.full(3, 0.2))
    other = deconvolve_convex(traces, **known(order), baseline=baseline, levels=np.full(3, 0.2), solver="CLARABEL")
    np.testing.assert_array_equal(np.isnan(own.denoised), np.isnan(other.denoised))
    np.testing.assert_allclose(own.deconvolved, other.deconvolved, atol=2e-3)
    np.testing.assert_allclose(own.baseline, other.baseline, atol=1e-3)
    np.testing.assert_allclose(own.sparsity, other.sparsity, rtol=1e-2)
    assert other.flags == own.flags


def test_traces_with_nothing_in_them_are_flagged_by_the_convex_solver_too():
    pytest.importorskip("cvxpy")
    from caiman_pipeline.traces.convex import deconvolve_convex

    traces = np.array([[2.0] * 50, [np.nan] * 50], np.float32)
    result = deconvolve_convex(
        traces, noise=np.ones(2), ar=np.full((2, 1), 0.9), baseline="free", levels=np.zeros(2), solver="CLARABEL"
    )
    assert result.flags == ("constant", "no_data")
    assert result.baseline[0] == 2.0


def test_solver_that_is_not_installed_is_named():
    pytest.importorskip("cvxpy")
    from caiman_pipeline.traces.convex import deconvolve_convex

    traces, _, _ = simulate(1, n_traces=1, n_frames=60)
    with pytest.raises(PipelineError, match=r"traces\.solver: NONE"):
        deconvolve_convex(traces, **known(1, 1), baseline="free", levels=np.zeros(1), solver="NONE")


def test_missing_cvxpy_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(solvers, "find_spec", lambda name: None)
    with pytest.raises(PipelineError, match=r"needs cvxpy.*pip install"):
        solvers.require_cvxpy()
