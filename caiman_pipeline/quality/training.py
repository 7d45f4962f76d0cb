"""Train, calibrate and judge the network that tells somata by their footprints. Needs TensorFlow."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from caiman_pipeline import __version__
from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.quality.classifier import Network, classify
from caiman_pipeline.quality.crops import SIDE_PX
from caiman_pipeline.results.atomic import whole_file, write_text


@dataclass(frozen=True)
class TrainingSettings:
    """How the network is trained: filters per convolution, hidden units, passes over the data, step, batch, seed."""

    filters: tuple[int, ...] = (16, 32, 48)
    hidden: int = 32
    epochs: int = 40
    learning_rate: float = 2e-3
    batch: int = 128
    seed: int = 0


@dataclass(frozen=True)
class Labelled:
    """Crops (N, 50, 50), whether each is a soma, bool (N,), and the recording that each is from, int (N,)."""

    crops: FloatArray
    is_soma: BoolArray
    recording: IntArray


def train(examples: Labelled, settings: TrainingSettings) -> Network:
    """Train on four fifths of the recordings, calibrate on the others.

    Parameters
    ----------
    examples : Labelled
        Crops with labels, of several recordings.
    settings : TrainingSettings
        How to train.

    Returns
    -------
    Network
        Trained and calibrated.

    Raises
    ------
    PipelineError
        If TensorFlow is missing, or one of the two kinds is.

    References
    ----------
    Platt 1999, Probabilistic outputs for support vector machines (the calibration)
    """
    held = examples.recording % 5 == 4
    for part in (held, ~held):
        if len(set(examples.is_soma[part].tolist())) < 2:
            raise PipelineError("training needs somata and others in several recordings. Simulate more of them.")
    weights = _fit(examples.crops[~held], examples.is_soma[~held], settings)
    plain = Network(*weights, 1.0, 0.0)
    scale, shift = calibrate(_logit(classify(plain, examples.crops[held])), examples.is_soma[held])
    return Network(*weights, scale, shift)


def _keras() -> Any:
    try:
        import keras
    except ImportError as error:
        raise PipelineError("training needs TensorFlow: `pip install '.[classifier]'` in the checkout.") from error
    return keras


def build_model(settings: TrainingSettings) -> Any:
    """Return the Keras model: convolutions with pooling, mean and maximum over space, a hidden layer, a logit.

    Parameters
    ----------
    settings : TrainingSettings
        Filters, hidden units and seed.

    Returns
    -------
    keras.Model
        From (N, 50, 50, 1) to a logit (N, 1), not trained.
    """
    keras = _keras()
    keras.utils.set_random_seed(settings.seed)
    layers = keras.layers
    image = keras.Input((SIDE_PX, SIDE_PX, 1))
    x = image
    for filters in settings.filters:
        x = layers.MaxPooling2D()(layers.Conv2D(filters, 3, padding="same", activation="relu")(x))
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    x = layers.Dense(settings.hidden, activation="relu")(layers.Dropout(0.2)(x))
    return keras.Model(image, layers.Dense(1)(x))


def _fit(crops: FloatArray, is_soma: IntArray, settings: TrainingSettings) -> tuple[Any, Any, Any]:
    keras = _keras()
    model = build_model(settings)
    model.compile(
        optimizer=keras.optimizers.Adam(settings.learning_rate), loss=keras.losses.BinaryCrossentropy(from_logits=True)
    )
    rng = np.random.default_rng(settings.seed)
    share = is_soma.mean()
    weights = np.where(is_soma, 0.5 / share, 0.5 / (1 - share))
    for epoch in range(settings.epochs):
        order = rng.permutation(len(crops))
        images = augment(crops[order], rng)[..., None]
        model.optimizer.learning_rate = settings.learning_rate * 0.5 * (1 + np.cos(np.pi * epoch / settings.epochs))
        model.fit(
            images,
            is_soma[order].astype(np.float32),
            sample_weight=weights[order],
            batch_size=settings.batch,
            epochs=1,
            verbose=0,
            shuffle=False,
        )
    return weights_of(model)


def weights_of(model: Any) -> tuple[Any, Any, Any]:
    """Return the convolutions', hidden layer's and output's (kernel, bias) of a Keras model built here.

    Parameters
    ----------
    model : keras.Model
        What ``build_model`` returns.

    Returns
    -------
    tuple
        Pairs of the convolutions, the pair of the hidden layer and that of the output.
    """
    pairs = [tuple(np.array(w) for w in layer.get_weights()) for layer in model.layers if layer.get_weights()]
    return tuple(pairs[:-2]), pairs[-2], pairs[-1]


def augment(crops: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Turn and mirror each crop at random, a quarter turn at a time.

    Parameters
    ----------
    crops : float32 (N, 50, 50)
        Footprints.
    rng : numpy Generator
        Where chance comes from.

    Returns
    -------
    float32 (N, 50, 50)
        As many, turned.
    """
    out = np.empty_like(crops)
    turns, mirrored = rng.integers(0, 4, len(crops)), rng.random(len(crops)) < 0.5
    for i, crop in enumerate(crops):
        turned = np.rot90(crop, turns[i])
        out[i] = turned[::-1] if mirrored[i] else turned
    return out


