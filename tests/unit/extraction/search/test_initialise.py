"""What ways of searching share: how many components a tile may have, and what counts as evidence."""

from __future__ import annotations

import numpy as np
import pytest

from caiman_pipeline.extraction.search.initialise import Budget, Evidence, with_evidence


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (Budget(7, None), 7),
        (Budget(None, None), None),
        (Budget(None, 0.01), 13),
        (Budget(None, 1e-9), 1),
        (Budget(3, 0.002), 3),
    ],
)
def test_the_budget_of_a_tile(budget: Budget, expected: int | None) -> None:
    assert budget.of(1250) == expected


def traces_of(heights: tuple[float, ...]) -> np.ndarray:
    noise = np.random.default_rng(3).normal(size=(len(heights), 500))
    noise[:, 100:110] += np.array(heights)[:, None]
    return noise.astype(np.float32)


def test_evidence_is_what_exceeds_the_threshold_in_units_of_noise() -> None:
    traces = traces_of((0.0, 8.0, 20.0))
    found = Evidence(4.0, 1.0).of(traces)
    assert found[0] < 1
    np.testing.assert_allclose(found[1:], [10 * 4**2, 10 * 16**2], rtol=0.25)
    np.testing.assert_allclose(Evidence(4.0, 1.0).of(50 * traces - 7), found, rtol=1e-3, atol=1e-3)
    assert Evidence(4.0, 1.0).of(np.full((1, 30), 3.0, np.float32)) == [0]
    assert Evidence(4.0, 1.0).of(traces[:0]).shape == (0,)


def test_components_without_footprint_or_evidence_go_and_the_strongest_come_first() -> None:
    traces = traces_of((8.0, 0.0, 20.0, 30.0))
    footprints = np.ones((6, 4), np.float32) * np.array([1, 2, 3, 0], np.float32)
    kept = with_evidence(footprints, traces, Evidence(4.0, 30.0), limit=9)
    np.testing.assert_array_equal(kept.footprints[0], [3, 1])
    np.testing.assert_array_equal(kept.traces, traces[[2, 0]])
    assert kept.evidence[0] > kept.evidence[1] >= 30
    assert with_evidence(footprints, traces, Evidence(4.0, 30.0), limit=1).footprints.shape == (6, 1)
    least = float(kept.evidence[1])
    assert len(with_evidence(footprints, traces, Evidence(4.0, least), limit=9).traces) == 2, "just enough is enough"
