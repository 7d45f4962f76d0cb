"""The classifier: crops of one size, scores as Keras gives them, calibration, labels, models that are not whole."""

import json
from pathlib import Path

import numpy as np
import pytest
from planted import disc
from scipy.sparse import csc_matrix

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.quality.classifier import DEFAULT_MODEL, Network, classify, load_network
from caiman_pipeline.quality.crops import SIDE_PX, crop_footprints
from caiman_pipeline.quality.training import (
    Labelled,
    TrainingSettings,
    augment,
    build_model,
    calibrate,
    judge,
    roc_auc,
    save_network,
    train,
    weights_of,
)
from caiman_pipeline.quality.training_set import draw_recipe, label_components

DIMS = (37, 53)


def footprints(*shapes: np.ndarray) -> csc_matrix:
    return csc_matrix(np.stack([s.ravel() for s in shapes], axis=1).astype(np.float32))


def random_network(seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    kernels = tuple(
        (rng.normal(size=(3, 3, a, b)).astype(np.float32) / 3, rng.normal(size=b).astype(np.float32))
        for a, b in [(1, 4), (4, 6)]
    )
    dense = (rng.normal(size=(12, 5)).astype(np.float32), rng.normal(size=5).astype(np.float32))
    return Network(kernels, dense, (rng.normal(size=(5, 1)).astype(np.float32), np.zeros(1, np.float32)), 1.5, -0.2)


def test_a_cell_fills_the_same_part_of_its_crop_whatever_the_pixel_size() -> None:
    small, large = (np.hypot(*(np.indices(DIMS) - 18)) <= r for r in (4, 8))
    areas = [
        crop_footprints(footprints(shape), DIMS, cell_px=(d, d))[0].sum() for shape, d in ((small, 8.0), (large, 16.0))
    ]
    assert areas[0] == pytest.approx(areas[1], rel=0.1)
    assert areas[0] == pytest.approx(np.pi / 4 * 20**2, rel=0.15)


def test_crops_are_centred_keep_their_sides_and_peak_at_one() -> None:
    shape = disc(DIMS, (20, 30)).reshape(DIMS)
    shape[:, 30:] *= 0.2
    crop = crop_footprints(footprints(shape), DIMS, cell_px=(8.0, 8.0))[0]
    rows, columns = np.indices(crop.shape)
    assert crop.max() == pytest.approx(1.0)
    assert (rows * crop).sum() / crop.sum() == pytest.approx((SIDE_PX - 1) / 2, abs=0.6)
    assert (columns * crop).sum() / crop.sum() == pytest.approx((SIDE_PX - 1) / 2, abs=0.6)
    left, right = np.flatnonzero(crop.max(0) > 0.05)[[0, -1]]
    assert crop[:, left : left + 8].sum() > 2 * crop[:, right - 7 : right + 1].sum()


def test_cells_at_the_border_are_filled_up_with_zeros() -> None:
    crop = crop_footprints(footprints(disc(DIMS, (0, 0))), DIMS, cell_px=(8.0, 8.0))[0]
    assert crop.shape == (SIDE_PX, SIDE_PX)
    assert np.isfinite(crop).all()
    assert crop[:10].sum() == 0


def test_an_empty_footprint_has_an_empty_crop_and_a_score() -> None:
    crops = crop_footprints(csc_matrix((np.prod(DIMS), 2), dtype=np.float32), DIMS, cell_px=(8.0, 8.0))
    assert (crops == 0).all()
    assert np.isfinite(classify(random_network(), crops)).all()


def test_no_crops_give_no_scores() -> None:
    assert classify(random_network(), np.zeros((0, SIDE_PX, SIDE_PX), np.float32)).shape == (0,)


def test_scores_are_those_of_keras() -> None:
    pytest.importorskip("keras", reason="TensorFlow is not installed")
    model = build_model(TrainingSettings(filters=(4, 6), hidden=5))
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(scale=0.4, size=w.shape) for w in model.get_weights()])
    crops = rng.random((40, SIDE_PX, SIDE_PX)).astype(np.float32)
    expected = 1 / (1 + np.exp(-model.predict(crops[..., None], verbose=0).ravel()))
    np.testing.assert_allclose(classify(Network(*weights_of(model), 1.0, 0.0), crops), expected, atol=1e-5)


def examples(count: int = 400, seed: int = 0) -> Labelled:
    rng = np.random.default_rng(seed)
    y, x = np.indices((SIDE_PX, SIDE_PX)) - (SIDE_PX - 1) / 2
    is_soma = rng.random(count) < 0.5
    crops = np.zeros((count, SIDE_PX, SIDE_PX), np.float32)
    for i in range(count):
        tilt, size = rng.uniform(0, np.pi), rng.uniform(0.8, 1.2)
        along, across = x * np.cos(tilt) + y * np.sin(tilt), y * np.cos(tilt) - x * np.sin(tilt)
        wide = 9 if is_soma[i] else 2
        crops[i] = ((along / 11) ** 2 + (across / wide) ** 2 < size) * rng.uniform(0.5, 1, x.shape)
    return Labelled(crops, is_soma, np.arange(count) % 10)


