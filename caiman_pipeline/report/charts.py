"""Small charts as inline SVG: lines over time, scatter, bars. Text stays text, so pages are small and sharp."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import floor, log10

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, NumberArray

# Pixels around what is drawn, for labels.
MARGIN = {"left": 52, "right": 12, "top": 10, "bottom": 34}


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic axis in data units."""

    low: float
    high: float
    label: str
    log: bool = False

    def place(self, values: NumberArray | float) -> FloatArray:
        """Return positions between 0 and 1.

        Parameters
        ----------
        values : float or array (...)
            In the axis' unit.

        Returns
        -------
        float64 (...)
            0 at the lower end, 1 at the upper one; beyond them outside of that.

        Examples
        --------
        >>> float(Axis(1, 100, "SNR", log=True).place(10.0))
        0.5
        """
        v, a, b = np.asarray(values, np.float64), self.low, self.high
        if self.log:
            v, a, b = np.log10(np.maximum(v, 1e-12)), log10(a), log10(b)
        return (v - a) / max(b - a, 1e-12)

    def ticks(self, count: int = 5) -> list[float]:
        """Return round values inside the axis.

        Parameters
        ----------
        count : int
            How many, about, on a linear axis.

        Returns
        -------
        list of float
            Values, ascending.

        Examples
        --------
        >>> Axis(0, 10, "time (s)").ticks()
        [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
        """
        if self.log:
            decades = range(floor(log10(self.low)), floor(log10(self.high)) + 1)
            values = [m * 10.0**d for d in decades for m in (1, 2, 5)]
            return [v for v in values if self.low <= v <= self.high]
        step = nice_number((self.high - self.low) / count)
        first = int(np.ceil(self.low / step - 1e-9))
        last = int(np.floor(self.high / step + 1e-9))
        return [i * step for i in range(first, last + 1)]


@dataclass(frozen=True)
class Series:
    """One line of a chart: values sampled evenly over the x axis."""

    label: str
    colour: str
    values: FloatArray


def nice_number(value: float) -> float:
    """Return the round number (1, 2 or 5 times a power of ten) that is nearest from above, or nearly so.

    Parameters
    ----------
    value : float
        Any unit; 1 is returned for one that is not above 0.

    Returns
    -------
    float
        A round number.

    Examples
    --------
    >>> nice_number(3.2), nice_number(0.07)
    (5.0, 0.1)
    """
    if not value > 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next(m * power for m in (1, 2, 5, 10) if value <= m * power * 1.05)


def envelope(values: FloatArray, n_bins: int) -> FloatArray:
    """Reduce traces to each bin's minimum and maximum; short traces stay as they are.

    Parameters
    ----------
    values : float32 (K, T)
        Any unit.
    n_bins : int
        Bins.

    Returns
    -------
    float32 (K, 2 * n_bins)
        Minimum and maximum of each bin in turn; NaN where a bin has no finite value.

    Examples
    --------
    >>> import numpy as np
    >>> envelope(np.array([[1, 5, 2, 0, 3, 3]], np.float32), 2).tolist()
    [[1.0, 5.0, 0.0, 3.0]]
    """
    n_frames = values.shape[1]
    if n_frames <= 2 * n_bins:
        return values
    edges = np.arange(n_bins) * n_frames // n_bins
    out = np.empty((len(values), 2 * n_bins), np.float32)
    out[:, 0::2] = np.fmin.reduceat(values, edges, axis=1)
    out[:, 1::2] = np.fmax.reduceat(values, edges, axis=1)
    return out


def polyline(x: FloatArray, y: FloatArray) -> str:
    """Return an SVG path through whole-numbered points, relative steps, broken where a value is not finite.

    Parameters
    ----------
    x : float (n,)
        Across, finite.
    y : float (n,)
        Down.

    Returns
    -------
    str
        The attribute ``d`` of a path.
    """
    known = np.isfinite(y)
    if known.all():
        return _run(x, y)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], known.astype(int), [0]])))
    return "".join(_run(x[a:b], y[a:b]) for a, b in zip(edges[::2], edges[1::2], strict=True))


def _run(x: FloatArray, y: FloatArray) -> str:
    points = np.stack([np.round(x), np.round(y)], axis=1).astype(int)
    steps = np.diff(points, axis=0).tolist()
    return f"M{points[0, 0]} {points[0, 1]}l" + " ".join(f"{a} {b}" for a, b in steps) if len(points) > 1 else ""


def line_chart(
    series: list[Series], x: Axis, y: Axis, *, width: int = 760, height: int = 150, marks: FloatArray | None = None
) -> str:
    """Draw lines over a common x axis, with a legend where there are several.

    Parameters
    ----------
    series : list of Series
        Lines, sampled evenly over the x axis.
    x : Axis
        Across.
    y : Axis
        Up.
    width : int
        Of the chart, px.
    height : int
        Of the chart, px.
    marks : float (n,), optional
        Values of x to mark with a thin red line; the first 500 are.

    Returns
    -------
    str
        SVG.
    """
    fine = 4
    inner_w, inner_h = _inner(width, height)
    body = []
    for one in series:
        values = envelope(np.asarray(one.values, np.float32)[None], inner_w)[0]
        px = np.linspace(0, inner_w * fine, len(values))
        py = (1 - y.place(values)) * inner_h * fine
        body.append(f'<path d="{polyline(px, py)}" stroke="{one.colour}" class="line"/>')
    drawn = f'<g transform="translate({MARGIN["left"]} {MARGIN["top"]}) scale({1 / fine})">{"".join(body)}</g>'
    if marks is not None and len(marks):
        places = MARGIN["left"] + x.place(marks) * inner_w
        drawn += "".join(f'<path d="M{p:.1f} {MARGIN["top"]}v{inner_h}" class="mark"/>' for p in places[:500])
    return _frame(drawn + _legend(series, width), x, y, width=width, height=height)