def _logit(probability: FloatArray) -> FloatArray:
    p = np.clip(probability.astype(np.float64), 1e-9, 1 - 1e-9)
    return np.log(p / (1 - p))


def calibrate(logits: FloatArray, is_soma: BoolArray) -> tuple[float, float]:
    """Return scale and shift of logits that make the scores probabilities (Platt scaling).

    Parameters
    ----------
    logits : float (N,)
        What the network says, without unit.
    is_soma : bool (N,)
        What is true.

    Returns
    -------
    scale : float
        Factor on the logits.
    shift : float
        What is added.
    """

    def loss(v: FloatArray) -> float:
        z = v[0] * logits + v[1]
        return float(np.mean(np.logaddexp(0, z) - is_soma * z))

    scale, shift = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead").x
    return float(scale), float(shift)


def roc_auc(scores: FloatArray, is_soma: BoolArray) -> float:
    """Return the area under the ROC curve: the chance that a soma scores above another component.

    Parameters
    ----------
    scores : float (N,)
        Any unit; ties count half.
    is_soma : bool (N,)
        What is true; both kinds must be there.

    Returns
    -------
    float
        Area, 0.5 by chance and 1 without error.

    References
    ----------
    Hanley & McNeil 1982, The meaning and use of the area under a ROC curve. doi:10.1148/radiology.143.1.7063747

    Examples
    --------
    >>> import numpy as np
    >>> roc_auc(np.array([0.9, 0.4, 0.6, 0.1]), np.array([True, True, False, False]))
    0.75
    """
    from scipy.stats import rankdata

    ranks, positives = rankdata(scores), int(is_soma.sum())
    negatives = len(scores) - positives
    return float((ranks[is_soma].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def judge(network: Network, examples: Labelled) -> dict[str, Any]:
    """Return the figures of a network on examples: ROC, its area, and how often scores come true.

    ``lowest_keeping_99`` is the score, rounded down, that 99% of the somata have at least.

    Parameters
    ----------
    network : Network
        What is judged.
    examples : Labelled
        Crops with labels, of recordings that it was not trained on.

    Returns
    -------
    dict
        Figures by name, to be written as JSON.
    """
    scores = classify(network, examples.crops)
    edges = np.linspace(0, 1, 11)
    which = np.clip(np.digitize(scores, edges) - 1, 0, 9)
    reliability = [
        {
            "score": float(scores[which == b].mean()),
            "share_somata": float(examples.is_soma[which == b].mean()),
            "count": int((which == b).sum()),
        }
        for b in range(10)
        if (which == b).any()
    ]
    thresholds = np.linspace(0.05, 0.95, 19)
    curve = [
        {
            "threshold": round(float(t), 2),
            "true_positive": float((scores[examples.is_soma] >= t).mean()),
            "false_positive": float((scores[~examples.is_soma] >= t).mean()),
        }
        for t in thresholds
    ]
    return {
        "examples": len(scores),
        "somata": int(examples.is_soma.sum()),
        "auc": roc_auc(scores, examples.is_soma),
        "roc": curve,
        "reliability": reliability,
        "lowest_keeping_99": float(np.floor(100 * np.quantile(scores[examples.is_soma], 0.01)) / 100),
    }


def save_network(path: Path, network: Network, *, settings: TrainingSettings, made_from: dict, figures: dict) -> None:
    """Write weights as ``.npz`` and, beside them, a description with checksum, settings and figures.

    Parameters
    ----------
    path : path
        An ``.npz`` file; the description goes to ``.json`` beside it.
    network : Network
        Its weights.
    settings : TrainingSettings
        How it was trained.
    made_from : dict
        What it was trained on.
    figures : dict
        What ``judge`` returns.
    """
    arrays: dict[str, Any] = {"convolutions": len(network.convolutions), "scale": network.scale, "shift": network.shift}
    for i, (kernel, bias) in enumerate(network.convolutions):
        arrays[f"kernel_{i}"], arrays[f"bias_{i}"] = kernel, bias
    arrays["dense_kernel"], arrays["dense_bias"] = network.dense
    arrays["output_kernel"], arrays["output_bias"] = network.output
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    with whole_file(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
    described = {
        "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
        "version": __version__,
        "training": asdict(settings),
        "made_from": made_from,
        "figures": figures,
    }
    write_text(path.with_suffix(".json"), json.dumps(described, indent=1))
