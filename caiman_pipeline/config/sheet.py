"""The recordings sheet: one row per recording, its files, facts and settings of its own."""

from __future__ import annotations

import codecs
import csv
import difflib
import glob
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from caiman_pipeline.config.plausible import wrong_timing
from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.config.renamed import GONE, new_name
from caiman_pipeline.config.root import Config, check_required, resolve_section, resolve_stage
from caiman_pipeline.config.validate import known_keys, validate
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.names import natural_key
from caiman_pipeline.stages import SECTIONS, SESSIONS, STAGES, Branch, place

ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
OWN_COLUMNS = ("recording", "files")
PLACEHOLDER = "FILL_IN"
# Facts that are asked for and that no number depends on: one that is not filled in is taken as not known.
MAY_STAY_OPEN = ("species", "indicator")
SHOWN_PROBLEMS = 5
# Settings that may name another row of the sheet, whose motion is then found first.
NAMING_KEYS = ("shifts_from", "template")
COMMENT = ("#", '"#')
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Recording:
    """One row of the sheet.

    Attributes
    ----------
    id : name of the recording, used in paths
    patterns : the files as written in the sheet, paths or globs
    config : the config with this row's facts and overrides applied
    """

    id: str
    patterns: tuple[str, ...]
    config: Config

    def files(self, folder: Path | str = ".") -> list[str]:
        """Return the recording's files in natural order, globs expanded; a path that is not there is kept as it is.

        Relative paths start from ``folder``; a URL names one object on a store.

        Parameters
        ----------
        folder : path
            Where relative paths start from.

        Returns
        -------
        list of str
            Paths and URLs.
        """
        found: list[str] = []
        for pattern in self.patterns:
            if "://" in pattern:
                found.append(pattern)
                continue
            path = pattern if Path(pattern).is_absolute() else str(Path(folder) / pattern)
            literal = Path(path).exists() or not glob.has_magic(path)
            found += [path] if literal else sorted(glob.glob(path, recursive=True), key=natural_key)
        # A name that starts like an option must not be taken for one.
        return [f"./{path}" if path.startswith("-") else path for path in found]

    @property
    def branch(self) -> Branch:
        """Which of the workflow's ways the recording goes."""
        return Branch(self.config.recording.kind)

    def settings(self, stage: str) -> dict[str, Any]:
        """Return what a job of a stage is handed for this recording.

        Parameters
        ----------
        stage : str
            Name of the stage's section.

        Returns
        -------
        dict
            Plain values, as a rule's ``params`` hold them.

        Raises
        ------
        PipelineError
            If a length cannot be turned into pixels.
        """
        return self._resolved(resolve_stage, stage)

    def section(self, name: str) -> dict[str, Any]:
        """Return a section of the config as plain values, lengths in pixels, for this recording."""
        return self._resolved(resolve_section, name)

    def _resolved(self, resolve: Callable[[Config, str], dict[str, Any]], name: str) -> dict[str, Any]:
        try:
            return resolve(self.config, name)
        except PipelineError as error:
            raise PipelineError(f"recording {self.id!r}: {error}") from None


def load_sheet(path: Path | str, config: Config) -> dict[str, Recording]:
    """Read and validate the recordings sheet.

    Parameters
    ----------
    path : path
        The sheet.
    config : Config
        Settings that rows may override.

    Returns
    -------
    dict of str to Recording
        By id, in the sheet's order.

    Raises
    ------
    PipelineError
        If it is missing or empty, or a row has a bad or repeated id, no files, an unknown column or a bad value. All
        rows are looked at; the message lists the first problems and how many more there are.
    """
    recordings, problems = read_sheet(path, config)
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        shown = " | ".join(problems[:SHOWN_PROBLEMS]) + (f" | and {more} more problems" if more > 0 else "")
        raise PipelineError(f"{path}, {shown}")
    return recordings


def read_sheet(path: Path | str, config: Config) -> tuple[dict[str, Recording], list[str]]:
    """Read the recordings sheet; return the rows that are good, by id, and what is the matter with the others.

    Parameters
    ----------
    path : path
        The sheet.
    config : Config
        Settings that rows may override.

    Returns
    -------
    recordings : dict of str to Recording
        By id, in the sheet's order.
    problems : list of str
        Sentences, with the line that each is about.

    Raises
    ------
    PipelineError
        If there are no rows to look at.
    """
    recordings: dict[str, Recording] = {}
    problems: list[str] = []
    seen: dict[str, tuple[str, int]] = {}
    for line, row in _read_rows(Path(path)):
        name = row.get("recording", "")
        try:
            _check_id(name, seen.setdefault(name.casefold(), (name, line)), line)
            recordings[name] = _parse_row(name, row, config)
        except PipelineError as error:
            problems.append(f"line {line}: {error}")
    named = {name: _resolve_names(recording, recordings) for name, recording in recordings.items()}
    return named, problems + _circles(recordings)


