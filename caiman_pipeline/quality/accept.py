"""The rule that accepts or rejects a component, on saved measures alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, IntArray
from caiman_pipeline.model.quality import Quality


@dataclass(frozen=True)
class Thresholds:
    """Upper thresholds accept, lower ones reject, ``max`` ones reject above. None: the measure does not count.

    Sizes are in pixels.
    """

    min_probability: float | None
    min_snr: float
    snr_lowest: float
    min_r_value: float
    r_value_lowest: float
    min_soma_score: float | None
    soma_score_lowest: float
    min_size_px: float | None
    max_size_px: float | None
    max_elongation: float | None
    max_border: float | None
    max_saturated: float | None
    max_likeness: float | None
    max_nesting: float | None
    max_motion_share: float | None


# The reason that the table gives for a component that was accepted because its mask was given.
GIVEN = "its mask was given"
# What a decision by hand is in the results' column.
KEPT, LEFT_OUT, UNDECIDED = 1, 0, -1


@dataclass(frozen=True)
class Selection:
    """Which components are accepted, bool (K,), and the rule that decided for each, (K,) texts.

    ``by_hand`` is int8 (K,): 1 where somebody decided to keep a component, 0 to leave it out, -1 where nobody did.
    """

    ids: IntArray
    accepted: BoolArray
    reasons: tuple[str, ...]
    by_hand: IntArray


@dataclass(frozen=True)
class _Measure:
    """One measure of one component, with the value that accepts and the one below which it rejects."""

    name: str
    value: float
    upper: float
    lower: float


def select(quality: Quality, thresholds: Thresholds) -> Selection:
    """Accept a component if any measure reaches its upper threshold and none is below its lower one.

    Parameters
    ----------
    quality : Quality
        Measures of K components.
    thresholds : Thresholds
        What accepts and what rejects; sizes in pixels.

    Returns
    -------
    Selection
        Which are accepted, and the rule that decided for each.

    Notes
    -----
    A measure that is not a number rejects, with that as the reason. At or above an upper threshold accepts, below a
    lower threshold rejects. Soma scores count where the classifier was run. Where there is a probability
    and a bound on it, that alone accepts; the lower thresholds of the trace and of the footprint's correlation reject
    as before.

    References
    ----------
    Giovannucci et al. 2019, 10.7554/eLife.38173 (the rule of an upper and a lower threshold for each measure)
    """
    scored = thresholds.min_soma_score is not None and bool(np.isfinite(quality.soma_score).any())
    verdicts = []
    for row in range(len(quality.ids)):
        measures = [
            _Measure("snr", float(quality.snr[row]), thresholds.min_snr, thresholds.snr_lowest),
            _Measure("r_value", float(quality.r_value[row]), thresholds.min_r_value, thresholds.r_value_lowest),
        ]
        probability = float(quality.probability[row])
        if thresholds.min_probability is not None and np.isfinite(probability):
            least = thresholds.min_probability
            measures = [replace(m, upper=np.inf) for m in measures]
            measures.append(_Measure("probability", probability, least, least))
        elif scored:
            upper = float(thresholds.min_soma_score or 0.0)
            measures.append(_Measure("soma score", float(quality.soma_score[row]), upper, thresholds.soma_score_lowest))
        verdicts.append(_judge(measures, _out_of_bounds(quality, row, thresholds)))
    accepted = np.array([ok for ok, _ in verdicts], bool)
    reasons = tuple(reason for _, reason in verdicts)
    return Selection(quality.ids, accepted, reasons, np.full(len(accepted), UNDECIDED, np.int8))


def probability_decides(quality: Quality, min_probability: float | None, *, use_classifier: bool) -> bool:
    """Tell whether the probability of a cell accepts, in place of the upper thresholds, for any component.

    Parameters
    ----------
    quality : Quality
        Measures of K components.
    min_probability : float or None
        The bound on it, if any.
    use_classifier : bool
        Whether the classifier, of whose score it is made, has a say.

    Returns
    -------
    bool
        True if it does.
    """
    return use_classifier and min_probability is not None and bool(np.isfinite(quality.probability).any())


def accept_masks(selection: Selection, n_masks: int) -> Selection:
    """Accept the components that start from given masks: their ids are the masks' numbers, from 0 to ``n_masks``.

    Parameters
    ----------
    selection : Selection
        What the thresholds say.
    n_masks : int
        Masks that were given.

    Returns
    -------
    Selection
        The same, with those accepted.
    """
    given = selection.ids < n_masks
    reasons = [GIVEN if is_given else r for is_given, r in zip(given, selection.reasons, strict=True)]
    return replace(selection, accepted=selection.accepted | given, reasons=tuple(reasons))


def _out_of_bounds(quality: Quality, row: int, limits: Thresholds) -> str | None:
    """Return which bound on a footprint, or on its likeness to another or to motion, a component breaks, or None."""
    size = float(quality.size_px[row])
    if limits.min_size_px is not None and not size >= limits.min_size_px:
        return f"smaller than {limits.min_size_px:.3g} px"
    bounds = (
        ("larger than {:.3g} px", size, limits.max_size_px),
        ("more than {:g} times longer than wide", quality.elongation[row], limits.max_elongation),
        ("more than {:g} of it at the border", quality.border_share[row], limits.max_border),
        ("more than {:g} of it saturated", quality.saturated_share[row], limits.max_saturated),
        ("more than {:g} like a stronger component", quality.likeness[row], limits.max_likeness),
        ("more than {:g} of it or of a stronger component within the other", quality.nesting[row], limits.max_nesting),
        ("more than {:g} of it follows the motion", quality.motion_share[row], limits.max_motion_share),
    )
    return next((text.format(most) for text, value, most in bounds if most is not None and not value <= most), None)


def _judge(measures: list[_Measure], out_of_bounds: str | None) -> tuple[bool, str]:
    for one in measures:
        if not np.isfinite(one.value):
            return False, f"{one.name} is not a number"
    for one in measures:
        if one.value < one.lower:
            return False, f"{one.name} below {one.lower:g}"
    if out_of_bounds is not None:
        return False, out_of_bounds
    for one in measures:
        if one.value >= one.upper:
            return True, f"{one.name} at least {one.upper:g}"
    return False, " and ".join(f"{one.name} below {one.upper:g}" for one in measures)
