"""The offset between odd and even rows of a scan, to the last that is looked for."""

from __future__ import annotations

import numpy as np
import pytest

from caiman_pipeline.motion.scan import find_scan_offset, shift_odd_rows

RNG = np.random.default_rng(4)


def rows_alike(n_rows, columns=80):
    """Frames whose rows differ little from their neighbours."""
    scene = RNG.normal(size=(1, n_rows // 6 + 2, columns)).repeat(6, axis=1)[:, :n_rows]
    return (scene + 0.05 * RNG.normal(size=(4, n_rows, columns))).astype(np.float32)


def with_offset(frames, offset):
    moved = frames.copy()
    moved[:, 1::2] = np.roll(moved[:, 1::2], offset, axis=-1)
    return moved


@pytest.mark.parametrize("offset", [-6, -5, -2, 0, 3, 5, 6])
def test_every_offset_within_reach_is_found(offset):
    found = find_scan_offset(with_offset(rows_alike(30), offset), max_offset_px=6)
    assert found == pytest.approx(offset, abs=0.25)


def test_no_offset_beyond_reach_is_given():
    for offset in (9, -11):
        assert abs(find_scan_offset(with_offset(rows_alike(30), offset), max_offset_px=4)) <= 4
    assert abs(find_scan_offset(RNG.normal(size=(3, 20, 16)).astype(np.float32), max_offset_px=99)) <= 4


@pytest.mark.parametrize("n_rows", [2, 3, 31])
def test_few_and_odd_numbers_of_rows_tell_it_too(n_rows):
    frames = np.repeat(rows_alike(6)[:, :1], n_rows, axis=1)
    assert find_scan_offset(with_offset(frames, 3), max_offset_px=6) == pytest.approx(3, abs=0.25)


@pytest.mark.parametrize("offset", [2.0, -3.0])
def test_only_odd_rows_move(offset):
    frames = rows_alike(9)
    moved = shift_odd_rows(frames, offset)
    np.testing.assert_array_equal(moved[:, 0::2], frames[:, 0::2])
    columns = np.clip(np.arange(80) - int(offset), 0, 79)
    np.testing.assert_allclose(moved[:, 1::2], frames[:, 1::2][:, :, columns], atol=1e-5)
