"""The leading part of a matrix is that of its singular value decomposition; noise has no components."""

from __future__ import annotations

import numpy as np
import pytest

from caiman_pipeline.numerics import threads
from caiman_pipeline.numerics.low_rank import leading_part, signal_rank

RNG = np.random.default_rng(9)


@pytest.mark.parametrize("shape", [(60, 23), (17, 40)])
@pytest.mark.parametrize("rank", [1, 4, 99])
def test_the_leading_part_is_that_of_the_decomposition(shape: tuple[int, int], rank: int) -> None:
    matrix = (RNG.normal(size=shape) * np.linspace(1, 3, shape[1])).astype(np.float32)
    part = leading_part(matrix, rank=rank)
    left, values, right = np.linalg.svd(matrix.astype(float), full_matrices=False)
    kept = min(rank, *shape)
    np.testing.assert_allclose(part.values, values[:kept], rtol=1e-4)
    found, expected = part.left * part.values @ part.right, left[:, :kept] * values[:kept] @ right[:kept]
    np.testing.assert_allclose(found, expected, atol=2e-3)
    np.testing.assert_allclose(part.left.T @ part.left, np.eye(kept), atol=1e-3)
    assert part.energy == pytest.approx((matrix.astype(float) ** 2).sum(), rel=1e-5)


def test_no_rank_and_no_values_are_no_failure() -> None:
    nothing = leading_part(np.ones((5, 3), np.float32), rank=0)
    assert (nothing.left.shape, nothing.right.shape, len(nothing.values)) == ((5, 0), (0, 3), 0)
    zeros = leading_part(np.zeros((5, 3), np.float32), rank=2)
    assert np.isfinite(zeros.left).all()
    assert not zeros.values.any()


@pytest.mark.parametrize(("scale", "strength"), [(1.0, 40.0), (0.3, 40.0), (3.0, 120.0)])
def test_components_above_noise_are_counted_whatever_its_level(scale: float, strength: float) -> None:
    """Noise weaker than was thought counts as of unit variance; stronger noise as what it is."""
    p, t = 300, 120
    factors = [np.linalg.qr(RNG.normal(size=(n, 3)))[0] for n in (p, t)]
    signal = factors[0] * np.array([3, 2, 1.5]) * strength @ factors[1].T
    noise = scale * RNG.normal(size=(p, t))
    assert signal_rank(leading_part((signal + noise).astype(np.float32), rank=12), margin=1.05) == 3
    assert signal_rank(leading_part(noise.astype(np.float32), rank=12), margin=1.05) == 0
    assert signal_rank(leading_part((signal + noise).astype(np.float32), rank=2), margin=1.05) == 2


def test_the_edge_is_that_of_marchenko_and_pastur() -> None:
    p, t = 400, 100
    direction = np.outer(np.full(p, p**-0.5), np.full(t, t**-0.5))
    edge = np.sqrt(p) + np.sqrt(t)
    for factor, count in ((0.97, 0), (1.03, 1)):
        part = leading_part((factor * edge * direction).astype(np.float32), rank=3)
        assert signal_rank(part, margin=1.0) == count
        assert signal_rank(part, margin=1.1) == 0


def test_slabs_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = RNG.normal(size=(2500, 6)).astype(np.float32)
    part = leading_part(matrix, rank=6)
    np.testing.assert_allclose(part.values**2, np.linalg.eigvalsh(matrix.T.astype(float) @ matrix)[::-1], rtol=1e-5)
    assert threads.row_slabs(2500, 1024)[-1][1] == 2500
