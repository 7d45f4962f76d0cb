"""Config and sheet written back from NWB files: what makes their results again, bit for bit."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import yaml

from caiman_pipeline.config.generate import plain
from caiman_pipeline.config.portable import file_keys, flat
from caiman_pipeline.config.root import Config
from caiman_pipeline.config.sheet import NAMING_KEYS
from caiman_pipeline.config.validate import validate
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.identity import holds
from caiman_pipeline.nwb.run import SCHEMA
from caiman_pipeline.results.provenance import environment
from caiman_pipeline.results.schema import of_another_form, writer

# Where a file says how it was made.
RECORD = "general/data_collection"
# What ends a line or a cell of the sheet; `str.splitlines` knows more of them than line feeds.
LINE_ENDS = "\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


@dataclass(frozen=True)
class Run:
    """How one recording's results were made.

    Attributes
    ----------
    raw_files : name, bytes and digests of each, in order
    settings : of every stage, by section; without the facts on the recording
    facts : what the stages knew of the recording
    software : version and commit of the pipeline, and versions of what computes, by name
    """

    path: Path
    recording: str
    raw_files: tuple[dict[str, Any], ...]
    settings: dict[str, dict[str, Any]]
    facts: dict[str, Any]
    software: dict[str, str]


@dataclass(frozen=True)
class Restored:
    """The texts of a config and a sheet, and what is left to do before they can run."""

    config: str
    sheet: str
    remarks: tuple[str, ...]


def read_run(path: Path) -> Run:
    """Read how the results in an NWB file were made.

    Parameters
    ----------
    path : path
        An NWB file that this pipeline wrote.

    Returns
    -------
    Run
        Raw files, settings, facts and software.

    Raises
    ------
    PipelineError
        If the file does not say so, or stages were told different things of the recording.
    """
    try:
        with h5py.File(path, "r") as file:
            record = json.loads(file[RECORD].asstr()[()])
        if record["schema"] != SCHEMA:
            version = writer(next(iter(record["made_by"].values()), {}))
            found = record["schema"]
            raise of_another_form(path, found=found, reads=SCHEMA, version=version, stage="export_nwb")
        settings = {section: dict(values) for section, values in record["settings"].items()}
        facts: dict[str, Any] = {}
        for section, values in settings.items():
            _add_facts(facts, values.pop("recording", {}), f"{path}: stage `{section}`")
        made_by = " and ".join(sorted({f"{s['version']} {s['commit']}".strip() for s in record["made_by"].values()}))
        software = {"caiman_pipeline": made_by, **record["environment"]}
        return Run(path, record["recording"], tuple(record["raw_files"]), settings, facts, software)
    except OSError as error:
        raise PipelineError(f"{path}: not a readable NWB file ({error}).") from error
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise PipelineError(
            f"{path}: `{RECORD}` does not say how its results were made, as files of this version do. If an older one "
            "wrote it, run the workflow again."
        ) from error


def _add_facts(facts: dict[str, Any], more: Mapping[str, Any], where: str) -> None:
    for name, value in more.items():
        if facts.setdefault(name, value) != value:
            raise PipelineError(
                f"{where} was made with `{name}` {value!r}, others with {facts[name]!r}: these results do not belong "
                "together. Run the workflow again."
            )


def restore(runs: Sequence[Run], folder: Path, *, sheet: str) -> Restored:
    """Return the config that recordings have in common, and a sheet with what is their own.

    Parameters
    ----------
    runs : sequence of Run
        One for each recording.
    folder : path
        Where the raw files are.
    sheet : str
        Path of the sheet, which the config names.

    Returns
    -------
    Restored
        Texts of config and sheet, and what is left to do.

    Raises
    ------
    PipelineError
        If a recording is there twice, a raw file holds other bytes than the one analysed, or settings are not known to
        this version.
    """
    names = [run.recording for run in runs]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise PipelineError(f"recording {min(repeated)!r} is in several of the files. Give one of them.")
    keys = [dict(flat(run.settings)) for run in runs]
    shared = {k: v for k, v in keys[0].items() if all(k in other and other[k] == v for other in keys)}
    texts = _texts_for_config(runs)
    rows = [
        {"recording": run.recording, "files": _files_cell(run, folder), **_own_cells(run, own, {**shared, **texts})}
        for run, own in zip(runs, keys, strict=True)
    ]
    config = _nested(
        {"paths.recordings": sheet, **{f"recording.{name}": text for name, text in texts.items()}, **shared}
    )
    validate(Config, config, f"{runs[0].path}, made by caiman_pipeline {runs[0].software['caiman_pipeline']}")
    remarks = [*_absent(runs, folder), *_inputs(runs, keys), *_other_software(runs)]
    return Restored(_config_text(runs, config), _sheet_text(rows), tuple(dict.fromkeys(remarks)))


def _texts_for_config(runs: Sequence[Run]) -> dict[str, str]:
    """Return the facts that no cell of a sheet can hold, by name: those with line breaks, tabs, or blanks around them.

    Raises
    ------
    PipelineError
        If one is not the same for all recordings, so that the config cannot hold it either.
    """
    unfit = {
        name: text
        for run in runs
        for name, text in run.facts.items()
        if isinstance(text, str) and (text != text.strip() or set(text) & set(LINE_ENDS))
    }
    for name in unfit:
        if len({run.facts.get(name) for run in runs}) > 1:
            raise PipelineError(
                f"`{name}` differs between the files and holds a line break, a tab or blanks at an end, which no cell "
                "of a sheet can hold. Give the files one by one, each with --config and --sheet of its own."
            )
    return unfit


def _own_cells(run: Run, own: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, str]:
    facts = {
        k: v if isinstance(v, str) else plain(v) for k, v in run.facts.items() if v is not None and k not in shared
    }
    return facts | {k: plain(v) for k, v in own.items() if k not in shared}


def _files_cell(run: Run, folder: Path) -> str:
    paths = [str(folder / raw["file"]) for raw in run.raw_files]
    for path, raw in zip(paths, run.raw_files, strict=True):
        if ";" in path:
            raise PipelineError(f"{path!r}: a file's name cannot hold ';' in the sheet. Rename it.")
        if Path(path).exists() and not holds(path, size_bytes=raw["bytes"], sample=raw["sample"]):
            raise PipelineError(f"{path}: holds other bytes than the file that {run.path} was made from.")
    return "; ".join(paths)


def _absent(runs: Sequence[Run], folder: Path) -> list[str]:
    paths = [folder / raw["file"] for run in runs for raw in run.raw_files]
    missing = [str(path) for path in paths if not path.exists()]
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return [f"raw files are not there: {missing[0]}{more}. Say with --files where they are."] if missing else []


def _inputs(runs: Sequence[Run], keys: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return which files, and which other recordings, a run needs besides raw files."""
    recordings, remarks = {run.recording for run in runs}, []
    for run, own in zip(runs, keys, strict=True):
        for key in sorted(file_keys().keys() & own.keys()):
            value = own[key]
            other = key.removeprefix("motion.") in NAMING_KEYS and value and "." not in value
            if other and value not in recordings:
                remarks.append(f"`{key}` of {run.recording} names the recording {value}: give its NWB file too.")
            elif value and not other and not Path(value).exists():
                remarks.append(f"`{key}` of {run.recording} names {value}: put it there, or state where it is.")
    return remarks


def _other_software(runs: Sequence[Run]) -> list[str]:
    now = environment()
    differing = {
        f"{name} {then} (here {now[name]})"
        for run in runs
        for name, then in run.software.items()
        if name in now and now[name] != then
    }
    if not differing:
        return []
    shown = ", ".join(sorted(differing))
    return [f"other versions than those that computed: {shown}. Numbers may differ in the last digits."]


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        level = tree
        for part in path:
            level = level.setdefault(part, {})
        level[last] = value
    return tree


def _config_text(runs: Sequence[Run], config: Mapping[str, Any]) -> str:
    made = sorted({", ".join(f"{name} {version}" for name, version in run.software.items()) for run in runs})
    head = [
        f"# Written by `caiman-pipeline config-of {' '.join(run.path.name for run in runs)}`: the settings that these",
        "# results were made with, lengths in pixels. What is not here was not used, or is a matter of the report.",
        *(f"# Made by {text}." for text in made),
    ]
    return "\n".join(head) + "\n" + yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=110)


def _sheet_text(rows: Sequence[Mapping[str, str]]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    table = io.StringIO()
    writer = csv.writer(table, delimiter="\t", lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([row.get(column, "") for column in columns] for row in rows)
    return table.getvalue()
