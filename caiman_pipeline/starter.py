"""A starter config and recordings sheet for a folder of movies: what the files tell is filled in, the rest marked."""

from __future__ import annotations

import csv
import glob
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from caiman_pipeline.config.generate import config_yaml, schema_json
from caiman_pipeline.config.indicators import hint as decay_hint
from caiman_pipeline.config.recording import REQUIRED
from caiman_pipeline.config.sheet import MAY_STAY_OPEN, PLACEHOLDER
from caiman_pipeline.errors import PipelineError
from caiman_pipeline.io.atomic import write_text
from caiman_pipeline.io.metadata import as_text, read_metadata
from caiman_pipeline.io.readers import FORMATS, natural_key, open_file
from caiman_pipeline.io.results import is_result

COLUMNS = (
    "recording", "files", "frame_rate_hz", "decay_time_s", "cell_diameter", "pixel_size_um", "plane_spacing_um",
    "axes", "dataset", "channel", "planes", "species", "indicator", "subject_id", "session_start",
)  # fmt: skip
READING = ("axes", "dataset", "channel", "planes")
EMPTY_SHEET = (
    "# One row per recording, tab-separated. `caiman-pipeline init FOLDER` fills this in for a folder of movies;\n"
    "# config/README.md explains the columns, config/examples has rows to copy. Lines with # are ignored.\n"
    + "\t".join(COLUMNS) + "\n"
)  # fmt: skip
NOTES = f"""\
# Written by `caiman-pipeline init`. Replace every {PLACEHOLDER}, then run `caiman-pipeline check`.
# Files whose names differ only in their last number make one recording; `init --separate` gives each a row.
# species (Latin, like Danio rerio) and indicator go into the NWB file; leave open what is not known.
# decay_time_s, s, is the indicator's (docs/indicators.md): {decay_hint()}.
# cell_diameter: like 12 um, 11 px.
"""


@dataclass(frozen=True)
class Draft:
    """A row of the starter sheet: cells by column, what was found, and what is the matter with the files, if any."""

    cells: dict[str, str]
    n_files: int
    found: str
    problem: str = ""


def find_movies(folder: Path) -> list[Path]:
    """Return the movie files below ``folder``, in natural order, without hidden folders and the pipeline's own files.

    Raises
    ------
    PipelineError
        If the folder does not exist or holds no movie.
    """
    if not folder.is_dir():
        raise PipelineError(f"{folder}: no such folder. Give the folder that holds the movies.")
    found = []
    for place, folders, names in os.walk(folder):
        stores = [f for f in folders if f.endswith(".zarr")]
        folders[:] = [f for f in folders if not f.startswith(".") and f not in stores]
        movies = [n for n in names if Path(n).suffix.lower() in FORMATS and not n.startswith(".")]
        found += [path for n in (*movies, *stores) if not is_result(path := Path(place) / n)]
    if not found:
        raise PipelineError(f"{folder}: no movies found. Looked for files ending in {', '.join(FORMATS)}.")
    return sorted(found, key=natural_key)


def group_files(paths: list[Path], *, separate: bool = False) -> list[list[Path]]:
    """Put files of one folder whose names differ only in their last number together, in natural order.

    ``separate`` leaves each file alone.
    """
    if separate:
        return [[path] for path in sorted(paths, key=natural_key)]
    groups: dict[tuple[Path, str], list[Path]] = {}
    for path in sorted(paths, key=natural_key):
        groups.setdefault((path.parent, _last_number_as("#", path)), []).append(path)
    return list(groups.values())


def _last_number_as(text: str, path: Path) -> str:
    return re.sub(r"\d+(\D*)$", rf"{text}\1", path.stem) + path.suffix


def draft_rows(groups: list[list[Path]], base: Path, given: Mapping[str, str]) -> list[Draft]:
    """Describe each group of files as a row of the sheet, paths relative to ``base``.

    ``given`` holds facts that the user stated for all recordings; they win over what files say.
    """
    taken: set[str] = set()
    return [_draft(group, _unique_id(group, taken), base, given) for group in groups]


