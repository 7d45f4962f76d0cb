"""The displacement field as a sum of modes whose noise is independent and known, and how much of each to believe.

With ``A`` the information of all squares about the field (in node values) and ``R`` the field's roughness, the
generalised eigenvectors ``R v = r A v``, normalised to ``v'Av = 1``, are fields that are measured with independent
noise of variance one, from the smoothest to the roughest. What exceeds that noise in the recording itself tells how
strong each mode is, and so by how much to shrink it and over how many frames to smooth it: an empirical Wiener filter
in space and time. Where the recording shows no local motion, nothing is left but the rigid one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import eigh, toeplitz

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.motion.nodes import Grid, nodes_to_squares, roughness
from caiman_pipeline.motion.surfaces import TemplateInSquares

# Share of the noise below which a mode's signal is taken for none.
WEAKEST = 1e-3
# Frames: time constants that the course of local motion is compared with, by factors of the square root of two.
TIME_CONSTANTS = np.geomspace(0.5, 128.0, 17)


@dataclass(frozen=True)
class Modes:
    """Modes of displacement, smoothest first.

    Attributes
    ----------
    axes : axes (of three) along which displacement can be measured
    to_nodes : float32 (nodes * axes, modes), field at the nodes
    to_squares : float32 (squares * axes, modes), field at the squares' centres
    information : float32 (squares, axes, axes)
    signal : float64 (modes,), variance over time; infinite for the rigid modes, which come first and are never shrunk
    noise : variance of each mode's noise, near one
    kernel : float32 (modes, 2 * reach + 1), smoothing over frames, shrinkage included
    """

    axes: tuple[int, ...]
    to_nodes: FloatArray
    to_squares: FloatArray
    information: FloatArray
    signal: FloatArray
    noise: float
    kernel: FloatArray

    @property
    def n_rigid(self) -> int:
        """Number of rigid modes."""
        return len(self.axes)

    @property
    def gain(self) -> FloatArray:
        """Shrinkage of each mode within a single frame, float32 (modes,)."""
        ratio = np.ones(len(self.signal))
        finite = np.isfinite(self.signal)
        ratio[finite] = self.signal[finite] / (self.signal[finite] + self.noise)
        return ratio.astype(np.float32)


def make_modes(squares: TemplateInSquares, grid: Grid) -> Modes:
    """Return the modes of a template on a grid, the local ones believed a little until ``learn`` sees a recording.

    Parameters
    ----------
    squares : TemplateInSquares
        The template, with what each square tells about displacement.
    grid : Grid
        Nodes of the field, and squares.

    Returns
    -------
    Modes
        Smoothest first, the rigid ones before all others.
    """
    axes = tuple(a for a, reach in enumerate(squares.lags) if reach > 0)
    count = len(axes)
    information = squares.information[:, axes][:, :, axes]
    to_squares = nodes_to_squares(grid)
    design = np.kron(to_squares, np.eye(count))
    blocks = np.einsum("cn,cab->cnab", to_squares, information)
    total = np.einsum("cm,cnab->manb", to_squares, blocks, optimize=True).reshape(design.shape[1], -1)
    total += np.eye(len(total)) * max(np.trace(total) / len(total) * 1e-5, 1e-12)
    rough, vectors = eigh(np.kron(roughness(grid), np.eye(count)), (total + total.T) / 2)
    signal = np.full(len(rough), np.inf)
    signal[count:] = np.median(rough[count:]) / np.maximum(rough[count:], 1e-30) if len(rough) > count else 0.0
    modes = Modes(
        axes,
        vectors.astype(np.float32),
        (design @ vectors).astype(np.float32),
        information.astype(np.float32),
        signal,
        1.0,
        np.zeros((len(rough), 1), np.float32),
    )
    return replace(modes, kernel=modes.gain[:, None])


def learn(modes: Modes, segments: list[FloatArray], *, reach: int) -> Modes:
    """Return modes with the signal, noise and smoothing that fit a recording.

    Parameters
    ----------
    modes : Modes
        Modes of the template.
    segments : list of float (T, modes)
        Mode values of stretches of neighbouring frames, of unit noise.
    reach : int
        Frames on either side that smoothing may use.

    Returns
    -------
    Modes
        The same modes; without local ones, just as they were.

    Notes
    -----
    The noise is the median variance of the roughest third of modes: local motion is smooth. Signals never rise from one
    mode to the next rougher one.
    """
    rigid = modes.n_rigid
    if modes.to_nodes.shape[1] == rigid:
        return modes
    centred = [s - np.mean(np.concatenate(segments), axis=0) for s in segments]
    variance = np.mean(np.concatenate(centred) ** 2, axis=0)
    tail = variance[rigid + (len(variance) - rigid) * 2 // 3 :]
    noise = float(np.median(tail))
    signal = np.full(len(variance), np.inf)
    signal[rigid:] = np.maximum(decreasing_fit(variance[rigid:] - noise), 0.0)
    kernel = np.zeros((len(variance), 2 * reach + 1), np.float32)
    kernel[:rigid, reach] = 1.0
    strong = signal[rigid:] > 0.3 * noise
    course = _time_course([s[:, rigid:][:, strong] for s in centred], 2 * reach)
    for k in np.flatnonzero(signal > WEAKEST * max(noise, 1e-30)):
        if k >= rigid:
            covariance = toeplitz(signal[k] * course)
            kernel[k] = np.linalg.solve(covariance + noise * np.eye(len(course)), covariance[reach])
    return replace(modes, signal=signal, noise=noise, kernel=kernel)


def prune(modes: Modes) -> Modes:
    """Return modes without those of which nothing is believed.

    Parameters
    ----------
    modes : Modes
        With the signal that a recording has.

    Returns
    -------
    Modes
        The rigid ones, and local ones whose signal is more than a thousandth of the noise.
    """
    keep = ~(modes.signal <= WEAKEST * modes.noise)
    return replace(
        modes,
        to_nodes=modes.to_nodes[:, keep],
        to_squares=modes.to_squares[:, keep],
        signal=modes.signal[keep],
        kernel=modes.kernel[keep],
    )


def _time_course(segments: list[FloatArray], lags: int) -> FloatArray:
    """Return the correlation over time (lags + 1,) of what is not noise: the Matern curve nearest at lags above 0."""
    usable = [s for s in segments if len(s) > 1 and s.shape[1]]
    reach = min([lags, *(len(s) - 1 for s in usable)]) if usable else 0
    measured = np.array(
        [sum(float(np.sum(s[: len(s) - k] * s[k:])) / (len(s) - k) for s in usable) for k in range(1, reach + 1)]
    )
    best, chosen = np.inf, _matern(TIME_CONSTANTS[0], lags)
    for constant in TIME_CONSTANTS if reach else ():
        curve = _matern(constant, lags)
        part = curve[1 : reach + 1]
        error = float(np.sum((measured - part * (part @ measured) / (part @ part)) ** 2))
        if error < best:
            best, chosen = error, curve
    return chosen


def _matern(constant: float, lags: int) -> FloatArray:
    x = np.sqrt(3) * np.arange(lags + 1) / constant
    return (1 + x) * np.exp(-x)


def decreasing_fit(values: FloatArray) -> FloatArray:
    """Return the sequence that never increases and is nearest to ``values`` (pool adjacent violators).

    Parameters
    ----------
    values : float (n,)
        Any unit.

    Returns
    -------
    float64 (n,)
        Nearest in the sum of squares.

    Examples
    --------
    >>> import numpy as np
    >>> decreasing_fit(np.array([3.0, 1.0, 2.0, 0.0])).tolist()
    [3.0, 1.5, 1.5, 0.0]
    """
    levels: list[list[float]] = []
    for value in values:
        levels.append([float(value), 1.0])
        while len(levels) > 1 and levels[-2][0] < levels[-1][0]:
            (a, n), (b, m) = levels[-2], levels.pop()
            levels[-1] = [(a * n + b * m) / (n + m), n + m]
    return np.repeat([level for level, _ in levels], [int(n) for _, n in levels])
