"""The edge of a movie that was moved before: lines that were filled in, because nothing was seen there.

Programs that correct motion fill the edge that a shifted frame leaves open, with zeros or another constant, or by
repeating or mirroring what lies beside it. A line of pixels (a row, a column, a plane) that is constant, or equal to
another pixel by pixel, was filled in: noise makes no such line. Where a movie holds hardly any photons a line may be
empty by chance, so what is found is compared with how often that is to be expected.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, IntArray, NumberArray
from caiman_pipeline.model.movie import Bounds, MovieInfo

# Pixels of a line that are looked at first, and then: all of them only where these are alike.
FEW_PX, SOME_PX = 4, 32
SIDES = ("first planes", "last planes", "top", "bottom", "left", "right")
# Frames that are read again where a border was found, to tell it from chance.
SAMPLE_FRAMES = 64
# A depth is common if this share of the frames reaches it (two at least); a rarer one counts if it is no more than
# twice the common depth, or this many lines more.
COMMON, RARE_LINES = 0.002, 3
# Beside a constant border, a line darker than this share of the next one was mixed with it by interpolation.
MIXED, MOST_MIXED = 0.5, 2


def filled_depths(frames: NumberArray) -> IntArray:
    """Return how many lines at each end of each axis were filled in.

    Parameters
    ----------
    frames : (t, [D,] H, W)

    Returns
    -------
    int32 (t, ndim, 2), the largest of a volume's planes; 0 where an image is empty inside as well.
    """
    depths = np.zeros((len(frames), frames.ndim - 1, 2), np.int32)
    for axis in range(frames.ndim - 1):
        images = _as_images(frames, axis)
        if images.shape[1] > 2:
            found = np.stack([_filled_at_start(images), _filled_at_start(images[:, ::-1])], axis=-1)
            found[found.sum(-1) >= images.shape[1]] = 0
            depths[:, axis] = found.reshape(len(frames), -1, 2).max(1)
    return depths


def _as_images(frames: NumberArray, axis: int) -> NumberArray:
    """Return frames as images (n, lines, pixels of a line) along an axis; a volume's planes follow one another."""
    if frames.ndim == 4 and axis == 0:
        return frames.reshape(*frames.shape[:2], -1)
    images = frames.reshape(-1, *frames.shape[-2:])
    return images if axis == frames.ndim - 3 else images.swapaxes(1, 2)