def _resolve_names(recording: Recording, recordings: Mapping[str, Recording]) -> Recording:
    """Return a recording whose settings hold the ``motion.h5`` of the recordings that they name."""
    config = recording.config
    files = {
        key: f"{config.paths.results}/{getattr(config.motion, key)}/{place('motion')}"
        for key in NAMING_KEYS
        if getattr(config.motion, key) in recordings
    }
    if not files:
        return recording
    motion = config.motion.model_copy(update=files)
    return replace(recording, config=config.model_copy(update={"motion": motion}))


def _circles(recordings: Mapping[str, Recording]) -> list[str]:
    """Return what is the matter with recordings whose motion cannot be found before their own."""
    problems = []
    for name in recordings:
        waiting, seen = [name], set[str]()
        while waiting:
            motion = recordings[waiting.pop()].config.motion
            following = {getattr(motion, key) for key in NAMING_KEYS} & recordings.keys() - seen
            seen |= following
            waiting += following
        if name in seen:
            problems.append(
                f"recording {name!r}: `motion.{NAMING_KEYS[0]}` or `motion.{NAMING_KEYS[1]}` leads back to itself. "
                "One recording of the circle must find its own motion."
            )
    return problems


def _check_id(name: str, first: tuple[str, int], line: int) -> None:
    if name.casefold() == SESSIONS.name:
        raise PipelineError(f"recording id {name!r} is the name of the folder of tracked cells. Choose another.")
    if not re.fullmatch(ID_PATTERN, name):
        raise PipelineError(
            f"recording id {name!r} must be 1 to 100 letters, digits, '_' or '-', starting with a letter or digit, "
            "because it becomes a folder name."
        )
    if first == (name, line):
        return
    if first[0] == name:
        raise PipelineError(f"recording {name!r} is listed twice, first in line {first[1]}. Ids must be unique.")
    raise PipelineError(
        f"recording {name!r} differs from {first[0]!r} (line {first[1]}) only in case, which some file systems "
        "cannot keep apart."
    )


def _read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        content = path.read_bytes()
        text = content.decode("utf-16" if content.startswith(UTF16_MARKS) else "utf-8-sig")
    except OSError as error:
        raise PipelineError(
            f"{path}: the recordings sheet cannot be read ({error.strerror}). "
            "Write one with `caiman-pipeline init FOLDER`, or set `paths.recordings`."
        ) from error
    except UnicodeDecodeError as error:
        raise PipelineError(
            f"{path}: the sheet is not UTF-8 text ({error}). Save it as tab-separated UTF-8 text."
        ) from error
    every_line = enumerate(text.splitlines(), 1)
    lines = [(i, line) for i, line in every_line if line.strip() and not line.startswith(COMMENT)]
    if not lines:
        raise PipelineError(f"{path}: the recordings sheet is empty. Add a header and one row per recording.")
    header, *body = (_split(path, number, line) for number, line in lines)
    columns = [new_name(column, f"{path}, column") for column in header]
    _check_columns(path, columns)
    if not body:
        raise PipelineError(f"{path}: the recordings sheet has a header but no recordings. Add one row for each.")
    rows = []
    for (number, line), values in zip(lines[1:], body, strict=True):
        _check_tabs(path, number, line, values, columns)
        if len(values) > len(columns):
            raise PipelineError(f"{path}, line {number}: {len(values)} values for {len(columns)} columns.")
        rows.append((number, {c: v for c, v in zip(columns, values, strict=False) if v}))
    return rows


