"""A first rigid registration, to about a pixel: cross-correlation of binned frames with a filtered template by FFT."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import scipy.fft as fft

from caiman_pipeline.model.arrays import BoolArray, ComplexArray, FloatArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.motion.surfaces import as_volume
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.peaks import parabola_vertex
from caiman_pipeline.numerics.threads import run_parallel

# Shorter side of frames, pixels, from which the first search bins two by two: smaller ones would keep too few bins.
BIN_FROM_PX = 64


@dataclass(frozen=True)
class CoarseTemplate:
    """A template prepared for cross-correlation with binned frames; arrays have three spatial axes.

    Attributes
    ----------
    spectrum : complex64, half of the conjugate spectrum of the template without its slow structure
    weight : float32 (D, H, W), inverse variance of the noise, falling off towards the border
    energy : float32 (shifts...), half of the displaced template's weighted energy
    shape : size of the padded frame, bins
    back : complex64 matrices (2 limit + 1, frequencies) per axis, the inverse transform at the shifts that are allowed
    radius : half the width of the mean that is subtracted from frames, bins along rows and along columns
    """

    spectrum: ComplexArray
    weight: FloatArray
    energy: FloatArray
    shape: tuple[int, int, int]
    back: tuple[ComplexArray, ...]
    radius: tuple[int, int]


def choose_bins(dims: Dims) -> tuple[int, ...]:
    """Return pixels per bin along each axis: two along rows and columns of more than a few cells.

    Parameters
    ----------
    dims : tuple of int
        (H, W) or (D, H, W) of a frame.

    Returns
    -------
    tuple of int
        1 or 2 along rows and columns, 1 across planes.

    Examples
    --------
    >>> choose_bins((48, 200)), choose_bins((96, 128))
    ((1, 1), (2, 2))
    """
    large = min(dims[-2:]) >= BIN_FROM_PX
    return (1,) * (len(dims) - 2) + ((2, 2) if large else (1, 1))


def prepare_coarse(
    template: FloatArray, weight: FloatArray, *, limits: tuple[int, int, int], radius: tuple[int, int]
) -> CoarseTemplate:
    """Prepare a binned template for shifts of up to so many bins along each axis.

    Parameters
    ----------
    template : float32 (D, H, W)
        Binned template, as registration sees it.
    weight : float32 (D, H, W)
        Inverse variance of the noise, binned.
    limits : tuple of int
        Largest shift along each axis, bins.
    radius : tuple of int
        Half the width of structure that counts, bins along rows and columns.

    Returns
    -------
    CoarseTemplate
        What ``coarse_shifts`` compares frames with.
    """
    sizes = [fft.next_fast_len(n + r if n < 64 else n, real=True) for n, r in zip(template.shape, limits, strict=True)]
    shape = (sizes[0], sizes[1], sizes[2])
    flat = flatten(template[None], radius)[0]
    inner = (weight * _inner(template.shape, limits)).astype(np.float32)
    back = _inverse(shape, limits)
    energy = np.empty((1, *(len(b) for b in back)), np.float32)
    squares = np.conj(fft.rfftn(flat.astype(np.float64) ** 2, shape)).astype(np.complex64)
    run_parallel(_correlate, 1, np.asarray(fft.rfftn(inner, shape)[None], np.complex64), squares, *back, energy)
    spectrum = np.conj(fft.rfftn(flat, shape)).astype(np.complex64)
    return CoarseTemplate(spectrum, inner, 0.5 * energy[0], shape, back, radius)


@compiled
def _running_mean(line: FloatArray, radius: int, out: FloatArray) -> None:
    """Write the mean of each pixel's neighbours up to ``radius`` away, fewer at the ends."""
    n = len(line)
    total, count = 0.0, 0
    for x in range(min(radius, n)):
        total += line[x]
        count += 1
    for x in range(n):
        if x + radius < n:
            total += line[x + radius]
            count += 1
        if x - radius > 0:
            total -= line[x - radius - 1]
            count -= 1
        out[x] = total / count


