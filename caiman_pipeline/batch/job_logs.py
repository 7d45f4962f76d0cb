"""The order of the stages, by which jobs, logs and records are listed."""

from __future__ import annotations

from collections.abc import Iterable

STAGE_ORDER = (
    "inspect",
    "motion_template",
    "motion_correct",
    "memmap_join",
    "summary_images",
    "patch_cnmf",
    "merge",
    "refine",
    "evaluate",
    "traces",
    "select",
    "export_nwb",
    "report",
)


def in_order(names: Iterable[str]) -> list[str]:
    """Sort names that start with a stage by the order of the stages; unknown ones come last."""

    def place(name: str) -> tuple[int, str]:
        stage = name.split(".", 1)[0]
        return (STAGE_ORDER.index(stage) if stage in STAGE_ORDER else len(STAGE_ORDER), name)

    return sorted(names, key=place)
