"""How fast calcium indicators are: the one table from which the sheet's hints and the documentation are made.

What counts for an analysis is how long a transient lasts in a cell, with its bursts, buffers and temperature. Where
spikes and light were recorded together, ``decay_time_s`` is what such recordings show
(``tests/benchmarks/bench_decay_times.py``); else it follows from the response to single spikes, which is shorter.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

DATABASE = "10.1038/s41593-021-00895-5"
# A stated decay time that is so many times off what the table has for the indicator is asked about.
FAR_FROM_TABLE = 5.0
RISES = {"peak": "the peak", "half": "half the peak"}


@dataclass(frozen=True)
class Indicator:
    """Kinetics of an indicator in one kind of preparation.

    Attributes
    ----------
    recorded_s : lower quartile, median and upper quartile of the 1/e decay over recordings with known spikes
    recordings : how many these are
    half_decay_ms : of the response to a single spike, from its peak
    rise_ms, rise_of : of the same response, and what it is the time of
    spike_conditions : where single spikes were measured
    dois : of the recordings, and of the response to single spikes
    """

    name: str
    preparation: str
    dois: tuple[str, ...]
    recorded_s: tuple[float, float, float] | None = None
    recordings: int = 0
    half_decay_ms: float | None = None
    rise_ms: float | None = None
    rise_of: str = ""
    spike_conditions: str = ""

    @property
    def spike_decay_s(self) -> float | None:
        """1/e decay of the response to a single spike."""
        return None if self.half_decay_ms is None else self.half_decay_ms / 1000 / math.log(2)

    @property
    def decay_time_s(self) -> float:
        """What to state for a recording, two digits."""
        value = self.recorded_s[1] if self.recorded_s else self.spike_decay_s
        assert value is not None, f"{self.name} has no decay time"
        return float(f"{value:.2g}")


IN_VIVO, CULTURE = "mouse V1, in vivo", "cultured neurons"
CHEN, ZHANG = "10.1038/nature12354", "10.1038/s41586-023-05828-9"
AKERBOOM, DANA = "10.1523/JNEUROSCI.2601-12.2012", "10.7554/eLife.12727"
INDICATORS = (
    Indicator("GCaMP5k", IN_VIVO, (AKERBOOM, DATABASE), (0.93, 0.93, 1.64), 9),
    Indicator("GCaMP6f", IN_VIVO, (CHEN, DATABASE), (0.32, 0.57, 0.73), 33, 142, 45, "peak", IN_VIVO),
    Indicator("GCaMP6s", IN_VIVO, (CHEN, DATABASE), (0.73, 0.86, 1.14), 43, 550, 179, "peak", IN_VIVO),
    Indicator("jGCaMP7f", CULTURE, (ZHANG,), None, 0, 181.9, 24.8, "half", CULTURE),
    Indicator("jGCaMP8f", CULTURE, (ZHANG,), None, 0, 67.4, 7.1, "half", CULTURE),
    Indicator("jGCaMP8m", CULTURE, (ZHANG,), None, 0, 118.3, 7.1, "half", CULTURE),
    Indicator("jGCaMP8s", CULTURE, (ZHANG,), None, 0, 306.7, 10.1, "half", CULTURE),
    Indicator("jRGECO1a", IN_VIVO, (DANA, DATABASE), (0.53, 0.73, 0.79), 21),
    Indicator("R-CaMP1.07", "mouse CA3", (DATABASE,), (0.41, 0.48, 0.57), 58),
    Indicator("OGB-1", IN_VIVO, (DATABASE,), (0.71, 0.93, 1.21), 24),
    Indicator("GCaMP6f", "zebrafish telencephalon", (DATABASE,), (1.78, 2.27, 2.83), 54),
    Indicator("GCaMP6f", "mouse V1, in vivo, PV interneurons", (DATABASE,), (1.93, 2.27, 2.95), 36),
)


def plain_name(text: str) -> str:
    """Return an indicator's name without case, blanks, dashes and the j of its maker: jGCaMP7f is GCaMP7f.

    Parameters
    ----------
    text : str
        A name as users write it.

    Returns
    -------
    str
        A name to compare by.

    Examples
    --------
    >>> plain_name("jGCaMP-7f"), plain_name("GCaMP 7f")
    ('gcamp7f', 'gcamp7f')
    """
    return re.sub(r"^j(?=gcamp|rgeco|rcamp)", "", re.sub(r"[^a-z0-9]", "", text.lower()))


def find_indicators(text: str) -> list[Indicator]:
    """Return the rows of an indicator, of several preparations; none where the table does not have it.

    Parameters
    ----------
    text : str
        A name as users write it.

    Returns
    -------
    list of Indicator
        Rows of the table.

    Examples
    --------
    >>> [row.preparation for row in find_indicators("gcamp6s")]
    ['mouse V1, in vivo']
    """
    return [row for row in INDICATORS if plain_name(row.name) == plain_name(text)]


def unlike_table(indicator: str, decay_time_s: float) -> str:
    """Say that a decay time is far from all that is known of an indicator, or "".

    Parameters
    ----------
    indicator : str
        A name as users write it.
    decay_time_s : float
        1/e decay that was stated, s.

    Returns
    -------
    str
        A sentence, or empty.
    """
    rows = find_indicators(indicator)
    known = [v for row in rows for v in (*(row.recorded_s or ()), row.spike_decay_s) if v is not None]
    if not known or min(known) / FAR_FROM_TABLE <= decay_time_s <= max(known) * FAR_FROM_TABLE:
        return ""
    return (
        f"`decay_time_s` is {decay_time_s:g}, and {rows[0].name} decays in {min(known):.2g} to {max(known):.2g} s. "
        "Is it in seconds, and the indicator right?"
    )


def hint() -> str:
    """Return the decay times to state, as one line: a name and its value each, of the first preparation listed."""
    first = {row.name: row.decay_time_s for row in reversed(INDICATORS)}
    return ", ".join(f"{name} {first[name]:g}" for name in dict.fromkeys(row.name for row in INDICATORS))


PAGE = """\
# Indicators

