"""The rule that accepts or rejects a component, on saved measures alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caiman_pipeline.types import FloatArray, Quality


@dataclass(frozen=True)
class Thresholds:
    """Upper thresholds accept, lower ones reject; sizes in pixels, None for no limit."""

    min_snr: float
    snr_lowest: float
    min_r_value: float
    r_value_lowest: float
    min_size_px: float | None
    max_size_px: float | None


@dataclass(frozen=True)
class Selection:
    """Which components are accepted, bool (K,), and the rule that decided for each, (K,) texts."""

    ids: FloatArray
    accepted: FloatArray
    reasons: tuple[str, ...]


def select(quality: Quality, thresholds: Thresholds) -> Selection:
    """Accept a component if any measure reaches its upper threshold and none is below its lower one.

    Notes
    -----
    A measure that is not a number rejects, with that as the reason. At or above an upper threshold accepts, below a
    lower threshold rejects.
    """
    verdicts = [
        _judge(float(snr), float(r), float(size), thresholds)
        for snr, r, size in zip(quality.snr, quality.r_value, quality.size_px, strict=True)
    ]
    accepted = np.array([ok for ok, _ in verdicts], bool)
    return Selection(quality.ids, accepted, tuple(reason for _, reason in verdicts))


def _judge(snr: float, r_value: float, size_px: float, limits: Thresholds) -> tuple[bool, str]:
    for name, value in (("snr", snr), ("r_value", r_value), ("size", size_px)):
        if not np.isfinite(value) and not (name == "snr" and value == np.inf):
            return False, f"{name} is not a number"
    if snr < limits.snr_lowest:
        return False, f"snr below {limits.snr_lowest:g}"
    if r_value < limits.r_value_lowest:
        return False, f"r_value below {limits.r_value_lowest:g}"
    if limits.min_size_px is not None and size_px < limits.min_size_px:
        return False, f"smaller than {limits.min_size_px:g} px"
    if limits.max_size_px is not None and size_px > limits.max_size_px:
        return False, f"larger than {limits.max_size_px:g} px"
    if snr >= limits.min_snr:
        return True, f"snr at least {limits.min_snr:g}"
    if r_value >= limits.min_r_value:
        return True, f"r_value at least {limits.min_r_value:g}"
    return False, f"snr below {limits.min_snr:g} and r_value below {limits.min_r_value:g}"