@compiled
def _flatten(begin: int, end: int, frames: FloatArray, reach_y: int, reach_x: int, out: FloatArray) -> None:
    _, depth, rows, columns = frames.shape
    for item in range(begin, end):
        frame, result = frames[item // depth, item % depth], out[item // depth, item % depth]
        across = np.empty((rows, columns), np.float32)
        for y in range(rows):
            _running_mean(frame[y], reach_x, across[y])
        total, count = np.zeros(columns, np.float64), 0
        for y in range(min(reach_y, rows)):
            total += across[y]
            count += 1
        for y in range(rows):
            if y + reach_y < rows:
                total += across[y + reach_y]
                count += 1
            if y - reach_y > 0:
                total -= across[y - reach_y - 1]
                count -= 1
            scale = np.float32(1.0 / count)
            for x in range(columns):
                result[y, x] = frame[y, x] - scale * np.float32(total[x])


def flatten(frames: FloatArray, radius: tuple[int, int]) -> FloatArray:
    """Return frames without structure wider than ``2 radius + 1`` along rows and columns.

    Parameters
    ----------
    frames : float32 (T, D, H, W)
        Any unit, finite.
    radius : tuple of int
        Along rows and along columns, pixels or bins.

    Returns
    -------
    float32 (T, D, H, W)
        Frames less their running mean, which has fewer pixels at the border.
    """
    out = np.empty(frames.shape, np.float32)
    run_parallel(_flatten, frames.shape[0] * frames.shape[1], np.ascontiguousarray(frames, np.float32), *radius, out)
    return out


def _inverse(shape: tuple[int, int, int], limits: tuple[int, int, int]) -> tuple[ComplexArray, ...]:
    matrices = []
    for axis, (size, limit) in enumerate(zip(shape, limits, strict=True)):
        count = size // 2 + 1 if axis == 2 else size
        waves = np.exp(2j * np.pi * np.outer(np.arange(-limit, limit + 1), np.arange(count)) / size) / size
        if axis == 2:
            waves[:, 1 : (size + 1) // 2] *= 2
        matrices.append(waves.astype(np.complex64))
    return matrices[0], matrices[1], matrices[2]


def _inner(shape: Dims, limits: tuple[int, ...]) -> FloatArray:
    """Return weights that fall off to zero at the border, over the largest shift or an eighth of the axis."""
    weights = np.ones(shape)
    for axis, (size, limit) in enumerate(zip(shape, limits, strict=True)):
        depth = min(limit, size // 8)
        edge = np.minimum(np.arange(size), np.arange(size)[::-1])
        line = np.clip((edge + 1) / (depth + 1), 0, 1) if depth else np.ones(size)
        weights *= line.reshape([-1 if a == axis else 1 for a in range(3)])
    return weights


@compiled
def _bin_pairs(begin: int, end: int, frames: FloatArray, out: FloatArray) -> None:
    _, depth, rows, columns = out.shape
    for item in range(begin, end):
        t, z = item // depth, item % depth
        both = np.empty(2 * columns, np.float32)
        for y in range(rows):
            upper, lower, target = frames[t, z, 2 * y], frames[t, z, 2 * y + 1], out[t, z, y]
            for x in range(len(both)):
                both[x] = upper[x] + lower[x]
            for x in range(len(target)):
                target[x] = np.float32(0.25) * (both[2 * x] + both[2 * x + 1])


def bin_frames(frames: FloatArray, bins: tuple[int, ...]) -> FloatArray:
    """Return frames averaged over bins; what fills no bin is left out.

    Parameters
    ----------
    frames : float32 (T, *dims)
        Any unit.
    bins : tuple of int
        Pixels per bin along each axis; planes are never averaged.

    Returns
    -------
    float32 (T, D, H, W)
        Binned frames, with a single plane where there is none.

    Examples
    --------
    >>> import numpy as np
    >>> frames = np.arange(15, dtype=np.float32).reshape(1, 3, 5)
    >>> bin_frames(frames, (2, 2)).tolist()
    [[[[3.0, 5.0]]]]
    """
    volume = frames.reshape(len(frames), *as_volume(frames.shape[1:]))
    if max(bins) == 1:
        return np.ascontiguousarray(volume, np.float32)
    if bins[-2:] == (2, 2):
        out = np.empty((*volume.shape[:2], volume.shape[2] // 2, volume.shape[3] // 2), np.float32)
        run_parallel(_bin_pairs, out.shape[0] * out.shape[1], np.ascontiguousarray(volume, np.float32), out)
        return out
    rows, columns = (n // b for n, b in zip(volume.shape[2:], bins[-2:], strict=True))
    cut = volume[:, :, : rows * bins[-2], : columns * bins[-1]]
    return cut.reshape(*volume.shape[:2], rows, bins[-2], columns, bins[-1]).mean((3, 5), dtype=np.float32)


@compiled
def _correlate(
    begin: int,
    end: int,
    spectra: ComplexArray,
    template: ComplexArray,
    bz: ComplexArray,
    by: ComplexArray,
    bx: ComplexArray,
    out: FloatArray,
) -> None:
    depth, rows, columns = template.shape
    product, across = np.empty((rows, columns), np.complex64), np.empty((len(by), columns), np.complex64)
    plane, total = np.empty((len(by), len(bx)), np.complex64), np.empty((len(by), len(bx)), np.complex64)
    for t in range(begin, end):
        for k in range(len(bz)):
            total[:] = 0.0
            for z in range(depth):
                for y in range(rows):
                    for x in range(columns):
                        product[y, x] = spectra[t, z, y, x] * template[z, y, x]
                np.dot(by, product, across)
                np.dot(across, bx.T, plane)
                total += bz[k, z] * plane
            for y in range(len(by)):
                for x in range(len(bx)):
                    out[t, k, y, x] = total[y, x].real


def coarse_shifts(small: FloatArray, template: CoarseTemplate, *, threads: int) -> tuple[FloatArray, BoolArray]:
    """Return the displacement of binned frames, and whether it is at the limit.

    Parameters
    ----------
    small : float32 (T, D, H, W)
        Of ``bin_frames``.
    template : CoarseTemplate
        What to compare with.
    threads : int
        Threads for Fourier transforms.

    Returns
    -------
    position : float32 (T, 3)
        Displacement, bins, between bins by a parabola.
    at_limit : bool (T,)
        Whether the best is the largest that was looked for.
    """
    axes = tuple(a for a in (1, 2, 3) if template.shape[a - 1] > 1)
    flat = flatten(small, template.radius)
    flat *= template.weight
    spectra = fft.rfftn(flat, [template.shape[a - 1] for a in axes], axes=axes, workers=threads)
    sizes = tuple(len(b) for b in template.back)
    surface = np.empty((len(small), *sizes), np.float32)
    spectra = np.ascontiguousarray(spectra, np.complex64)
    run_parallel(_correlate, len(spectra), spectra, template.spectrum, *template.back, surface)
    surface -= template.energy
    position, at_limit = np.zeros((len(small), 3), np.float32), np.zeros(len(small), bool)
    for t, one in enumerate(surface if prod(sizes) > 1 else ()):
        position[t], at_limit[t] = peak_position(one)
    return position, at_limit


def peak_position(surface: FloatArray) -> tuple[FloatArray, bool]:
    """Return the sub-sample position of a surface's maximum relative to its centre, and whether it is on the edge.

    Parameters
    ----------
    surface : float (...)
        Odd length along each axis.

    Returns
    -------
    position : float64 (ndim,)
        From the centre, in samples.
    on_edge : bool
        Whether the maximum is the first or last sample along an axis.

    Examples
    --------
    >>> import numpy as np
    >>> surface = np.zeros((5, 7))
    >>> surface[3, 2] = 1.0
    >>> peak_position(surface)
    (array([ 1., -1.]), False)
    """
    top = np.unravel_index(int(np.argmax(surface)), surface.shape)
    position, on_edge = np.zeros(surface.ndim), False
    for axis, size in enumerate(surface.shape):
        position[axis] = top[axis] - size // 2
        if size > 1 and not 0 < top[axis] < size - 1:
            on_edge = True
        elif size > 1:
            around = (surface[(*top[:axis], top[axis] + d, *top[axis + 1 :])] for d in (-1, 0, 1))
            position[axis] += parabola_vertex.py_func(*around)
    return position, on_edge
