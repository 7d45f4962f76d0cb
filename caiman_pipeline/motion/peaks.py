"""From log-likelihood surfaces to displacements: where their peaks are, and their slope at a given place."""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.motion.surfaces import TemplateInSquares
from caiman_pipeline.numerics.cubic import catmull_rom, catmull_rom_slopes
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.peaks import parabola_vertex
from caiman_pipeline.numerics.threads import run_parallel


@compiled
def _peak(surface: FloatArray, sizes: IntArray, out: FloatArray) -> None:
    """Write the sub-pixel position of the maximum of ``surface`` (flat, ``sizes`` per axis) relative to its centre."""
    top = np.argmax(surface)
    stride = 1
    for axis in range(2, -1, -1):
        at = top // stride % sizes[axis]
        out[axis] = at - sizes[axis] // 2
        if 0 < at < sizes[axis] - 1:
            out[axis] += parabola_vertex(surface[top - stride], surface[top], surface[top + stride])
        stride *= sizes[axis]


@compiled
def _window_peaks(
    begin: int,
    end: int,
    agreement: FloatArray,
    energy: FloatArray,
    gain: FloatArray,
    members: IntArray,
    sizes: IntArray,
    out: FloatArray,
) -> None:
    for t in range(begin, end):
        surface = np.empty(agreement.shape[2], np.float32)
        for window in range(len(members)):
            surface[:] = 0.0
            for square in members[window]:
                if square >= 0:
                    for d in range(len(surface)):
                        surface[d] += agreement[t, square, d] - 0.5 * gain[t] * energy[square, d]
            _peak(surface, sizes, out[t, window])


def window_peaks(agreement: FloatArray, squares: TemplateInSquares, members: IntArray, gain: FloatArray) -> FloatArray:
    """Return the most likely displacement of each window of squares.

    Parameters
    ----------
    agreement : float32 (T, squares, displacements)
        Of ``square_agreement``.
    squares : TemplateInSquares
        What the frames were compared with.
    members : int64 (windows, most)
        Squares of each window, filled up with -1.
    gain : float32 (T,)
        Brightness of each frame relative to the template.

    Returns
    -------
    float32 (T, windows, 3)
        Displacement from the offset at which the agreement was computed, pixels.
    """
    out = np.empty((len(agreement), len(members), 3), np.float32)
    sizes = np.array([2 * r + 1 for r in squares.lags])
    run_parallel(_window_peaks, len(out), agreement, squares.energy, gain, members, sizes, out)
    return out


def frame_gain(agreement: FloatArray, squares: TemplateInSquares) -> FloatArray:
    """Return the brightness of each frame relative to the template.

    Parameters
    ----------
    agreement : float32 (T, squares, displacements)
        Of ``square_agreement``.
    squares : TemplateInSquares
        What the frames were compared with.

    Returns
    -------
    float32 (T,)
        Cut to between a half and two.
    """
    together, energy = agreement.sum(1), squares.energy.sum(0)
    best = np.argmax(together - 0.5 * energy, axis=1)
    gain = together[np.arange(len(together)), best] / np.maximum(energy[best], 1e-30)
    return np.clip(gain, 0.5, 2.0).astype(np.float32)


@compiled
def _taps(position: float, reach: int, weights: FloatArray, slopes: FloatArray) -> int:
    """Fill cubic weights and their derivative for a displacement; return the index of the first of the four samples."""
    if reach == 0:
        weights[:], slopes[:] = 0.0, 0.0
        weights[1] = 1.0
        return -1
    inside = min(max(position, -(reach - 1.0)), reach - 1.0)
    base = min(int(np.floor(inside)), reach - 2)
    f = inside - base
    weights[0], weights[1], weights[2], weights[3] = catmull_rom(f)
    slopes[0], slopes[1], slopes[2], slopes[3] = catmull_rom_slopes(f)
    return base + reach - 1


@compiled
def _at_square(
    agreement: FloatArray,
    energy: FloatArray,
    gain: float,
    sizes: IntArray,
    first: IntArray,
    weights: FloatArray,
    slopes: FloatArray,
    out: FloatArray,
) -> None:
    """Interpolate one surface: ``out`` gets its value and its derivative along each axis."""
    out[:] = 0.0
    for a in range(4 if sizes[0] > 1 else 1):
        wa, sa, ia = (weights[0, a], slopes[0, a], first[0] + a) if sizes[0] > 1 else (1.0, 0.0, 0)
        for b in range(4):
            if sizes[1] == 1 and b != 1:
                continue
            row = (ia * sizes[1] + first[1] + b) * sizes[2]
            value, slope = 0.0, 0.0
            for c in range(4):
                if sizes[2] == 1 and c != 1:
                    continue
                at = row + first[2] + c
                sample = gain * (agreement[at] - 0.5 * gain * energy[at])
                value += weights[2, c] * sample
                slope += slopes[2, c] * sample
            out[0] += wa * weights[1, b] * value
            out[1] += sa * weights[1, b] * value
            out[2] += wa * slopes[1, b] * value
            out[3] += wa * weights[1, b] * slope


