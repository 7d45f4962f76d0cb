"""Settings of the ``traces`` stage."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import ValidationInfo, field_validator

from caiman_pipeline.config.base import Section, key


class TraceSettings(Section):
    """Deconvolution and DF/F of every component."""

    stage: ClassVar[str] = "traces"

    method: Literal["oasis", "convex"] = key(
        "oasis", "", "Solver: exact active sets, or a convex solver (needs cvxpy, slow) as a check of penalty l1."
    )
    solver: Literal["CLARABEL", "SCS", "ECOS"] = key("CLARABEL", "", "Solver that cvxpy is to use with method convex.")
    polarity: Literal[1, -1] = key(
        1,
        "",
        "Activity makes the trace brighter (1) or darker (-1, a negative-going indicator); of traces alone: "
        "components are looked for where it gets brighter.",
    )
    order: Literal[0, 1, 2] = key(
        2,
        "",
        "Order of the calcium's autoregression: 2 rise and decay, 1 instant rise, 0 no dynamics (activity is the "
        "calcium of the frame).",
    )
    penalty: Literal["l1", "l0", "nonnegative"] = key(
        "l1", "", "Sparsity of activity: l1 set by the noise level, l0 a smallest event (s_min), nonnegative none."
    )
    penalty_bounds: tuple[float, float] = key(
        (1.0, 3.0),
        "noise SD x norm of a transient",
        "Smallest and largest penalty that the noise level may set with l1, in units of what noise alone causes.",
    )
    busy_share: float = key(
        0.5,
        "",
        "With l1, traces whose calcium exceeds the noise in more than this share of frames have no penalty: it would "
        "take more from small events among many than from noise; 1: all have it.",
        ge=0,
        le=1,
    )
    s_min: float = key(
        0.0,
        "",
        "Smallest event with penalty l0, in the unit of trace and activity; negative: in noise SD x "
        "sqrt(1 - decay); 0: set by the noise level.",
    )
    baseline: Literal["free", "nonnegative", "fixed"] = key(
        "free",
        "",
        "Level below the calcium: free above the trace's minimum; nowhere negative, what detrending takes off "
        "included; or fixed at `baseline_level`.",
    )
    baseline_level: float = key(0.0, "trace unit", "Where a fixed baseline is, after detrending, in the trace's unit.")
    detrend_window_s: float = key(
        40.0, "s", "Window of the running quantile that is subtracted before deconvolution; 0: none.", ge=0
    )
    detrend_quantile: float = key(10.0, "%", "Running quantile that is subtracted before deconvolution.", ge=0, le=50)
    linear_range: float = key(
        20.0,
        "noise SD",
        "Fluorescence is taken as proportional to calcium well below this, above it bursts count as "
        "supralinear; 0: proportional throughout.",
        ge=0,
    )
    time_constants: Literal["combined", "given", "estimated"] = key(
        "combined", "", "Decay and rise: those given, estimated from each trace alone, or the decay between the two."
    )
    rise_time_s: float = key(0.05, "s", "Rise time (1/e) of a transient, for order 2 unless estimated.", ge=0)
    estimate_share: float = key(
        0.5, "", "Weight of the trace's own decay against `decay_time_s` with time constants combined.", ge=0, le=1
    )
    autocovariance_s: float = key(
        0.5, "s", "Length of the autocovariance from which the trace's own time constants are estimated.", gt=0
    )
    fudge_factor: float = key(
        1.0, "", "Factor on decay per frame of estimated time constants, against their bias.", gt=0, le=1
    )
    optimize_events: int = key(
        0, "", "Refine the time constants on this many large, isolated events of each trace; 0: no.", ge=0, le=1000
    )
    noise_band: tuple[float, float] = key(
        (0.25, 0.5), "cycles per frame", "Frequencies from which the noise level is estimated."
    )
    noise_average: Literal["mean", "median", "logmexp"] = key(
        "mean", "", "How power is averaged over these frequencies (logmexp: exponential of the mean logarithm)."
    )
    event_height: float = key(
        3.0,
        "noise SD",
        "A maximum of the denoised trace that is this far above its lowest value since the event before is an event.",
        gt=0,
    )
    dff_kind: Literal["dff", "detrended", "dff_over_noise"] = key(
        "dff", "", "DF/F, F - F0 where there is no meaningful F0 (one-photon), or (F - F0) / noise."
    )
    f0_window_s: float = key(40.0, "s", "Window of F0's running quantile.", gt=0)
    f0_from: Literal["model", "trace"] = key(
        "model",
        "",
        "F0 from what the deconvolution leaves of the trace (its running median), or from a running "
        "quantile of the trace, found for each where its quiet level lies.",
    )
    f0_quantile: float | None = key(
        None, "%", "Running quantile of the trace that is F0, in place of what `f0_from` finds.", ge=0, le=100
    )
    f0_fast: bool = key(False, "", "Approximate F0's running quantile by straight lines between knots.")
    dark_level: float = key(0.0, "pixel value", "Pixel value without light (camera offset), which is not part of F0.")

    @field_validator("penalty")
    @classmethod
    def _solved_by_the_method(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("method") == "convex" and value != "l1":
            raise ValueError("method `convex` solves penalty `l1` only: set `method: oasis` for the others")
        return value

    @field_validator("baseline")
    @classmethod
    def _below_the_activity(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("polarity") == -1 and value == "nonnegative":
            raise ValueError("with polarity -1 the baseline lies above the activity: set `free` or `fixed`")
        return value

    @field_validator("penalty_bounds")
    @classmethod
    def _not_negative(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0.0 <= value[0] <= value[1]:
            raise ValueError("two numbers from 0, the lower one first")
        return value

    @field_validator("noise_band")
    @classmethod
    def _ascending(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0.0 <= value[0] < value[1] <= 0.5:
            raise ValueError("two frequencies between 0 and 0.5, the lower one first")
        return value