def test_training_tells_round_from_thin_and_is_repeatable(tmp_path: Path) -> None:
    pytest.importorskip("keras", reason="TensorFlow is not installed")
    settings = TrainingSettings(filters=(6, 8), hidden=8, epochs=12)
    network = train(examples(), settings)
    figures = judge(network, examples(seed=1))
    assert figures["auc"] > 0.9
    save_network(tmp_path / "m.npz", network, settings=settings, made_from={}, figures=figures)
    crops = examples(30, seed=2).crops
    np.testing.assert_allclose(classify(load_network(tmp_path / "m.npz"), crops), classify(network, crops), atol=1e-6)
    np.testing.assert_allclose(classify(train(examples(), settings), crops), classify(network, crops), atol=1e-3)


def test_the_figures_name_the_score_that_nearly_all_somata_have() -> None:
    given = examples(200, seed=3)
    network = load_network()
    scores = classify(network, given.crops)[given.is_soma]
    figures = judge(network, given)
    assert (scores >= figures["lowest_keeping_99"]).mean() >= 0.99
    assert (scores >= figures["lowest_keeping_99"] + 0.011).mean() <= 0.995
    assert figures["somata"] == len(scores)


def test_training_on_one_kind_only_is_refused() -> None:
    only = examples()
    with pytest.raises(PipelineError, match="several recordings"):
        train(Labelled(only.crops, np.ones(len(only.crops), bool), only.recording), TrainingSettings())


def test_the_model_that_ships_scores_a_soma_above_a_thin_piece() -> None:
    rows, columns = np.indices((64, 64))
    round_one = np.exp(-(((rows - 30) / 5.0) ** 4) - ((columns - 30) / 5.0) ** 4)
    thin = np.exp(-(((rows - 30) / 1.2) ** 2) - ((columns - 30) / 12.0) ** 2)
    for shape in (round_one, thin):
        shape[shape < 0.05] = 0
    scores = classify(load_network(), crop_footprints(footprints(round_one, thin), (64, 64), cell_px=(11.0, 11.0)))
    assert scores[0] > 0.9
    assert scores[1] < 0.1


def test_the_model_that_ships_is_small_and_says_what_it_is() -> None:
    described = json.loads(DEFAULT_MODEL.with_suffix(".json").read_text(encoding="utf-8"))
    assert DEFAULT_MODEL.stat().st_size < 3e6
    assert described["figures"]["auc"] >= 0.97
    assert {"training", "made_from", "version", "sha256"} <= set(described)


def test_a_model_that_is_missing_or_changed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="cannot be read"):
        load_network(tmp_path / "none.npz")
    path = tmp_path / "m.npz"
    save_network(path, random_network(), settings=TrainingSettings(), made_from={}, figures={})
    described = json.loads(path.with_suffix(".json").read_text())
    described["sha256"] = "0" * 64
    path.with_suffix(".json").write_text(json.dumps(described))
    with pytest.raises(PipelineError, match="checksum"):
        load_network(path)


def test_calibrated_scores_come_true() -> None:
    rng = np.random.default_rng(0)
    true_logits = rng.normal(scale=2, size=20000)
    is_soma = rng.random(20000) < 1 / (1 + np.exp(-true_logits))
    scale, shift = calibrate(3 * true_logits - 1, is_soma)
    assert scale == pytest.approx(1 / 3, rel=0.05)
    assert shift == pytest.approx(1 / 3, abs=0.05)


def test_the_area_under_the_curve_counts_ordered_pairs() -> None:
    scores, is_soma = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    assert roc_auc(scores, is_soma) == pytest.approx(0.75)


def test_turning_and_mirroring_keep_what_is_there() -> None:
    crops = examples(20).crops
    turned = augment(crops, np.random.default_rng(0))
    np.testing.assert_allclose(turned.sum((1, 2)), crops.sum((1, 2)), rtol=1e-5)
    assert (turned != crops).any()


def test_labels_follow_the_overlap_with_true_somata() -> None:
    soma, dendrite = disc(DIMS, (12, 15)), disc(DIMS, (28, 40))
    half = soma.reshape(DIMS).copy()
    half[:12] = 0
    found = footprints(soma, half, disc(DIMS, (28, 40)), disc(DIMS, (30, 10)))
    labels = label_components(found, footprints(soma, dendrite), np.array([False, True]), DIMS)
    assert labels[0] == 1
    assert labels[1] != 1
    assert list(labels[2:]) == [0, 0]


def test_recipes_are_drawn_from_their_seed() -> None:
    first, again, other = (draw_recipe(3, np.random.default_rng(s), []) for s in (1, 1, 2))
    assert first == again
    assert first.settings != other.settings


def test_recipes_hold_easy_and_difficult_recordings() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_recipe(i, rng, []).settings for i in range(60)]
    dim = [s for s in drawn if s.photons < 7 and s.rigid_px > 5]
    soft = [s for s in drawn if s.soft_range > 0]
    hard = [s for s in drawn if s.saturated > 0 and not s.soft_range]
    easy = [s for s in drawn if not s.saturated and s.photons > 10]
    assert min(map(len, (dim, soft, hard, easy))) >= 3
    assert all(s.saturated > 0 for s in soft)
