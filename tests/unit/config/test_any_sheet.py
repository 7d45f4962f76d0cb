"""Whatever is written in the sheet, and however a spreadsheet saves it: rows come back as they were meant."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from any_input import few
from hypothesis import given
from hypothesis import strategies as st

from caiman_pipeline.config.base import Count, Length
from caiman_pipeline.config.root import Config
from caiman_pipeline.config.sheet import load_sheet

IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)
# Names of files: no tabs, ends of lines and semicolons, which mean something in the sheet.
NAMES = (
    st.text(
        st.characters(exclude_categories=("C", "Zl", "Zp"), exclude_characters=';\t\n\r\x85\x1c\x1d\x1e\v\f"'),
        min_size=1,
        max_size=20,
    )
    .map(str.strip)
    .filter(lambda s: bool(s) and s != "FILL_IN" and not s.startswith("#"))
)
NUMBERS = st.floats(0.5, 500).map(lambda v: float(f"{v:.4g}"))
UNITS = st.sampled_from(["px", "um", "cells"])


@st.composite
def rows(draw: st.DrawFn) -> dict[str, tuple[tuple[str, ...], float, float, Length]]:
    found = {}
    for name in draw(st.lists(IDS, min_size=1, max_size=2, unique_by=str.casefold)):
        files = tuple(draw(st.lists(NAMES, min_size=1, max_size=3)))
        rate, decay = float(f"{draw(st.floats(5, 60)):.4g}"), float(f"{draw(st.floats(0.3, 2)):.3g}")
        size = Length(tuple(draw(st.lists(st.floats(4, 40).map(round).map(float), min_size=1, max_size=1))), "px")
        found[name] = (files, rate, decay, size)
    return found


@few
@given(
    rows(),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.booleans(),
    st.integers(0, 2),
)
def test_rows_come_back_as_they_were_meant(
    tmp_path: Path, wanted: dict, end: str, encoding: str, quoted: bool, empty: int
) -> None:
    text = io.StringIO()
    quoting = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    writer = csv.writer(text, delimiter="\t", lineterminator=end, quoting=quoting)
    blanks = [""] * empty
    writer.writerow(["recording", "files", "frame_rate_hz", "decay_time_s", "cell_diameter", *blanks])
    for name, (files, rate, decay, size) in wanted.items():
        writer.writerow([name, "; ".join(files), rate, decay, str(size), *blanks])
    path = tmp_path / "sheet.tsv"
    path.write_bytes(text.getvalue().encode(encoding))
    found = load_sheet(path, Config())
    assert list(found) == list(wanted)
    for name, (files, rate, decay, size) in wanted.items():
        facts = found[name].config.recording
        assert found[name].patterns == files
        assert (facts.frame_rate_hz, facts.decay_time_s, facts.cell_diameter) == (rate, decay, size)


@few
@given(st.lists(NUMBERS, min_size=1, max_size=3), UNITS, st.sampled_from(["", " ", "  "]))
def test_a_length_survives_being_written_and_read(values: list[float], unit: str, gap: str) -> None:
    length = Length(tuple(values), unit)
    assert Length.parse(str(length)) == length
    assert Length.parse(f" {f'{gap}x{gap}'.join(str(v) for v in values)}{gap}{unit} ") == length


@few
@given(st.lists(st.floats(2, 60), min_size=1, max_size=3), st.lists(st.floats(0.2, 5), min_size=2, max_size=3))
def test_micrometres_and_cells_become_pixels_along_each_axis(values: list[float], pixel_um: list[float]) -> None:
    sizes, length = tuple(pixel_um), Length(tuple(values), "um")
    if len(values) not in (1, len(sizes)):
        with pytest.raises(ValueError, match="values, but"):
            length.in_pixels(sizes)
        return
    found = length.in_pixels(sizes)
    each = values * (len(sizes) // len(values))
    assert found.unit == "px"
    assert found.per_axis(len(sizes)) == pytest.approx([v / s for v, s in zip(each, sizes, strict=True)], abs=1e-4)
    two_cells = Length((2.0,), "cells").in_pixels(sizes, length)
    assert two_cells.per_axis(len(sizes)) == pytest.approx([2 * v for v in found.per_axis(len(sizes))], abs=1e-3)
    assert found.in_pixels(None) == found, "pixels are pixels"


@few
@given(st.integers(1, 5000), st.sampled_from(["tile", "cell", "mm2", "mm3"]))
def test_a_count_survives_being_written_and_read(number: int, per: str) -> None:
    assert Count.parse(str(Count(float(number), per))) == Count(float(number), per)
