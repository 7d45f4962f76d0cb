"""The rule of acceptance: its truth table, and measures that are no numbers."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from caiman_pipeline.config.select import SelectSettings
from caiman_pipeline.model.quality import Quality
from caiman_pipeline.quality.accept import Thresholds, select
from caiman_pipeline.quality.in_pixels import idle_thresholds

LIMITS = Thresholds(
    min_snr=3.0,
    snr_lowest=1.0,
    min_probability=0.5,
    min_r_value=0.8,
    r_value_lowest=0.2,
    min_soma_score=0.9,
    soma_score_lowest=0.1,
    min_size_px=10.0,
    max_size_px=400.0,
    max_elongation=3.0,
    max_border=0.3,
    max_saturated=0.5,
    max_likeness=0.7,
    max_nesting=0.5,
    max_motion_share=0.4,
)


def measured(
    snr: list[float], r_value: list[float], size: list[float], soma: list[float], **others: list[float]
) -> Quality:
    rest = {
        "probability": np.nan,
        "elongation": 1.0,
        "border_share": 0.0,
        "saturated_share": 0.0,
        "likeness": 0.0,
        "nesting": 0.0,
        "motion_share": 0.0,
    }
    more = {name: np.array(others.get(name, [value] * len(snr)), np.float32) for name, value in rest.items()}
    return Quality(np.arange(7, 7 + len(snr)), *(np.array(v, np.float32) for v in (snr, r_value, size, soma)), **more)


def judge(
    snr: float, r_value: float, size: float = 50.0, soma: float = np.nan, **others: list[float]
) -> tuple[bool, str]:
    selection = select(measured([snr], [r_value], [size], [soma], **others), LIMITS)
    return bool(selection.accepted[0]), selection.reasons[0]


@pytest.mark.parametrize(
    ("snr", "r_value", "accepted", "reason"),
    [
        (4.0, 0.9, True, "snr at least 3"),
        (4.0, 0.5, True, "snr at least 3"),
        (3.0, 0.5, True, "snr at least 3"),
        (2.0, 0.9, True, "r_value at least 0.8"),
        (2.0, 0.5, False, "snr below 3 and r_value below 0.8"),
        (0.5, 0.9, False, "snr below 1"),
        (4.0, 0.1, False, "r_value below 0.2"),
        (0.5, 0.1, False, "snr below 1"),
    ],
)
def test_any_upper_threshold_accepts_and_any_lower_one_rejects(
    snr: float, r_value: float, accepted: bool, reason: str
) -> None:
    assert judge(snr, r_value) == (accepted, reason)


def test_footprints_too_small_or_too_large_are_rejected() -> None:
    assert judge(9.0, 0.9, 5.0) == (False, "smaller than 10 px")
    assert judge(9.0, 0.9, 900.0) == (False, "larger than 400 px")


def test_all_combinations_follow_the_rule() -> None:
    levels = {"snr": (0.5, 1.0, 2.9, 3.0), "r_value": (0.1, 0.2, 0.7, 0.8), "soma": (0.05, 0.1, 0.8, 0.9)}
    for snr, r_value, soma in product(*levels.values()):
        too_low = snr < 1.0 or r_value < 0.2 or soma < 0.1
        high = snr >= 3.0 or r_value >= 0.8 or soma >= 0.9
        values = [np.float32(v).item() for v in (snr, r_value, soma)]
        limits = replace(
            LIMITS,
            min_r_value=np.float32(0.8).item(),
            r_value_lowest=np.float32(0.2).item(),
            min_soma_score=np.float32(0.9).item(),
            soma_score_lowest=np.float32(0.1).item(),
        )
        quality = measured(*([v] for v in (values[0], values[1], 50.0, values[2])))
        assert bool(select(quality, limits).accepted[0]) == (high and not too_low), (snr, r_value, soma)


def test_all_or_none_accepted_are_whole_arrays() -> None:
    for snr, expected in ((9.0, [True] * 3), (0.1, [False] * 3)):
        selection = select(measured([snr] * 3, [0.9] * 3, [50.0] * 3, [np.nan] * 3), LIMITS)
        assert selection.accepted.dtype == bool
        assert list(selection.accepted) == expected
        assert len(selection.reasons) == len(selection.by_hand) == 3


@pytest.mark.parametrize(
    ("name", "within", "beyond", "field", "reason"),
    [
        ("elongation", 3.0, 3.1, "max_elongation", "more than 3 times longer than wide"),
        ("border_share", 0.25, 0.4, "max_border", "more than 0.3 of it at the border"),
        ("saturated_share", 0.5, 0.6, "max_saturated", "more than 0.5 of it saturated"),
        ("likeness", 0.6, 0.8, "max_likeness", "more than 0.7 like a stronger component"),
        ("nesting", 0.4, 0.6, "max_nesting", "more than 0.5 of it or of a stronger component within the other"),
        ("motion_share", 0.3, 0.5, "max_motion_share", "more than 0.4 of it follows the motion"),
    ],
)
def test_bounds_on_footprints_reject_beyond_them_and_without_them_nothing(
    name: str, within: float, beyond: float, field: str, reason: str
) -> None:
    assert judge(9.0, 0.9, **{name: [within]})[0]
    assert judge(9.0, 0.9, **{name: [beyond]}) == (False, reason)
    assert judge(9.0, 0.9, **{name: [float("nan")]}) == (False, reason)
    without = replace(LIMITS, **{field: None})
    assert select(measured([9.0], [0.9], [50.0], [np.nan], **{name: [beyond]}), without).accepted[0]


def test_a_measure_that_is_not_a_number_rejects() -> None:
    assert judge(9.0, float("nan")) == (False, "r_value is not a number")
    assert judge(float("nan"), 0.95) == (False, "snr is not a number")
    assert judge(float("inf"), 0.95) == (False, "snr is not a number")
    assert judge(float("-inf"), 0.95) == (False, "snr is not a number")


def test_a_soma_score_accepts_and_rejects_like_the_others() -> None:
    assert judge(2.0, 0.5, soma=0.95) == (True, "soma score at least 0.9")
    assert judge(9.0, 0.9, soma=0.05) == (False, "soma score below 0.1")
    assert judge(2.0, 0.5, soma=0.5) == (False, "snr below 3 and r_value below 0.8 and soma score below 0.9")
    assert judge(4.0, 0.5, soma=0.5) == (True, "snr at least 3")


def test_without_scores_the_soma_score_does_not_count() -> None:
    assert judge(4.0, 0.5)[0]
    unused = replace(LIMITS, min_soma_score=None)
    quality = measured([9.0], [0.9], [50.0], [0.01])
    assert select(quality, unused).accepted[0]


def test_one_missing_score_among_scores_rejects() -> None:
    selection = select(measured([9.0, 9.0], [0.9, 0.9], [45.0, 45.0], [0.95, np.nan]), LIMITS)
    assert list(selection.accepted) == [True, False]
    assert selection.reasons[1] == "soma score is not a number"


def test_no_components_give_an_empty_selection() -> None:
    selection = select(measured([], [], [], []), LIMITS)
    assert selection.accepted.shape == (0,)
    assert selection.reasons == ()


@pytest.mark.parametrize(
    ("probability", "accepted", "reason"),
    [(0.5, True, "probability at least 0.5"), (0.49, False, "probability below 0.5")],
)
def test_a_probability_decides_over_the_measures_that_it_is_made_of(
    probability: float, accepted: bool, reason: str
) -> None:
    low = {"snr": 2.0, "r_value": 0.5, "soma": 0.05}
    high = {"snr": 9.0, "r_value": 0.95, "soma": 0.95}
    for measures in (low, high):
        assert judge(**measures, probability=[probability]) == (accepted, reason)


def test_a_probability_does_not_lift_the_other_bounds() -> None:
    assert judge(0.5, 0.9, soma=0.9, probability=[0.99]) == (False, "snr below 1")
    assert judge(9.0, 0.1, soma=0.9, probability=[0.99]) == (False, "r_value below 0.2")
    assert judge(9.0, 0.9, size=5.0, soma=0.9, probability=[0.99]) == (False, "smaller than 10 px")


def test_without_a_bound_on_the_probability_the_thresholds_decide() -> None:
    without = replace(LIMITS, min_probability=None)
    quality = measured([9.0], [0.9], [50.0], [0.95], probability=[0.01])
    assert select(quality, without).accepted[0]
    assert not select(quality, LIMITS).accepted[0]


@pytest.mark.parametrize(
    ("settings", "probability", "idle"),
    [
        ({"min_snr": 5}, 0.7, ["min_snr"]),
        ({"min_snr": 5, "soma_score_lowest": 0.3, "snr_lowest": 1}, 0.7, ["min_snr", "soma_score_lowest"]),
        ({"snr_lowest": 1, "max_size": 2}, 0.7, []),
        ({}, 0.7, []),
        ({"min_snr": 5}, np.nan, []),
        ({"min_snr": 5, "min_probability": None}, 0.7, []),
        ({"min_snr": 5, "use_classifier": False}, 0.7, []),
    ],
)
def test_thresholds_that_decide_nothing_are_told(settings, probability, idle):
    quality = measured([4.0, 4.0], [0.9, 0.9], [50.0, 50.0], [0.5, 0.5], probability=[np.nan, probability])
    assert idle_thresholds(quality, SelectSettings(**settings)) == idle
