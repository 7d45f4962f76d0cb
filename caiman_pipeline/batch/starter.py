"""A starter config and recordings sheet for a folder of movies: what the files tell is filled in, the rest marked."""

from __future__ import annotations

import csv
import glob
import io
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from caiman_pipeline.config.generate import config_yaml, schema_json
from caiman_pipeline.config.indicators import hint as decay_hint
from caiman_pipeline.config.recording import REQUIRED
from caiman_pipeline.config.sheet import COMMENT, MAY_STAY_OPEN, PLACEHOLDER
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.names import natural_key
from caiman_pipeline.movies.metadata import as_text, read_metadata
from caiman_pipeline.movies.readers.foreign import OBJECTS_LEFT_OUT, is_pickle, movie_advice
from caiman_pipeline.movies.readers.open import FORMATS, open_file
from caiman_pipeline.results.atomic import write_text
from caiman_pipeline.results.files import is_result
from caiman_pipeline.stages import path_of

COLUMNS = (
    "recording",
    "files",
    "frame_rate_hz",
    "decay_time_s",
    "cell_diameter",
    "pixel_size_um",
    "plane_spacing_um",
    "axes",
    "dataset",
    "channel",
    "planes",
    "species",
    "indicator",
    "subject_id",
    "session_start",
)
READING = ("axes", "dataset", "channel", "planes")
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


@dataclass(frozen=True)
class Looked:
    """Movies below a folder in natural order, and the files and folders that were left out, by the reason."""

    movies: tuple[Path, ...]
    left_out: dict[str, tuple[Path, ...]]


def look_through(folder: Path) -> Looked:
    """Find the movies below a folder, and say of every other file why it is none.

    Hidden folders and results of the pipeline are left out as a whole.

    Raises
    ------
    PipelineError
        If the folder does not exist.
    """
    if not folder.is_dir():
        raise PipelineError(f"{folder}: no such folder. Give the folder that holds the movies.")
    movies, left_out = [], dict[str, list[Path]]()
    for place, folders, names in os.walk(folder):
        stores = [f for f in folders if f.endswith(".zarr")]
        whole = {f: reason for f in folders if f not in stores and (reason := _why_not_into(Path(place, f)))}
        folders[:] = sorted(f for f in folders if f not in stores and f not in whole)
        for name in (*names, *stores, *whole):
            path = Path(place, name)
            if reason := whole.get(name) or _why_no_movie(path):
                left_out.setdefault(reason, []).append(path)
            else:
                movies.append(path)
    ordered = {reason: tuple(sorted(paths, key=natural_key)) for reason, paths in sorted(left_out.items())}
    return Looked(tuple(sorted(movies, key=natural_key)), ordered)


def _why_not_into(folder: Path) -> str:
    """Return why a folder is not looked into, or nothing."""
    if folder.name.startswith("."):
        return "hidden"
    return "results of this pipeline" if path_of(folder, "movie_info").exists() else ""


def _why_no_movie(path: Path) -> str:
    """Return why a file is not taken for a movie, or nothing."""
    if path.name.startswith("."):
        return "hidden"
    if (advice := movie_advice(path)) or path.suffix.lower() not in FORMATS:
        return advice or "not a format of movies"
    if is_result(path):
        return "results of this pipeline"
    if path.suffix.lower() == ".npy" and is_pickle(path):
        return OBJECTS_LEFT_OUT
    return "empty (0 bytes)" if path.is_file() and path.stat().st_size == 0 else ""


def find_movies(folder: Path) -> list[Path]:
    """Return the movie files below ``folder``, in natural order, see ``look_through``.

    Raises
    ------
    PipelineError
        If the folder does not exist or holds no movie.
    """
    looked = look_through(folder)
    if not looked.movies:
        others = "; ".join(f"{paths[0]}: {reason}" for reason, paths in looked.left_out.items())
        there = f" What is there: {others}." if others else ""
        raise PipelineError(f"{folder}: no movies found. Looked for files ending in {', '.join(FORMATS)}.{there}")
    return list(looked.movies)


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


