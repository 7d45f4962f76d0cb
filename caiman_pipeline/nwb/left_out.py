"""Frames that take part in nothing, as the table of invalid times that every NWB reader knows."""

from __future__ import annotations

from pynwb import NWBFile
from pynwb.epoch import TimeIntervals

from caiman_pipeline.movies.left_out import REASONS, runs
from caiman_pipeline.outcome import Outcome

TEXT = {
    "listed": "frames that the user listed as bad",
    "empty": "frames that are constant, black or without a finite pixel",
    "unlike": "damaged frames, unlike the template",
    "no_shifts": "frames left out of the recording that the shifts come from",
}


def add_invalid_times(nwbfile: NWBFile, outcome: Outcome) -> None:
    """List the stretches of frames that are left out, in seconds; samples of the series are NaN there.

    A stretch begins with its first frame and ends as the next one that takes part begins.

    Parameters
    ----------
    nwbfile : NWBFile
        The file that is laid out; its ``invalid_times`` are set, or left alone where all frames take part.
    outcome : Outcome
        With the record of frames that are left out.
    """
    left_out, rate = outcome.motion.left_out, outcome.info.frame_rate_hz
    if not left_out.any():
        return
    found = [(run, reason) for code, reason in enumerate(REASONS, 1) for run in runs(left_out == code)]
    said = "; ".join(f"{reason}: {TEXT[reason]}" for reason in REASONS if any(reason == r for _, r in found))
    table = TimeIntervals(name="invalid_times", description=f"frames left out of all analysis, and why ({said})")
    for (start, stop), reason in sorted(found):
        table.add_interval(start_time=start / rate, stop_time=stop / rate, tags=[reason])
    nwbfile.invalid_times = table
