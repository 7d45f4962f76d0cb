"""Settings of tests that draw their inputs: few examples, the same in every run."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

few = settings(
    max_examples=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
