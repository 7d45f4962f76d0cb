"""The table of components as CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from caiman_pipeline.model.arrays import AnyArray
from caiman_pipeline.results.atomic import whole_file


def write_table(path: Path | str, table: Mapping[str, AnyArray]) -> None:
    """Write the table of components as CSV with a header, whole or not at all; numbers keep their full precision.

    Parameters
    ----------
    path : path
        The file to make.
    table : dict of arrays (K,)
        What ``component_table`` lays out.

    Raises
    ------
    PipelineError
        If the disk is full or the folder cannot be written.
    """
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(zip(*(_cells(values) for values in table.values()), strict=True))


def _cells(values: AnyArray) -> list[str]:
    if values.dtype == bool:
        return ["true" if v else "false" for v in values]
    return [str(v) for v in values]
