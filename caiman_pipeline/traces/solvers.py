"""Which solvers are installed: light enough to be asked before anything runs."""

from __future__ import annotations

from importlib.util import find_spec

from caiman_pipeline.model.errors import PipelineError


def require_cvxpy() -> None:
    """Raise a PipelineError if cvxpy is not installed."""
    if find_spec("cvxpy") is None:
        raise PipelineError(
            "`traces.method: convex` needs cvxpy, which is not installed. Run `pip install cvxpy`, "
            "or set `traces.method: oasis`."
        )