@compiled
def _between_planes(
    energy: FloatArray,
    across: FloatArray,
    gain: float,
    sizes: IntArray,
    first: int,
    weights: FloatArray,
    slopes: FloatArray,
    out: FloatArray,
) -> None:
    """Replace the interpolated energy of a displacement across planes by the energy of the interpolated template.

    Planes are too far apart for the two to be alike: half-way between them an average has lost contrast, and with the
    energy of a sharp template, displacements would be drawn to whole planes.
    """
    plane = sizes[1] * sizes[2]
    value, slope = 0.0, 0.0
    for a in range(4):
        sharp = energy[(first + a) * plane + plane // 2]
        value -= weights[a] * sharp
        slope -= slopes[a] * sharp
        for b in range(4):
            value += weights[a] * weights[b] * across[first + a, first + b]
            slope += 2 * weights[a] * slopes[b] * across[first + a, first + b]
    out[0] -= 0.5 * gain * gain * value
    out[1] -= 0.5 * gain * gain * slope


@compiled
def _linearise(
    begin: int,
    end: int,
    agreement: FloatArray,
    energy: FloatArray,
    across: FloatArray,
    gain: FloatArray,
    sizes: IntArray,
    at: FloatArray,
    out: FloatArray,
) -> None:
    for t in range(begin, end):
        weights, slopes = np.zeros((3, 4)), np.zeros((3, 4))
        first = np.zeros(3, np.int64)
        result = np.empty(4)
        for square in range(agreement.shape[1]):
            for axis in range(3):
                first[axis] = _taps(at[t, square, axis], sizes[axis] // 2, weights[axis], slopes[axis])
            _at_square(agreement[t, square], energy[square], gain[t, square], sizes, first, weights, slopes, result)
            if sizes[0] > 1:
                _between_planes(
                    energy[square], across[square], gain[t, square], sizes, first[0], weights[0], slopes[0], result
                )
            out[t, square] = result


def linearise(agreement: FloatArray, squares: TemplateInSquares, at: FloatArray, gain: FloatArray) -> FloatArray:
    """Return value and slopes of every square's log-likelihood at given displacements.

    Parameters
    ----------
    agreement : float32 (T, squares, displacements)
        Of ``square_agreement``.
    squares : TemplateInSquares
        What the frames were compared with.
    at : float32 (T, squares, 3)
        Pixels from the offset at which the agreement was computed.
    gain : float32 (T, squares)
        Brightness of each frame's squares relative to the template.

    Returns
    -------
    float32 (T, squares, 4)
        Value, then its slope along each axis, 1 / px.
    """
    out = np.empty((*at.shape[:2], 4), np.float32)
    sizes = np.array([2 * r + 1 for r in squares.lags])
    at = np.ascontiguousarray(at, np.float32)
    run_parallel(_linearise, len(out), agreement, squares.energy, squares.across, gain, sizes, at, out)
    return out


@compiled
def _gain_at(
    begin: int,
    end: int,
    agreement: FloatArray,
    energy: FloatArray,
    across: FloatArray,
    sizes: IntArray,
    at: FloatArray,
    out: FloatArray,
) -> None:
    weights, slopes, first, result = np.zeros((3, 4)), np.zeros((3, 4)), np.zeros(3, np.int64), np.empty(4)
    nothing = np.zeros_like(energy[0])
    for t in range(begin, end):
        for square in range(agreement.shape[1]):
            for axis in range(3):
                first[axis] = _taps(at[t, square, axis], sizes[axis] // 2, weights[axis], slopes[axis])
            _at_square(agreement[t, square], nothing, 1.0, sizes, first, weights, slopes, result)
            told = result[0]
            _at_square(nothing, energy[square], 1.0, sizes, first, weights, slopes, result)
            _between_planes(energy[square], across[square], 1.0, sizes, first[0], weights[0], slopes[0], result)
            out[t, square] = min(max(told / max(-2 * result[0], 1e-30), 0.5), 2.0)


def square_gain(agreement: FloatArray, squares: TemplateInSquares, at: FloatArray, gain: FloatArray) -> FloatArray:
    """Return the brightness of each square of each frame relative to the template.

    It is the whole frame's unless there is displacement across planes. Then it is that of each square, relative to the
    template as it is between planes: what a square differs in brightness would be taken for such a displacement, since
    both change its contrast.

    Parameters
    ----------
    agreement : float32 (T, squares, displacements)
        Of ``square_agreement``.
    squares : TemplateInSquares
        What the frames were compared with.
    at : float32 (T, squares, 3)
        Pixels from the offset at which the agreement was computed.
    gain : float32 (T,)
        Brightness of each whole frame.

    Returns
    -------
    float32 (T, squares)
        Brightness, 1 as in the template.
    """
    out = np.repeat(gain[:, None], squares.n_squares, axis=1)
    if squares.lags[0]:
        place, sizes = np.ascontiguousarray(at, np.float32), np.array([2 * r + 1 for r in squares.lags])
        run_parallel(_gain_at, len(out), agreement, squares.energy, squares.across, sizes, place, out)
    return out