def _draft(group: list[Path], name: str, base: Path, given: Mapping[str, str]) -> Draft:
    asked = dict.fromkeys((*REQUIRED, *MAY_STAY_OPEN), PLACEHOLDER)
    cells = {"recording": name, "files": _files_cell(group, base), **asked, **given}
    try:
        metadata = read_metadata(group[0], given.get("dataset"))
        stated = {k: as_text(v) for k, v in vars(metadata).items() if v is not None}
        cells = cells | stated | dict(given)
        reader = open_file(
            group[0], given.get("axes"), given.get("dataset"), channel=given.get("channel"), planes=given.get("planes")
        )
    except PipelineError as error:
        unknown = {column: PLACEHOLDER for column in READING if f"`{column}` column" in str(error)}
        return Draft(cells | unknown, len(group), f"{len(group)} file(s)", str(error))
    size = " x ".join(map(str, reader.dims))
    found = f"{len(group)} file(s), the first with {reader.n_frames} frames of {size}, {reader.dtype}"
    return Draft(cells, len(group), found)


def _unique_id(group: list[Path], taken: set[str]) -> str:
    """Name a recording after its files, with the folder's name where that is needed to tell it from others."""
    stem = group[0].name.split(".")[0]
    stem = re.sub(r"[\W_-]*\d+$", "", stem) if len(group) > 1 else stem
    for text in (stem, f"{group[0].parent.name}_{stem}", *(f"{stem}_{i}" for i in range(2, 10**6))):
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")[:100]
        if name and name.casefold() not in taken:
            taken.add(name.casefold())
            return name
    raise AssertionError("names run out")


def _files_cell(group: list[Path], base: Path) -> str:
    """Write files as one glob where that finds just them, else as a list."""
    shown = [_relative(path, base) for path in group]
    if len(group) > 1 and not any(glob.has_magic(s) for s in shown):
        pattern = _last_number_as("*", group[0])
        if sorted(glob.glob(str(group[0].parent / pattern))) == sorted(map(str, group)):
            return str(Path(shown[0]).with_name(pattern))
    unusable = [s for s in shown if ";" in s or "\n" in s]
    if unusable:
        raise PipelineError(f"{unusable[0]!r}: a file's name cannot hold ';' or line breaks in the sheet. Rename it.")
    return "; ".join(shown)


def _relative(path: Path, base: Path) -> str:
    path, base = path.absolute(), base.absolute()
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)


def sheet_text(drafts: list[Draft]) -> str:
    """Return the starter sheet; optional columns are there where they say something."""
    wanted = [c for c in COLUMNS if c not in ("plane_spacing_um", *READING) or any(c in d.cells for d in drafts)]
    table = io.StringIO()
    writer = csv.writer(table, delimiter="\t", lineterminator="\n")
    writer.writerow(wanted)
    writer.writerows([d.cells.get(c, "") for c in wanted] for d in drafts)
    return NOTES + table.getvalue()


def write_starter(
    folder: Path, base: Path, sheet: Path, given: Mapping[str, str], *, separate: bool = False
) -> tuple[list[Draft], list[Path]]:
    """Write a sheet for the movies below ``folder``, and config and schema into ``base/config`` where there are none.

    ``separate`` makes each file a recording of its own.

    Returns
    -------
    The rows, and the files written.

    Raises
    ------
    PipelineError
        If there are no movies, or the sheet is there already and lists anything.
    """
    if sheet.exists() and sheet.read_text(encoding="utf-8") != EMPTY_SHEET:
        raise PipelineError(f"{sheet}: there already, and never overwritten. Give another file with --sheet.")
    drafts = draft_rows(group_files(find_movies(folder), separate=separate), base, given)
    write_text(sheet, sheet_text(drafts))
    written = [sheet]
    for name, text in (("config.yaml", config_yaml()), ("schema.json", schema_json())):
        path = base / "config" / name
        if not path.exists():
            write_text(path, text)
            written.append(path)
    return drafts, written