def _split(path: Path, number: int, line: str) -> list[str]:
    """Return a line's cells without blanks around them; spreadsheets add empty ones at the end."""
    try:
        cells = [c.strip() for c in next(csv.reader([line], delimiter="\t", strict=True))]
    except csv.Error as error:
        raise PipelineError(
            f"{path}, line {number}: a quoted cell does not end in this line ({error}). Write each row in one line."
        ) from error
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _check_columns(path: Path, columns: list[str]) -> None:
    facts, overrides = list(RecordingSettings.model_fields), _override_columns()
    known = {*OWN_COLUMNS, *facts, *overrides}
    if any(c not in columns for c in OWN_COLUMNS):
        apart = _other_separator(columns[0]) if len(columns) == 1 else ""
        hint = f" They are separated by {apart}. Columns must be separated by tabs." if apart else ""
        raise PipelineError(f"{path}: the sheet needs the columns {', '.join(OWN_COLUMNS)}; found {columns}.{hint}")
    repeated = {c for c in columns if columns.count(c) > 1}
    if repeated:
        raise PipelineError(f"{path}: column {sorted(repeated)[0]!r} appears twice.")
    for column in columns:
        if column in GONE:
            raise PipelineError(f"{path}: column {column!r} is no key any more: {GONE[column]}.")
        if column not in known:
            elsewhere = [k for k in overrides if k.rsplit(".", 1)[-1] == column]
            near = elsewhere or difflib.get_close_matches(column, known, n=1, cutoff=0.5)
            if len(column.split()) > 1 and set(column.split()) & known:
                raise PipelineError(f"{path}: {column!r} are several columns, with spaces between them and not tabs.")
            hint = f", did you mean {near[0]!r}?" if near else ". Columns are facts (`frame_rate_hz`) or `section.key`."
            raise PipelineError(f"{path}: unknown column {column!r}{hint}")


def _other_separator(line: str) -> str:
    """Return what separates the columns of a line in the place of tabs, in words, or ""."""
    return next((name for sign, name in ((",", "commas"), (";", "semicolons"), (" ", "spaces")) if sign in line), "")


def _check_tabs(path: Path, number: int, line: str, values: list[str], columns: list[str]) -> None:
    """Refuse a row whose cells have something else between them than the header's tabs."""
    if len(values) >= len(columns):
        return
    text = line.strip()
    spaced = len(re.split(r"\t+| {2,}", text)) >= len(columns)
    apart = "spaces" if spaced else "" if "\t" in text else _other_separator(text)
    if apart:
        raise PipelineError(
            f"{path}, line {number}: {len(values)} value(s) for {len(columns)} columns. They are separated by {apart}; "
            "they must be separated by tabs."
        )


def _override_columns() -> list[str]:
    """Return what a recording may set for itself: any key of a stage (paths are the run's, not a recording's)."""
    return [k for k in known_keys(Config) if "." in k and k.split(".", 1)[0] in SECTIONS]


def _parse_row(name: str, row: Mapping[str, str], config: Config) -> Recording:
    patterns = tuple(p.strip() for p in row.get("files", "").split(";") if p.strip())
    if not patterns:
        raise PipelineError(f"recording {name!r} has no files.")
    row = {c: text for c, text in row.items() if text != PLACEHOLDER or c not in MAY_STAY_OPEN}
    blanks = [f"`{column}`" for column, text in row.items() if text == PLACEHOLDER]
    if blanks:
        raise PipelineError(f"recording {name!r}: {', '.join(blanks)} must still be filled in.")
    own = _own_config(row, config, f"recording {name!r}")
    check_required(own.recording, f"recording {name!r}")
    problem = wrong_timing(own.recording.known("frame_rate_hz"), own.recording.known("decay_time_s"))
    if problem:
        raise PipelineError(f"recording {name!r}: {problem}")
    recording = Recording(name, patterns, own)
    for stage in STAGES:
        recording.settings(stage)
    return recording


def _own_config(row: Mapping[str, str], config: Config, where: str) -> Config:
    values: dict[str, Any] = {}
    for column, value in config.kinds.of(row.get("kind", config.recording.kind)).items():
        _put(values, column.split("."), value)
    for column, text in row.items():
        if column not in OWN_COLUMNS:
            _put(values, column.split(".") if "." in column else ["recording", column], _cell(text, column))
    return validate(Config, _merged(config.model_dump(mode="json"), values), where) if values else config


def _put(values: dict[str, Any], path: list[str], value: Any) -> None:
    """Write a value at a path of names, sections made on the way."""
    for name in path[:-1]:
        values = values.setdefault(name, {})
    values[path[-1]] = value


def _merged(values: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    return values | {k: _merged(values[k], v) if isinstance(v, Mapping) else v for k, v in own.items()}


def _cell(text: str, column: str) -> Any:
    if column in RecordingSettings.model_fields:
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text