def draft_rows(
    groups: list[list[Path]], base: Path, given: Mapping[str, str], *, taken: Iterable[str] = ()
) -> list[Draft]:
    """Describe each group of files as a row of the sheet, paths relative to ``base``.

    ``given`` holds facts that the user stated for all recordings; they win over what files say. ``taken`` are ids, in
    lower case, that others have.
    """
    known = set(taken)
    return [_draft(group, _unique_id(group, known), base, given) for group in groups]


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
    asked = "".join(f"# {d.cells['recording']}: {' '.join(d.problem.split())}\n" for d in drafts if d.problem)
    return NOTES + asked + table.getvalue()


def write_starter(
    folder: Path, base: Path, sheet: Path, given: Mapping[str, str], *, separate: bool = False, add: bool = False
) -> tuple[list[Draft], list[Path]]:
    """Write a sheet for the movies below ``folder``, and config and schema into ``base/config`` where there are none.

    ``separate`` makes each file a recording of its own; ``add`` leaves the rows of a sheet that exists as they are,
    and adds one for each movie that none of them lists.

    Returns
    -------
    The new rows, and the files written.

    Raises
    ------
    PipelineError
        If there are no movies, or the sheet is there already and nothing is to be added to it.
    """
    movies = find_movies(folder)
    if sheet.exists() and not add:
        raise PipelineError(
            f"{sheet}: there already, and never overwritten. Give `--add` to add new movies to it, or another file "
            "with --sheet."
        )
    written = []
    if sheet.exists():
        there = read_listing(sheet, base)
        new = [path for path in movies if path.resolve() not in there.files]
        drafts = draft_rows(group_files(new, separate=separate), base, given, taken=there.ids)
        text = there.with_rows([d.cells for d in drafts])
    else:
        drafts = draft_rows(group_files(movies, separate=separate), base, given)
        text = sheet_text(drafts)
    if drafts:
        write_text(sheet, text)
        written.append(sheet)
    for name, content in (("config.yaml", config_yaml()), ("schema.json", schema_json())):
        path = base / "config" / name
        if not path.exists():
            write_text(path, content)
            written.append(path)
    return drafts, written


@dataclass(frozen=True)
class Listing:
    """A sheet as it is: its lines, which of them is the header, and what its rows list (ids in lower case, files)."""

    lines: tuple[str, ...]
    header: int
    ids: frozenset[str]
    files: frozenset[Path]

    def with_rows(self, rows: list[dict[str, str]]) -> str:
        """Return the sheet's text with rows added, and a column for each of their facts that had none."""
        columns = _cells(self.lines[self.header])
        more = [c for c in COLUMNS if c not in columns and any(row.get(c) for row in rows)]
        lines = list(self.lines)
        lines[self.header] = "\t".join([*columns, *more])
        table = io.StringIO()
        writer = csv.writer(table, delimiter="\t", lineterminator="\n")
        writer.writerows([row.get(c, "") for c in (*columns, *more)] for row in rows)
        return "\n".join(lines) + "\n" + table.getvalue()


def _cells(line: str) -> list[str]:
    cells = [c.strip() for c in next(csv.reader([line], delimiter="\t"))]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def read_listing(sheet: Path, base: Path) -> Listing:
    """Read what a sheet lists, whether or not its rows are filled in.

    Raises
    ------
    PipelineError
        If it is not UTF-8 text with the columns ``recording`` and ``files``.
    """
    try:
        lines = sheet.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise PipelineError(f"{sheet}: not UTF-8 text ({error}). Save it as tab-separated UTF-8 text.") from error
    rows = [i for i, line in enumerate(lines) if line.strip() and not line.startswith(COMMENT)]
    columns = _cells(lines[rows[0]]) if rows else []
    if not {"recording", "files"} <= set(columns):
        raise PipelineError(f"{sheet}: has no header with the columns recording and files. Write one, or move it away.")
    ids, files = set(), set()
    for i in rows[1:]:
        row = dict(zip(columns, _cells(lines[i]), strict=False))
        ids.add(row.get("recording", "").casefold())
        for pattern in row.get("files", "").split(";"):
            path = base / pattern.strip()
            files |= {Path(p).resolve() for p in glob.glob(str(path), recursive=True)} | {path.resolve()}
    return Listing(tuple(lines), rows[0], frozenset(ids), frozenset(files))
