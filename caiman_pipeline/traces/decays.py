"""Traces that decay in another time than was stated: a wrong fact, another indicator or temperature."""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.traces.counted_events import events_of
from caiman_pipeline.traces.foopsi import Deconvolution
from caiman_pipeline.traces.timing import Timing

# Bursts stretch the autocovariance: over recordings in mouse cortex with the right time stated, traces decay in 0.9 to
# 1.9 times that at the median, and 0.5 to 5 times each.
FAR_MEDIAN, FAR_TRACE, FAR_SHARE = 2.3, 6.0, 0.1
# Noise passes three times its standard deviation now and then, and has no decay to speak of.
FEWEST_EVENTS, LEAST_HEIGHT, FEWEST_TRACES = 3, 4.0, 3


def own_decays(activity: Deconvolution, timing: Timing) -> FloatArray:
    """Return the 1/e decay of each trace's autocovariance.

    Parameters
    ----------
    activity : Deconvolution
        With the decays that were looked for, frames.
    timing : Timing
        Rate of the traces.

    Returns
    -------
    float32 (K,)
        Decay, s; NaN without clear events.
    """
    if activity.own_decay is None:
        return np.full(len(activity.noise), np.nan, np.float32)
    frames = np.isfinite(activity.denoised).sum(1)
    per_frame, _ = events_of(activity.denoised, activity.noise, height=LEAST_HEIGHT, frame_rate_hz=1.0)
    active = per_frame * frames > FEWEST_EVENTS - 0.5
    return np.where(active, activity.own_decay / timing.frame_rate_hz, np.nan).astype(np.float32)


def far_decays(own_s: FloatArray, stated_s: float) -> BoolArray:
    """Return which traces decay far slower or faster than was stated.

    Parameters
    ----------
    own_s : float (K,)
        Decay of each trace, s; NaN where it is not known.
    stated_s : float
        Decay that was stated, s.

    Returns
    -------
    bool (K,)
        True where it is off by more than a factor of 6; unknown ones are not.

    Examples
    --------
    >>> import numpy as np
    >>> far_decays(np.array([0.5, 9.0, np.nan]), 0.7).tolist()
    [False, True, False]
    """
    return np.asarray((own_s > FAR_TRACE * stated_s) | (own_s < stated_s / FAR_TRACE))


def decay_warning(own_s: FloatArray | None, stated_s: float) -> str:
    """Say that the traces of a recording decay in another time than was stated, or "".

    Parameters
    ----------
    own_s : float (K,), or None
        Decay of each trace, s; NaN where it is not known.
    stated_s : float
        Decay that was stated, s.

    Returns
    -------
    str
        One sentence, empty where the median of three traces or more is within a factor of 2.3 and hardly one is far
        off.
    """
    known = own_s[np.isfinite(own_s)] if own_s is not None else np.zeros(0)
    if not len(known):
        return ""
    middle, far = float(np.median(known)), int(far_decays(known, stated_s).sum())
    several = len(known) >= FEWEST_TRACES and not 1 / FAR_MEDIAN <= middle / stated_s <= FAR_MEDIAN
    if not several and far <= FAR_SHARE * len(known):
        return ""
    worst = known[np.argmax(np.abs(np.log(known / stated_s)))]
    apart = f"; {far} are more than {FAR_TRACE:g} times off, the worst with {worst:.2g} s" if far else ""
    return (
        f"the traces decay in {middle:.2g} s (median of {len(known)} with events), and `decay_time_s` is "
        f"{stated_s:g}{apart}. Is it the indicator's, in seconds, and the frame rate right?"
    )
