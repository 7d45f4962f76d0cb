"""Whatever separates a table's cells and marks its decimals: the same traces are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from any_input import few
from hypothesis import given
from hypothesis import strategies as st

from caiman_pipeline.traces.csv_tables import ascends_evenly, never_falls, read_columns
from caiman_pipeline.traces.tables import read_table

# Separator, and the sign of decimals.
DIALECTS = st.sampled_from([(",", "."), ("\t", "."), (";", "."), (";", ","), ("\t", ",")])
SEEDS = st.integers(0, 2**32 - 1)


def lively(seed: int, n_traces: int, n_frames: int) -> np.ndarray:
    """Traces that fall at once, so that none is taken for a clock; a few values are missing."""
    rng = np.random.default_rng(seed)
    values = rng.normal(100, 30, (n_frames, n_traces)).round(3)
    values[0], values[1] = 150, 149.5
    values[rng.random(values.shape) < 0.03] = np.nan
    values[:2] = np.nan_to_num(values[:2], nan=50)
    return values


def as_text(values: np.ndarray, names: list[str], dialect: tuple[str, str], *, quoted: bool, end: str) -> str:
    separator, sign = dialect

    def cell(text: str) -> str:
        return f'"{text}"' if quoted else text

    numbers = [["" if np.isnan(v) else f"{v:.3f}".replace(".", sign) for v in row] for row in values]
    return end.join(separator.join(cell(c) for c in row) for row in [names, *numbers]) + end


@few
@given(
    SEEDS,
    st.integers(2, 5),
    st.integers(6, 30),
    DIALECTS,
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig"]),
)
def test_every_dialect_gives_the_same_traces(
    tmp_path: Path,
    seed: int,
    n_traces: int,
    n_frames: int,
    dialect: tuple[str, str],
    quoted: bool,
    end: str,
    encoding: str,
) -> None:
    values, names = lively(seed, n_traces, n_frames), [f"cell {k}" for k in range(n_traces)]
    path = tmp_path / "t.csv"
    path.write_bytes(as_text(values, names, dialect, quoted=quoted, end=end).encode(encoding))
    found = read_table(path, transposed=False, series=None)
    assert found.names == tuple(names)
    np.testing.assert_allclose(found.traces, values.T, rtol=1e-6)
    assert (found.frame_rate_hz, found.left_out) == (None, ())


@few
@given(SEEDS, st.floats(0.5, 200), st.sampled_from([("time_s", 1.0), ("Time [ms]", 1e3), ("t", 1.0)]), DIALECTS)
def test_a_column_of_times_gives_the_rate(
    tmp_path: Path, seed: int, rate_hz: float, column: tuple[str, float], dialect: tuple[str, str]
) -> None:
    values, (name, unit) = lively(seed, 3, 25), column
    step = round(unit / rate_hz, 3)
    if step <= 0:
        return
    times = (np.arange(25) * step)[:, None]
    path = tmp_path / "t.csv"
    text = as_text(np.hstack([times, values]), [name, "a", "b", "c"], dialect, quoted=False, end="\n")
    path.write_text(text)
    found = read_columns(path, transposed=False)
    assert found.rate_hz == pytest.approx(unit / step, rel=1e-6)
    assert found.names == ("a", "b", "c")
    np.testing.assert_allclose(found.values, values, rtol=1e-6)


@few
@given(SEEDS, st.integers(0, 1), st.sampled_from(["", "frame", "index", "Unnamed: 0"]), DIALECTS)
def test_a_column_that_counts_frames_is_no_trace(
    tmp_path: Path, seed: int, first: int, name: str, dialect: tuple[str, str]
) -> None:
    values = lively(seed, 2, 12)
    path = tmp_path / "t.csv"
    separator, sign = dialect
    numbers = [
        [str(first + t), *("" if np.isnan(v) else f"{v:.3f}".replace(".", sign) for v in row)]
        for t, row in enumerate(values)
    ]
    path.write_text("\n".join(separator.join(row) for row in [[name, "a", "b"], *numbers]))
    found = read_columns(path, transposed=False)
    assert (found.names, found.dropped) == (("a", "b"), (f"column {name!r}",))
    np.testing.assert_allclose(found.values, values, rtol=1e-6)


@few
@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40))
def test_what_ascends_evenly_or_never_falls_does_not_fall(values: list[float]) -> None:
    series = np.array(values)
    falls = bool((np.diff(series) < 0).any())
    assert not (falls and (ascends_evenly(series) or never_falls(series)))
    clock = values[0] + 0.25 * np.arange(30)
    assert ascends_evenly(clock)
    assert never_falls(clock)
    assert not ascends_evenly(clock[::-1])
