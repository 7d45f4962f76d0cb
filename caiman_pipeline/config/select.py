"""Settings of the ``select`` stage."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from caiman_pipeline.config.base import Section, key


class SelectSettings(Section):
    """Thresholds on the measures: accepted if any upper one is reached and no lower one is missed."""

    stage: ClassVar[str] = "select"

    curation: str | None = key(
        None,
        "file",
        "CSV of decisions by hand (roi_id, keep, note), which overrule the thresholds; the sheet's "
        "column `select.curation` names a recording's own.",
    )
    judge_masks: bool = key(
        False,
        "",
        "Judge components that start from given masks (`init: seeded`) by the thresholds too; else they are accepted.",
    )
    min_probability: float | None = key(
        0.5,
        "",
        "Probability of a cell from which a component is accepted, and below which it is rejected; the thresholds on "
        "soma score, `min_snr` and `min_r_value` decide where it is empty, without a soma score, and in volumes.",
        ge=0,
        le=1,
    )
    min_snr: float = key(2.5, "", "Trace SNR from which a component is accepted.", ge=0)
    snr_lowest: float = key(0.5, "", "Components with a lower trace SNR are rejected.", ge=0)
    min_r_value: float = key(0.8, "", "Spatial correlation from which a component is accepted.", ge=-1, le=1)
    r_value_lowest: float = key(0.3, "", "Components with a lower spatial correlation are rejected.", ge=-1, le=1)
    use_classifier: bool = key(True, "", "Let the soma score decide as well, where there is one.")
    min_soma_score: float = key(0.9, "", "Soma score from which a component is accepted.", ge=0, le=1)
    soma_score_lowest: float = key(0.1, "", "Components with a lower soma score are rejected.", ge=0, le=1)
    min_size: float | None = key(
        0.1,
        "",
        "Smallest footprint at half its peak, as a share of a cell of the given diameter; empty for none.",
        ge=0,
    )
    max_size: float | None = key(
        4.0, "", "Largest footprint at half its peak, as a multiple of a cell; empty for none.", gt=0
    )
    max_elongation: float | None = key(
        None, "", "Most times that a footprint is longer than wide; empty for no bound.", ge=1
    )
    max_border: float | None = key(
        None,
        "",
        "Most of a footprint's weight next to the end of what is seen; empty for no bound.",
        ge=0,
        le=1,
    )
    max_saturated: float | None = key(
        None, "", "Most of a footprint's weight on saturated pixels; empty for no bound.", ge=0, le=1
    )
    max_likeness: float | None = key(
        None,
        "",
        "Most that a component may repeat a stronger one, in footprint and trace; empty for no bound.",
        ge=0,
        le=1,
    )
    max_nesting: float | None = key(
        0.5,
        "",
        "Most of a component that may lie within a stronger one's outline, or of that one in its, in planes; empty for "
        "no bound, where cells lie above one another.",
        ge=0,
        le=1,
    )
    max_nesting_volume: float | None = key(
        0.3,
        "",
        "The same in volumes, where cells that move across planes leave pieces of themselves; empty for no bound.",
        ge=0,
        le=1,
    )
    max_motion_share: float | None = key(
        0.5,
        "",
        "Most of a trace's variance that the displacement of the frames may explain; empty for no bound.",
        ge=0,
        le=1,
    )

    @model_validator(mode="after")
    def _ordered(self) -> SelectSettings:
        lowest = (self.snr_lowest, self.r_value_lowest, self.soma_score_lowest)
        if any(a > b for a, b in zip(lowest, (self.min_snr, self.min_r_value, self.min_soma_score), strict=True)):
            raise ValueError("a lower threshold lies above its upper one, so nothing could be accepted by it")
        return self
