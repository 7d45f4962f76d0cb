"""Components with gaps where frames are left out, and without."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy.sparse import csc_matrix

from caiman_pipeline.config.traces import TraceSettings
from caiman_pipeline.extraction.denoise import make_denoiser
from caiman_pipeline.extraction.gaps import KeptRows, with_gaps, without_gaps
from caiman_pipeline.model.background import SummedBackground
from caiman_pipeline.model.components import Components
from caiman_pipeline.numerics.noise import noise_level
from caiman_pipeline.quality.editing import remove_duplicates, uncurated
from caiman_pipeline.quality.sets import merged_component
from caiman_pipeline.results.stored_rows import row_blocks, stored_rows
from caiman_pipeline.traces.timing import timing_from

RNG = np.random.default_rng(7)
KEPT = np.ones(200, bool)
KEPT[[0, 50, 51, 130, 199]] = False
KEPT[80:100] = False


def _components(n_frames, n=3):
    footprints = np.zeros((30, n), np.float32)
    for k in range(n):
        footprints[5 * k : 5 * k + 8, k] = 8**-0.5
    static = np.ones(30, np.float32)
    background = SummedBackground(static, csc_matrix((30, 2), dtype=np.float32), np.ones((2, n_frames), np.float32))
    traces = RNG.normal(5, 1, (n, n_frames)).astype(np.float32)
    return Components(
        (5, 6), np.arange(n), csc_matrix(footprints), traces, 0.1 * traces[::-1].copy(), background, np.ones(30)
    )


def test_gaps_come_and_go_and_nothing_else_changes():
    components = _components(int(KEPT.sum()))
    whole = with_gaps(components, KEPT)
    for name in ("denoised", "residual"):
        np.testing.assert_array_equal(np.isnan(getattr(whole, name)), np.broadcast_to(~KEPT, (3, 200)))
        np.testing.assert_array_equal(getattr(without_gaps(whole, KEPT), name), getattr(components, name))
    assert np.isnan(whole.background.signals[:, ~KEPT]).all()


def test_frames_that_take_part_anew_are_bridged(tmp_path):
    whole, other = with_gaps(_components(int(KEPT.sum())), KEPT), KEPT.copy()
    other[50:52] = True
    found = without_gaps(whole, other).denoised
    first = int(other[:50].sum())
    steps = np.linspace(whole.denoised[:, 49], whole.denoised[:, 52], 4).T[:, 1:3]
    np.testing.assert_allclose(found[:, first : first + 2], steps, rtol=1e-5)
    with h5py.File(tmp_path / "t.h5", "w") as file:
        table = stored_rows(tmp_path / "t.h5", file.create_dataset("denoised", data=whole.denoised))
    rows = KeptRows(table, other)
    assert rows.shape == found.shape
    assert len(rows) == 3
    np.testing.assert_array_equal(np.concatenate([rows[part] for part in row_blocks(rows)]), found)


def test_edits_by_hand_see_the_frames_that_are_there():
    components = with_gaps(_components(int(KEPT.sum()), n=2), KEPT)
    alone = merged_component(without_gaps(components, KEPT), 9)
    merged = merged_component(components, 9)
    np.testing.assert_allclose(merged.footprints.toarray(), alone.footprints.toarray(), rtol=1e-5)
    np.testing.assert_allclose(merged.denoised[:, KEPT], alone.denoised, rtol=1e-5)
    assert np.isnan(merged.denoised[:, ~KEPT]).all()
    same = _components(int(KEPT.sum()), n=2)
    same.denoised[1], same.footprints[:, 1] = same.denoised[0], same.footprints[:, 0]
    kept = remove_duplicates(uncurated(with_gaps(same, KEPT)), min_cosine=0.9, min_correlation=0.9)
    assert kept.present.n_components == 1


def test_calcium_decays_through_a_gap():
    calcium = np.zeros(200)
    for t in range(1, 200):
        calcium[t] = 0.9 * calcium[t - 1] + 10.0 * (t in (30, 46, 120, 160))
    raw = (calcium + RNG.normal(0, 0.5, 200)).astype(np.float32)[None]
    kept = np.ones(200, bool)
    kept[50:58] = False
    settings = TraceSettings(order=1, time_constants="given", linear_range=0, detrend_window_s=0)
    timing = timing_from(10, -0.1 / np.log(0.9))
    found = make_denoiser(settings, timing, kept=kept, threads=1)(raw[:, kept])[0]
    assert found.shape == (192,)
    above = found - found.min()
    assert above[49] > 4
    assert above[50] / above[49] == pytest.approx(0.9**9, rel=0.03)


@pytest.mark.parametrize("average", ["mean", "median", "logmexp"])
@pytest.mark.parametrize("gap", ["scattered", "half", "every other"])
def test_noise_is_that_of_the_frames_that_are_there(average, gap):
    traces = RNG.normal(0, 2, (120, 600)).astype(np.float32)
    missing = {
        "scattered": RNG.permutation(600)[:100],
        "half": np.arange(300),
        "every other": np.arange(0, 600, 2),
    }[gap]
    traces[:, missing] = np.nan
    traces[0, 5:9] = np.nan
    assert noise_level(traces, band=(0.25, 0.5), average=average).mean() == pytest.approx(2, rel=0.05)
