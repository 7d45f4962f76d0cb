"""Movies made of movies: binned, resized, blurred, projected. Frames are made as they are asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.movies.lazy import Movie, RawFrames
from caiman_pipeline.movies.operations import (
    BinnedMovie,
    Blur,
    BlurredMovie,
    Projection,
    ResizedMovie,
    Statistic,
    project,
)
from caiman_pipeline.movies.readers.open import FrameReader, RawMovie
from caiman_pipeline.notebook.movie import as_movie, as_raw


def bin_movie(movie: Any, frames: int, *, statistic: Statistic = "mean") -> Movie:
    """Return a movie with so many frames as one.

    Parameters
    ----------
    movie : array or Movie
        (T, [D,] H, W).
    frames : int
        How many become one. What is left at the end is dropped; a bin with a frame that is NaN is NaN.
    statistic : str, optional
        ``mean``, ``median``, ``max`` or ``min``.

    Returns
    -------
    Movie
        float32 (T // frames, [D,] H, W), at a lower rate.

    Raises
    ------
    PipelineError
        If the movie is shorter than a bin, or there is no such statistic.

    Examples
    --------
    >>> import numpy as np
    >>> import caiman_pipeline as cp
    >>> cp.bin_movie(np.arange(7)[:, None, None] * np.ones((1, 2, 3)), 3, statistic="median")[:, 0, 0].tolist()
    [1.0, 4.0]
    """
    opened = as_movie(movie)
    rate = opened.frame_rate_hz and opened.frame_rate_hz / frames
    return replace(_of(opened, BinnedMovie(as_raw(opened), frames=frames, statistic=statistic)), frame_rate_hz=rate)


def resize_movie(movie: Any, rows: int, columns: int) -> Movie:
    """Return a movie with frames of another size.

    Parameters
    ----------
    movie : array or Movie
        (T, [D,] H, W).
    rows, columns : int
        The new size.

    Returns
    -------
    Movie
        float32 (T, [D,] rows, columns). A pixel of a smaller frame is the mean over its area; in a larger one values
        run in straight lines.

    Raises
    ------
    PipelineError
        If the size is none.

    Examples
    --------
    >>> import numpy as np
    >>> import caiman_pipeline as cp
    >>> cp.resize_movie(np.arange(24.0).reshape(1, 4, 6), 2, 3)[0].tolist()
    [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]
    """
    opened = as_movie(movie)
    made, size = _of(opened, ResizedMovie(as_raw(opened), rows=rows, columns=columns)), opened.pixel_size_um
    grown = (opened.dims[-2] / rows, opened.dims[-1] / columns)
    return replace(made, pixel_size_um=(size[0] * grown[0], size[1] * grown[1]) if size else None)


def blur_movie(movie: Any, kind: Blur, size: float, *, value_range: float | None = None) -> Movie:
    """Return a movie whose frames are smoothed within each plane.

    Parameters
    ----------
    movie : array or Movie
        (T, [D,] H, W).
    kind : str
        ``gaussian``; ``median``, of a square; ``bilateral``, of pixels that are near in place and in value.
    size : float
        Standard deviation, pixels; side of the median's square, 3 or 5.
    value_range : float, optional
        Of ``bilateral``: standard deviation of values that count as near, in the unit of the movie.

    Returns
    -------
    Movie
        float32 (T, [D,] H, W).

    Raises
    ------
    PipelineError
        If there is no such blur, or its size does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import caiman_pipeline as cp
    >>> frame = np.zeros((1, 9, 11))
    >>> frame[0, 4, 5] = 9
    >>> cp.blur_movie(frame, "median", 3)[0].max().item(), round(cp.blur_movie(frame, "gaussian", 1)[0].sum().item(), 3)
    (0.0, 9.0)
    """
    opened = as_movie(movie)
    return _of(opened, BlurredMovie(as_raw(opened), kind=kind, size=size, value_range=value_range))


def project_movie(movie: Any, kind: Projection = "mean") -> FloatArray:
    """Return an image of all frames of a movie, in one pass.

    Parameters
    ----------
    movie : array or Movie
        (T, [D,] H, W).
    kind : str, optional
        ``mean``, ``std``, ``max``, ``min`` or ``sum``.

    Returns
    -------
    float32 ([D,] H, W). Frames that are NaN do not count.

    Raises
    ------
    PipelineError
        If there is no such projection, or no frame counts.

    Examples
    --------
    >>> import numpy as np
    >>> import caiman_pipeline as cp
    >>> cp.project_movie(np.arange(24).reshape(4, 2, 3), "max").tolist()
    [[18.0, 19.0, 20.0], [21.0, 22.0, 23.0]]
    """
    return project(as_raw(as_movie(movie)), kind)


def _of(opened: Movie, made: FrameReader) -> Movie:
    return replace(opened, frames=RawFrames(RawMovie((made,))))