<!-- Written by `python -m caiman_pipeline.config.generate`; edit caiman_pipeline/config/indicators.py instead. -->

`decay_time_s` is the time in which a transient falls to 1/e, in the cells and at the temperature of the recording.
Since the traces have their say (`traces.time_constants`), a value right to a factor of two does; the stage `traces`
warns where the traces decay in another time.

{table}

*As recorded*: median (quartiles) over recordings with simultaneous spikes, bursts and all
(`tests/benchmarks/bench_decay_times.py`). *Single spike*: the published response to one spike, its half-decay time over
0.69; transients in cells last longer than that. `decay_time_s` is what was recorded where that is known, else that of
single spikes: there, rather state more than less. In cold animals, and in cells that fire on and on, transients last
several times longer: compare the rows of GCaMP6f.

An indicator that is not here: take the half-decay time from its paper, divide it by 0.69, and look at what `traces`
says of the traces' own decay.

References: {references}
"""


def indicators_page() -> str:
    """Return the text of ``docs/indicators.md``."""
    head = "| indicator | preparation | `decay_time_s` | as recorded | single spike: decay, rise | references |"
    rows = [_row(row) for row in INDICATORS]
    dois = dict.fromkeys(doi for row in INDICATORS for doi in row.dois)
    return PAGE.format(table="\n".join([head, "|---" * 6 + "|", *rows]), references=", ".join(map(_link, dois)) + ".")


def _row(row: Indicator) -> str:
    low, middle, high = row.recorded_s or (0.0, 0.0, 0.0)
    recorded = f"{middle:g} s ({low:g} to {high:g}), n = {row.recordings}" if row.recorded_s else ""
    spike = f"{row.spike_decay_s:.2g} s, {row.rise_ms:g} ms to {RISES[row.rise_of]}" if row.spike_decay_s else ""
    dois = ", ".join(map(_link, row.dois))
    return f"| {row.name} | {row.preparation} | {row.decay_time_s:g} | {recorded} | {spike} | {dois} |"


def _link(doi: str) -> str:
    return f"[{doi}](https://doi.org/{doi})"
