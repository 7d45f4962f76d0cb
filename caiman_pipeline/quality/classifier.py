"""A small convolutional network that tells somata from what else a search finds, by the shape of the footprint.

The network is trained with Keras (see ``training``) and run here with plain array products: it is small, and starting
TensorFlow would take longer than all of its work. A test holds both to the same scores.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.errors import PipelineError

MODELS = Path(__file__).parent / "models"
DEFAULT_MODEL = MODELS / "soma_2p.npz"
# Crops that are looked at together; a matter of memory alone.
BATCH = 32


@dataclass(frozen=True)
class Network:
    """Weights of the network.

    Attributes
    ----------
    convolutions : kernels (3, 3, in, out) and biases (out,), each followed by a rectifier and pooling by two
    dense : kernel (in, out) and bias (out,) of the hidden layer; ``output`` those of the logit
    scale, shift : the logit's calibration
    """

    convolutions: tuple[tuple[FloatArray, FloatArray], ...]
    dense: tuple[FloatArray, FloatArray]
    output: tuple[FloatArray, FloatArray]
    scale: float
    shift: float


def load_network(path: Path | str | None = None) -> Network:
    """Read a network, by default the one that ships, and check it against the checksum beside it.

    Parameters
    ----------
    path : path, optional
        An ``.npz`` file with its description, ``.json``, beside it; by default the network that ships.

    Returns
    -------
    Network
        Its weights.

    Raises
    ------
    PipelineError
        If the model is missing, damaged, or not the one that its description names.
    """
    path = Path(path or DEFAULT_MODEL)
    try:
        raw = path.read_bytes()
        described = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PipelineError(
            f"{path}: the classifier's model cannot be read ({error}). Install the package again, or train one with "
            "`caiman-pipeline train-classifier`."
        ) from error
    if hashlib.sha256(raw).hexdigest() != described.get("sha256"):
        raise PipelineError(f"{path}: the model is not the one its description names (checksum differs).")
    with np.load(path, allow_pickle=False) as weights:
        count = int(weights["convolutions"])
        return Network(
            tuple((weights[f"kernel_{i}"], weights[f"bias_{i}"]) for i in range(count)),
            (weights["dense_kernel"], weights["dense_bias"]),
            (weights["output_kernel"], weights["output_bias"]),
            float(weights["scale"]),
            float(weights["shift"]),
        )


def classify(network: Network, crops: FloatArray) -> FloatArray:
    """Return the probability that each crop (K, 50, 50) is a soma, float32 (K,).

    Parameters
    ----------
    network : Network
        What ``load_network`` returns.
    crops : float32 (K, 50, 50)
        Footprints as ``crop_footprints`` makes them.

    Returns
    -------
    float32 (K,)
        Probability that each crop is a soma.

    References
    ----------
    Giovannucci et al. 2019, 10.7554/eLife.38173 (the idea; the network and its training are our own)
    """
    pieces = [_logits(network, crops[a : a + BATCH, :, :, None]) for a in range(0, len(crops), BATCH)]
    logits = np.concatenate(pieces) if pieces else np.zeros(0)
    return (1 / (1 + np.exp(-(network.scale * logits + network.shift)))).astype(np.float32)


def _logits(network: Network, images: FloatArray) -> FloatArray:
    for kernel, bias in network.convolutions:
        images = _pool(np.maximum(_convolve(images, kernel) + bias, 0))
    features = np.concatenate([images.mean((1, 2)), images.max((1, 2))], axis=1)
    hidden = np.maximum(features @ network.dense[0] + network.dense[1], 0)
    return (hidden @ network.output[0] + network.output[1]).ravel().astype(np.float64)


def _convolve(images: FloatArray, kernel: FloatArray) -> FloatArray:
    """Cross-correlate (N, H, W, in) with (3, 3, in, out), zero outside."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    n, height, width = windows.shape[:3]
    columns = windows.transpose(0, 1, 2, 4, 5, 3).reshape(n * height * width, -1)
    return (columns @ kernel.reshape(-1, kernel.shape[-1])).reshape(n, height, width, -1)


def _pool(images: FloatArray) -> FloatArray:
    """Take the maximum of two by two pixels; an odd last row or column is left out."""
    n, height, width, channels = images.shape
    even = images[:, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(n, height // 2, 2, width // 2, 2, channels).max((2, 4))
