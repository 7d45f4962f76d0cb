"""Facts checked against each other before anything is computed: units mistaken, and what archives refuse."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from caiman_pipeline.config.indicators import unlike_table

if TYPE_CHECKING:
    from caiman_pipeline.config.recording import RecordingSettings
    from caiman_pipeline.model.movie import Dims

# Frames in a decay time: with fewer than the first nothing of a transient is left in the next frame, and the rate is
# in another unit; with fewer than the second a transient is a single frame.
FEWEST_FRAMES, FEW_FRAMES = 0.1, 0.5
# No indicator in a neuron decays so slowly: milliseconds were given.
LONGEST_DECAY_S = 60.0
# Cells of fewer pixels across than this have no shape, and of more than this share of the frame there are but few.
SMALLEST_CELL_PX, LARGEST_SHARE = 3.0, 0.5
# What DANDI puts other signs in the place of, or refuses, in the name of a file that it makes from the subject's.
REFUSED, REPLACED = r"[/\\\x00-\x1f]", r"[\s*<>:|\"'?%@;]"


def wrong_timing(frame_rate_hz: float, decay_time_s: float) -> str:
    """Say why frame rate and decay time cannot both be right, or "".

    Parameters
    ----------
    frame_rate_hz : float
        Frames (or volumes) per second.
    decay_time_s : float
        1/e decay, s.

    Returns
    -------
    str
        A sentence, or empty.

    Examples
    --------
    >>> wrong_timing(30.0, 0.7)
    ''
    >>> wrong_timing(30.0, 700.0)[:31]
    '`decay_time_s` is 700: no indic'
    """
    frames = frame_rate_hz * decay_time_s
    if decay_time_s > LONGEST_DECAY_S:
        return (
            f"`decay_time_s` is {decay_time_s:g}: no indicator decays so slowly. Give it in seconds, not milliseconds."
        )
    if frames >= FEWEST_FRAMES:
        return ""
    return (
        f"`frame_rate_hz` is {frame_rate_hz:g} and `decay_time_s` {decay_time_s:g}: a transient would last "
        f"{frames:.2g} frames, and none could be seen. Give frames per second ({1 / frame_rate_hz:.3g} Hz, if "
        f"{frame_rate_hz:g} s is the time between frames) and the decay in seconds."
    )


def wrong_subject(subject_id: str | None) -> str:
    """Say what archives refuse in a subject's name, or "".

    Parameters
    ----------
    subject_id : str or None
        What a user wrote.

    Returns
    -------
    str
        A sentence, or empty.
    """
    if subject_id and (re.search(REFUSED, subject_id) or subject_id != subject_id.strip()):
        return (
            f"`subject_id` is {subject_id!r}: archives such as DANDI refuse slashes, line breaks and blanks at its "
            "ends, since it becomes the name of a folder. Write it with dashes, like "
            f"{re.sub(r'[^A-Za-z0-9]+', '-', subject_id).strip('-')!r}."
        )
    return ""


def doubts_of_sheet(facts: RecordingSettings, dims: Dims) -> list[str]:
    """Return what is possible but unlikely in all that is written of a recording with frames of ``dims``."""
    cell = facts.cell_diameter.in_pixels(facts.pixel_um()) if facts.cell_diameter else None
    found = [_subject(facts.subject_id), *doubts(facts.model_copy(update={"cell_diameter": cell}), dims)]
    if facts.indicator and facts.decay_time_s:
        found.append(unlike_table(facts.indicator, facts.decay_time_s))
    return [text for text in found if text]


def doubts(facts: RecordingSettings, dims: Dims) -> list[str]:
    """Return what is unlikely in rate, decay time and the cell's diameter, in pixels, for frames of ``dims``.

    Parameters
    ----------
    facts : RecordingSettings
        Lengths in any unit.
    dims : tuple of int
        (H, W) or (D, H, W).

    Returns
    -------
    list of str
        Sentences, or none.
    """
    return [text for text in (_few_frames(facts), *_cell(facts, dims)) if text]


def _few_frames(facts: RecordingSettings) -> str:
    frames = (facts.frame_rate_hz or 0) * (facts.decay_time_s or 0)
    if not 0 < frames < FEW_FRAMES:
        return ""
    return (
        f"a transient lasts {frames:.2g} frames (`decay_time_s` x `frame_rate_hz`): its decay is not seen, and "
        "activity is hardly told from noise. Are both right?"
    )


def _subject(subject_id: str | None) -> str:
    if not subject_id or wrong_subject(subject_id) or not re.search(REPLACED, subject_id):
        return ""
    return f"`subject_id` is {subject_id!r}: in names of files, DANDI writes dashes for blanks and signs."


def _cell(facts: RecordingSettings, dims: Dims) -> list[str]:
    """Return what is unlikely in the cell's diameter, in pixels of the frame."""
    if facts.cell_diameter is None:
        return []
    cell = facts.cell_diameter.per_axis(len(dims))[-2:]
    shown, frame = " x ".join(f"{c:.3g}" for c in cell), f"{dims[-2]} x {dims[-1]}"
    if max(cell) < SMALLEST_CELL_PX:
        return [f"`cell_diameter` is {shown} px here, too small for a shape. Are its unit and the pixel size right?"]
    if any(c > LARGEST_SHARE * n for c, n in zip(cell, dims[-2:], strict=True)):
        return [f"`cell_diameter` is {shown} px here, more than half of a frame of {frame} px. Is its unit right?"]
    return []
