"""The recordings sheet: one row per recording, its files, facts and settings of its own."""

from __future__ import annotations

import csv
import glob
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.config.root import Config, check_required, known_keys, resolve_stage, validate
from caiman_pipeline.errors import PipelineError

ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
OWN_COLUMNS = ("recording", "files")


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

        Relative paths start from ``folder``.
        """
        from caiman_pipeline.io.readers import natural_key

        found: list[str] = []
        for pattern in self.patterns:
            path = pattern if Path(pattern).is_absolute() else str(Path(folder) / pattern)
            literal = Path(path).exists() or not glob.has_magic(path)
            found += [path] if literal else sorted(glob.glob(path, recursive=True), key=natural_key)
        return found

    def settings(self, stage: str) -> dict[str, Any]:
        """Return the resolved settings of one stage for this recording."""
        try:
            return resolve_stage(self.config, stage)
        except PipelineError as error:
            raise PipelineError(f"recording {self.id!r}: {error}") from None


def load_sheet(path: Path | str, config: Config) -> dict[str, Recording]:
    """Read and validate the recordings sheet.

    Raises
    ------
    PipelineError
        If it is missing or empty, or a row has a bad or repeated id, no files, an unknown column or a bad value.
    """
    path = Path(path)
    rows = _read_rows(path)
    recordings: dict[str, Recording] = {}
    for line, row in rows:
        recording = _parse_row(f"{path}, line {line}", row, config)
        if recording.id in recordings:
            raise PipelineError(f"{path}, line {line}: recording {recording.id!r} is listed twice. Ids must be unique.")
        recordings[recording.id] = recording
    _refuse_lookalikes(path, recordings)
    return recordings


def _read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PipelineError(
            f"{path}: the recordings sheet cannot be read ({error.strerror}). "
            "Write one with `caiman-pipeline init FOLDER`, or set `paths.recordings`."
        ) from error
    except UnicodeDecodeError as error:
        raise PipelineError(f"{path}: the sheet is not UTF-8 text ({error}). Save it as tab-separated text.") from error
    lines = [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")]
    if not lines:
        raise PipelineError(f"{path}: the recordings sheet is empty. Add a header and one row per recording.")
    header, *body = csv.reader((line for _, line in lines), delimiter="\t")
    columns = [c.strip() for c in header]
    _check_columns(path, columns)
    if not body:
        raise PipelineError(f"{path}: the recordings sheet has a header but no recordings.")
    rows = []
    for (number, _), values in zip(lines[1:], body, strict=True):
        if len(values) > len(columns):
            raise PipelineError(f"{path}, line {number}: {len(values)} values for {len(columns)} columns.")
        cells = {c: v.strip() for c, v in zip(columns, values, strict=False)}
        rows.append((number, {c: v for c, v in cells.items() if v}))
    return rows


def _check_columns(path: Path, columns: list[str]) -> None:
    facts, overrides = list(RecordingSettings.model_fields), [k for k in known_keys(Config) if "." in k]
    known = {*OWN_COLUMNS, *facts, *overrides}
    missing = [c for c in OWN_COLUMNS if c not in columns]
    if missing:
        hint = " Is the sheet tab-separated?" if len(columns) == 1 else ""
        raise PipelineError(f"{path}: the sheet needs the columns {', '.join(OWN_COLUMNS)}; found {columns}.{hint}")
    repeated = {c for c in columns if columns.count(c) > 1}
    if repeated:
        raise PipelineError(f"{path}: column {sorted(repeated)[0]!r} appears twice.")
    for column in columns:
        if column not in known:
            import difflib

            near = difflib.get_close_matches(column, known, n=1, cutoff=0.5)
            hint = f", did you mean {near[0]!r}?" if near else ""
            raise PipelineError(f"{path}: unknown column {column!r}{hint}")


def _parse_row(where: str, row: Mapping[str, str], config: Config) -> Recording:
    name = row.get("recording", "")
    if not re.fullmatch(ID_PATTERN, name):
        raise PipelineError(
            f"{where}: recording id {name!r} must be 1 to 100 letters, digits, '_' or '-', starting with a letter or "
            "digit, because it becomes a folder name."
        )
    patterns = tuple(p.strip() for p in row.get("files", "").split(";") if p.strip())
    if not patterns:
        raise PipelineError(f"{where}: recording {name!r} has no files.")
    values = config.model_dump(mode="json")
    for column, text in row.items():
        if column in OWN_COLUMNS:
            continue
        section, leaf = column.split(".", 1) if "." in column else ("recording", column)
        values[section][leaf] = _cell(text, column)
    own = validate(Config, values, where) if len(row) > len(OWN_COLUMNS) else config
    check_required(own.recording, f"{where}: recording {name!r}")
    return Recording(name, patterns, own)


def _cell(text: str, column: str) -> Any:
    if column in RecordingSettings.model_fields:
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _refuse_lookalikes(path: Path, recordings: Mapping[str, Recording]) -> None:
    seen: dict[str, str] = {}
    for name in recordings:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise PipelineError(
                f"{path}: recordings {other!r} and {name!r} differ only in case, which some file systems cannot keep apart."
            )
