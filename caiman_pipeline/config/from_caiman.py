"""What became of CaImAn's functions and parameters: the table ``coverage.tsv``, its page, and answers to their names.

Each row names one function, argument, result or parameter of CaImAn's reference, and says whether it works here, works
in part, is replaced by another way, or is absent, where its counterpart is, and what differs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("coverage.tsv")
STATES = ("works", "partly", "replaced", "absent")
# What a counterpart can be: a key of the config, a verb with an option, a public name of the package, a stage, a
# result, a module, a column of the sheet.
KINDS = ("key", "verb", "api", "stage", "result", "module", "sheet")
PARAMETERS = "Params: "
HEAD = """# Coming from CaImAn

This page is made from `caiman_pipeline/config/coverage.tsv`, which a test compares with the keys, verbs and
functions that exist. It names every function, argument, result and parameter of CaImAn's reference, and says what
it is here: it **works**, works **partly**, is **replaced** by another way, or is **absent**. A key of the config
that is a CaImAn name is answered with the name here.

## What differs in meaning

- **Axes.** Movies are (T, H, W) or (T, D, H, W), pixels in C order; there (T, x, y[, z]), pixels in Fortran order.
- **Shifts** are the displacement of the scene, which correcting takes off; there what is added to correct it, so
  the signs differ.
- **Units.** Times are seconds, sizes carry their unit (`12 um`, `11 px`); there frames and pixels. A tile's size is
  its whole size; there `rf` is half of it. `recording.pixel_size_um` is micrometres per pixel; there `dxy` is
  pixels per micrometre.
- **Facts** such as the frame rate and the decay time are asked for; there they have defaults (30 Hz, 0.4 s).
- **Quantiles** of movies are shares from 0 to 1, there per cent; `traces.f0_quantile` is per cent in both.
- **Frames that are left out** are NaN in all traces and movies; there they are not known.
- **Acceptance** asks for any upper bound and no lower one in both; here more measures count, and bounds have other
  defaults (`select.r_value_lowest` is 0.3, there -1).
- **Time constants** lie between the indicator's, which are given, and the trace's own, unless `traces.time_constants`
  says otherwise; there they are estimated from each trace alone (`p`, `lags`, `fudge_factor`).
- **`s_min`** is in the unit of the trace, and only for the penalty `l0`.
- **Neighbours** of a pixel in the correlation image are the 8 around it, in volumes also those above and below.

## How much of it there is
"""


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes
    ----------
    chapter, name : where and how CaImAn's reference calls it
    state : one of ``STATES``
    here : its counterparts, each a kind and a name
    note : what differs, or why it is absent
    """

    chapter: str
    name: str
    state: str
    here: tuple[tuple[str, str], ...]
    note: str


@cache
def coverage() -> tuple[Row, ...]:
    """Return all rows of the table."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()[1:]
    return tuple(_row(*line.split("\t")) for line in lines)


def _row(chapter: str, name: str, state: str, here: str, note: str) -> Row:
    parts = (one.strip().partition(" ") for one in here.split(";") if one.strip())
    return Row(chapter, name, state, tuple((kind, what) for kind, _, what in parts), note)


def answer_to(name: str) -> str:
    """Return what to say to a key that is a parameter of CaImAn, or nothing where it is none.

    Parameters
    ----------
    name : the key, without its section

    Returns
    -------
    str
        The counterparts by their keys, or that there is none and why.
    """
    rows = [row for row in coverage() if row.chapter.startswith(PARAMETERS) and row.name == name]
    if not rows:
        return ""
    places = dict.fromkeys(f"`{what}`" for row in rows for kind, what in row.here if kind == "key")
    notes = "; ".join(dict.fromkeys(row.note for row in rows if row.note))
    words = f" ({notes})" if notes else ""
    if places:
        return f"CaImAn's `{name}` is {' or '.join(places)} here{words}"
    return f"CaImAn's `{name}` has no key here{words}"


def from_caiman_page() -> str:
    """Return the page for users of CaImAn."""
    rows = coverage()
    chapters = list(dict.fromkeys(row.chapter for row in rows))
    lines = [HEAD, "| chapter | " + " | ".join(STATES) + " |", "|---|" + "---|" * len(STATES)]
    for chapter in (*chapters, "all"):
        states = [row.state for row in rows if chapter in (row.chapter, "all")]
        lines.append(f"| {chapter} | " + " | ".join(str(states.count(state)) for state in STATES) + " |")
    for chapter in chapters:
        lines += ["", f"## {chapter}", "", "| CaImAn | state | here | what differs |", "|---|---|---|---|"]
        lines += [_line(row) for row in rows if row.chapter == chapter]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    cells = (f"`{row.name}`", row.state, ", ".join(_shown(row.here)), row.note)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _shown(here: Iterable[tuple[str, str]]) -> list[str]:
    words = {
        "key": "",
        "api": "",
        "verb": "verb ",
        "stage": "stage ",
        "result": "result ",
        "module": "",
        "sheet": "column ",
    }
    return [f"{words[kind]}`{what}`" for kind, what in here]