def _filled_at_start(images: NumberArray) -> IntArray:
    """Return how many lines at the start of each image were filled in, int32 (n,)."""
    few = _few_pixels(images)
    alike = (few[1:] == few[0]).all(0)
    filled = _verified(alike, images, lambda pixels, image, line: _all_alike(pixels[image, line]))
    repeats = _verified(
        _equal(few, 1), images, lambda px, image, line: _all_equal(px[image, line], px[image, line + 1])
    )
    filled[:, :-1] |= repeats
    depth = _leading(filled)
    inside = filled.sum(1) - depth - _leading(filled[:, ::-1])
    # An image with more such lines inside than at its edge is dark or sparse, or was enlarged.
    depth[inside > depth] = 0
    for gap in (1, 2):
        suspects = _equal(few, gap) & ~alike[:, gap:] & ((depth == 0) & (inside <= 1))[:, None]
        for image, line in zip(*np.nonzero(suspects[:, : images.shape[1] // 3]), strict=True):
            if np.array_equal(images[image, line::-1], images[image, line + gap : 2 * line + gap + 1]):
                depth[image] = line + 1
    return depth.astype(np.int32)


def _few_pixels(images: NumberArray) -> NumberArray:
    """Return a few pixels from the middle of every line, (few, n, lines)."""
    start = max(0, (images.shape[2] - FEW_PX) // 2)
    return np.ascontiguousarray(np.moveaxis(images[:, :, start : start + FEW_PX], 2, 0))


def _equal(few: NumberArray, gap: int) -> BoolArray:
    """Return which lines equal the one ``gap`` after them as far as ``few`` tells, bool (n, lines - gap)."""
    return (few[:, :, gap:] == few[:, :, :-gap]).all(0)


def _verified(
    suspects: BoolArray, images: NumberArray, test: Callable[[NumberArray, NumberArray, NumberArray], BoolArray]
) -> BoolArray:
    """Return which of the suspected lines, bool (n, lines), hold a test: on some of their pixels, then on all."""
    found = suspects.copy()
    for step in (max(1, images.shape[2] // SOME_PX), 1):
        image, line = np.nonzero(found)
        if len(image):
            found[image, line] = test(images[:, :, ::step], image, line)
    return found


def _all_alike(lines: NumberArray) -> BoolArray:
    return (lines == lines[:, :1]).all(1)


def _all_equal(lines: NumberArray, others: NumberArray) -> BoolArray:
    return (lines == others).all(1)


def _leading(filled: BoolArray) -> IntArray:
    """Return how many lines are true before the first that is not, for each image."""
    return np.where(filled.all(1), filled.shape[1], np.argmin(filled, axis=1))


def usual_border(depths: IntArray) -> IntArray:
    """Return the border that the frames share.

    Parameters
    ----------
    depths : int32 (T, ndim, 2)
        Lines that were filled in at each end of each axis, of each frame.

    Returns
    -------
    int64 (ndim, 2)
        Lines before and after, pixels.

    Notes
    -----
    The deepest of all frames, but for rare ones that are filled in much further than the others.
    """
    enough = max(2, round(COMMON * len(depths)))
    common = np.sort(depths, axis=0)[-min(enough, len(depths))]
    furthest = np.where(common > 0, np.maximum(2 * common, common + RARE_LINES), 0)
    counted = np.where(depths <= furthest, depths, 0)
    return counted.max(0).astype(np.int64)


def beyond_border(depths: IntArray, border: Bounds) -> IntArray:
    """Return the frames that are filled in well beyond a border, ascending.

    Parameters
    ----------
    depths : int32 (T, ndim, 2)
        Lines that were filled in, of each frame.
    border : tuple of (int, int)
        Pixels before and after along each axis.

    Returns
    -------
    int (n,)
        Numbers of the frames, ascending.
    """
    return np.flatnonzero((depths > np.array(border) + RARE_LINES).any((1, 2)))


def border_warnings(info: MovieInfo, depths: IntArray) -> list[str]:
    """Say what is left out of a movie because it was filled in, and which frames are filled in beyond that.

    Parameters
    ----------
    info : MovieInfo
        The recording, with its border.
    depths : int32 (T, ndim, 2)
        Lines that were filled in, of each frame.

    Returns
    -------
    list of str
        Sentences, or none.
    """
    warnings = []
    # Where a depth that many frames share was taken for chance, single frames are no better.
    depths = np.where(usual_border(depths) > np.array(info.border_px), 0, depths)
    if depths.any() and any(map(any, info.border_px)):
        sides = [f"{name} {width}" for name, width in zip(SIDES, _widths(info.border_px), strict=True) if width]
        share = 1 - prod(n - sum(b) for n, b in zip(info.dims, info.border_px, strict=True)) / prod(info.dims)
        warnings.append(
            f"edges without an image of their own are left out ({', '.join(sides)} px; {share:.1%} of the field)"
        )
    beyond = beyond_border(depths, info.border_px)
    if len(beyond):
        shown = ", ".join(map(str, beyond[:10])) + (" ..." if len(beyond) > 10 else "")
        warnings.append(f"{len(beyond)} frames have much wider edges without an image than the others: {shown}")
    return warnings


def _widths(border: Bounds) -> list[int]:
    """Return the border in the order of ``SIDES``, 0 where there are no planes."""
    return [width for ends in ((0, 0),) * (3 - len(border)) + border for width in ends]


def confirmed_border(read_frames: Callable[[IntArray], NumberArray], depths: IntArray) -> Bounds:
    """Return the border to leave out, (before, after) per axis, without what chance explains.

    Parameters
    ----------
    read_frames : callable
        Returns the frames of ascending indices, (t, [D,] H, W).
    depths : int32 (T, ndim, 2)
        Lines that were filled in, of each frame, as ``filled_depths`` returns them.

    Returns
    -------
    tuple of (int, int)
        Pixels before and after along each axis.
    """
    border = usual_border(depths)
    for axis, end in zip(*np.nonzero(border), strict=True):
        depth = depths[:, axis, end]
        always = int(depth.min())
        rest = read_frames(_spaced(np.flatnonzero(depth == always)))
        images = _as_images(rest, axis)[:, :: (1, -1)[end]]
        for line in range(always, border[axis, end]):
            chance = 1 - (1 - _chance_of_filled(images, line)) ** (len(images) / len(rest))
            if (depth > line).mean() <= min(2 * chance, (1 + chance) / 2):
                border[axis, end] = line
                break
        if border[axis, end]:
            filled = _as_images(read_frames(_spaced(np.flatnonzero(depth))), axis)[:, :: (1, -1)[end]]
            border[axis, end] += _mixed_lines(filled, int(border[axis, end]))
    return tuple((int(before), int(after)) for before, after in border)


def _spaced(indices: IntArray) -> IntArray:
    """Return some of the indices, evenly spaced."""
    return indices[np.linspace(0, len(indices) - 1, min(SAMPLE_FRAMES, len(indices))).astype(int)]


def _chance_of_filled(images: NumberArray, line: int) -> float:
    """Return the chance that a line of these images, none of which is filled there, looks as if it were.

    By how few of its pixels are not alike, and by how often lines elsewhere are lost.
    """
    here, there = images[:, line], images[:, line + 1]
    own = np.count_nonzero(here != here.min(1, keepdims=True), axis=1)
    alike = (images == images[..., :1]).all(-1)
    seen = alike[alike.mean(1) < 0.5]
    lost = float(np.median(seen.mean(0))) if len(seen) else 0.0
    return max(lost, _chance_of_none(own), _chance_of_none(np.count_nonzero(here != there, axis=1)))


def _chance_of_none(counts: IntArray) -> float:
    """Return the chance that a count is 0, by the Poisson distribution that explains the counts above 0.

    Notes
    -----
    The mean of the counts above 0 is m = rate / (1 - exp(-rate)), solved by iterating rate = m (1 - exp(-rate)).
    """
    above = counts[counts > 0]
    if not len(above):
        return 1.0
    mean = rate = float(above.mean())
    for _ in range(200):
        rate = mean * -np.expm1(-rate)
    return float(np.exp(-rate))


def _mixed_lines(images: NumberArray, border: int) -> int:
    """Return how many lines beside a constant border are mixed with it, as one is where it ends within a pixel."""
    if border + MOST_MIXED >= images.shape[1] or not _all_alike(images[:, 0]).mean() > 0.5:
        return 0
    means = images[:, : border + MOST_MIXED + 1].mean((0, 2), dtype=np.float64)
    if not np.isfinite(means).all():
        return 0
    beyond = np.abs(means - means[0])[border:]
    mixed = beyond[:-1] < MIXED * beyond[1:]
    return int(_leading(mixed[None])[0])
