"""The vertex of a parabola through three samples."""

from __future__ import annotations

import numpy as np
import pytest

from caiman_pipeline.numerics.peaks import parabola_vertex


@pytest.mark.parametrize("top", [-0.5, -0.31, 0.0, 0.2, 0.5])
def test_the_vertex_is_found_exactly(top: float) -> None:
    assert parabola_vertex(*(7 - 3 * (x - top) ** 2 for x in (-1.0, 0.0, 1.0))) == pytest.approx(top, abs=1e-12)


def test_it_stays_within_half_a_step() -> None:
    assert parabola_vertex(0.0, 1.0, 1.9) == 0.5
    assert parabola_vertex(1.9, 1.0, 0.0) == -0.5


@pytest.mark.parametrize("samples", [(1.0, 1.0, 1.0), (2.0, 1.0, 2.0), (0.0, 1.0, 2.0), (np.nan, 1.0, 0.0)])
def test_what_does_not_bend_downwards_has_it_in_the_middle(samples: tuple[float, float, float]) -> None:
    assert parabola_vertex(*samples) == 0.0