def scatter_chart(
    points: FloatArray,
    x: Axis,
    y: Axis,
    *,
    classes: list[str],
    titles: list[str],
    region: FloatArray,
    width: int = 440,
    height: int = 330,
) -> str:
    """Draw points with a CSS class and a title each, over a shaded polygon.

    Parameters
    ----------
    points : float (K, 2)
        Places in the axes' units; those that are not finite are left out.
    x : Axis
        Across.
    y : Axis
        Up.
    classes : list of str
        One for each point.
    titles : list of str
        One for each point.
    region : float (n, 2)
        Corners of the polygon; none for no shade.
    width : int
        Of the chart, px.
    height : int
        Of the chart, px.

    Returns
    -------
    str
        SVG.
    """
    inner_w, inner_h = _inner(width, height)
    left, top = MARGIN["left"], MARGIN["top"]

    def place(values: FloatArray) -> list[list[float]]:
        across = left + np.clip(x.place(values[:, 0]), 0, 1) * inner_w
        down = top + (1 - np.clip(y.place(values[:, 1]), 0, 1)) * inner_h
        return np.stack([across, down], axis=1).tolist()

    dots = "".join(
        f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" class="dot {css}" data-k="{k}">'
        f"<title>{escape(title)}</title></circle>"
        for k, ((a, b), css, title) in enumerate(zip(place(points), classes, titles, strict=True))
        if np.isfinite(a) and np.isfinite(b)
    )
    corners = " ".join(f"{a:.1f},{b:.1f}" for a, b in place(region)) if len(region) else ""
    shade = f'<polygon class="region" points="{corners}"/>' if corners else ""
    return _frame(shade + dots, x, y, width=width, height=height)


def bar_rows(rows: list[tuple[str, float, str]], css: str = "") -> str:
    """Draw labelled horizontal bars as HTML rows: label, value, text at the end.

    Parameters
    ----------
    rows : list of (str, float, str)
        Label, value and text of each bar.
    css : str
        A CSS class for all bars.

    Returns
    -------
    str
        HTML.
    """
    top = max((value for _, value, _ in rows), default=0) or 1
    cells = "".join(
        f'<div class="bar-label">{escape(label)}</div><div class="bar-track"><div class="bar {css}" '
        f'style="width:{100 * value / top:.1f}%"></div></div><div class="bar-text">{escape(text)}</div>'
        for label, value, text in rows
    )
    return f'<div class="bars">{cells}</div>'


def _inner(width: int, height: int) -> tuple[int, int]:
    return width - MARGIN["left"] - MARGIN["right"], height - MARGIN["top"] - MARGIN["bottom"]


def _legend(series: list[Series], width: int) -> str:
    if len(series) < 2:
        return ""
    parts, x = [], float(width - MARGIN["right"])
    for one in reversed(series):
        x -= 7.0 * len(one.label) + 6
        parts.append(
            f'<text x="{x:.0f}" y="{MARGIN["top"] + 9}" fill="{one.colour}" class="legend">{escape(one.label)}</text>'
        )
        x -= 14
    return "".join(parts)


def _frame(drawn: str, x: Axis, y: Axis, *, width: int, height: int) -> str:
    inner_w, inner_h = _inner(width, height)
    left, top = MARGIN["left"], MARGIN["top"]
    parts = [f'<path class="axis" d="M{left} {top}v{inner_h}h{inner_w}"/>']
    for tick in x.ticks(8):
        px = left + float(x.place(tick)) * inner_w
        parts.append(f'<path class="axis" d="M{px:.1f} {top + inner_h}v4"/>')
        parts.append(f'<text x="{px:.1f}" y="{top + inner_h + 16}" text-anchor="middle">{tick:g}</text>')
    for tick in y.ticks(4):
        py = top + (1 - float(y.place(tick))) * inner_h
        parts.append(f'<path class="grid" d="M{left} {py:.1f}h{inner_w}"/>')
        parts.append(f'<text x="{left - 6}" y="{py + 4:.1f}" text-anchor="end">{tick:g}</text>')
    centre = f'text-anchor="middle" class="name" transform="translate({left + inner_w / 2:.0f} {height - 3})"'
    side = f'text-anchor="middle" class="name" transform="translate(12 {top + inner_h / 2:.0f}) rotate(-90)"'
    labels = f"<text {centre}>{escape(x.label)}</text><text {side}>{escape(y.label)}</text>"
    return f'<svg viewBox="0 0 {width} {height}" class="chart">{"".join(parts)}{drawn}{labels}</svg>'
