"""Settings of the ``sessions`` stage."""

from __future__ import annotations

from typing import ClassVar, Literal

from caiman_pipeline.config.base import Section, key


class SessionsSettings(Section):
    """The same cells over the recordings of one subject and field: settings of the group, not of one recording."""

    stage: ClassVar[str] = "sessions"

    def unused(self) -> set[str]:
        """Return the key that decides which recordings a job is given, not what it does with them."""
        return {"recordings"}

    recordings: Literal["all", "done"] = key(
        "all",
        "",
        "When a field's cells are tracked: once `all` its recordings are done, or over those that are `done`, the "
        "others left out and named. `caiman-pipeline run` does the latter by itself where a recording failed.",
    )
    components: Literal["accepted", "all"] = key(
        "accepted", "", "Which components of a recording take part: those that its selection accepts, or all."
    )
    corrections: str | None = key(
        None,
        "file",
        "CSV of corrections by hand, with the columns group, action, cell, recording, component: `join` makes a "
        "component that cell, `cut` makes it a cell of its own.",
    )
    align_by: Literal["footprints", "optical_flow", "phase_correlation", "nothing"] = key(
        "footprints",
        "",
        "How recordings are brought into one frame: `footprints` (positions of cells relative to each other, images as "
        "second witness; any shift, turn and magnification, then a smooth bend), `optical_flow` or `phase_correlation` "
        "of the images, or `nothing` where pixels are the same in all.",
    )
    least_probability: float = key(0.5, "", "Two components are one cell from this probability on.", ge=0.05, le=0.99)
    max_dist_px: float | None = key(
        None,
        "px",
        "Components whose centres are farther apart in the common frame are not one cell (null: as the data tell).",
        gt=0,
    )
    thresh_cost: float | None = key(
        None,
        "",
        "Components with a larger 1 - intersection / union of their areas are not one cell (null: as the data tell).",
        ge=0,
        le=1,
    )
    enclosed_thr: float | None = key(
        None,
        "",
        "Where one component's area lies within the other's, that cost is at most this (null: as it is).",
        ge=0,
        le=1,
    )
    max_thr: float = key(
        0.2, "", "A component's area is where its footprint is above this share of its peak.", ge=0, lt=1
    )
