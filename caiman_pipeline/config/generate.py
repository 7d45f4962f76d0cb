"""Write what follows from the models: ``config/config.yaml``, ``config/schema.json`` and pages of ``docs``.

Run ``python -m caiman_pipeline.config.generate`` after changing a section; ``--check`` only says what is out of date.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import annotated_types
import yaml
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from caiman_pipeline.config.base import Count, Length, Section
from caiman_pipeline.config.from_caiman import from_caiman_page
from caiman_pipeline.config.indicators import indicators_page
from caiman_pipeline.config.pixels import PixelSize
from caiman_pipeline.config.root import Config

# Characters of a line.
WIDTH = 118
HEADER = """\
# yaml-language-server: $schema=schema.json
# The settings of the workflow, each with its default: edit this file. A key that is left out keeps its default.
# Facts that differ between recordings (and any other key, as a column `section.key`) go into the recordings sheet.
# Lengths state their unit: 12 um, 48 px, 4 cells (cell diameters), or one number per axis: 2 x 9 x 9 px. What is given
# per axis has the order of the axes: planes x rows x columns.
"""
REFERENCE = """\
# Settings

<!-- Written by `python -m caiman_pipeline.config.generate`; edit the models in caiman_pipeline/config instead. -->

Every key of `config/config.yaml`, with its default. Unknown keys, wrong types and values out of bounds are errors that
name the key. Any key can also be a column of the recordings sheet (`section.key`, or just the key for the section
`recording`); the sheet wins for its recording.

A *length* states its unit: `12 um`, `48 px` or `4 cells` (cell diameters); `2 x 9 x 9 px` gives each axis. What is
given per axis has the order of a movie's axes: planes x rows x columns (depth x height x width). One length in um
becomes pixels along each axis by `pixel_size_um` and `plane_spacing_um`. One number in px counts pixels along the
columns; along rows and planes it is as many as make the same length, where their sizes are known and differ.
"""
BOUNDS = {
    annotated_types.Ge: ("ge", "≥ {}"),
    annotated_types.Gt: ("gt", "> {}"),
    annotated_types.Le: ("le", "≤ {}"),
    annotated_types.Lt: ("lt", "< {}"),
    annotated_types.MultipleOf: ("multiple_of", "multiple of {}"),
    annotated_types.MinLen: ("min_length", "at least {}"),
    annotated_types.MaxLen: ("max_length", "at most {}"),
}
KINDS = {
    bool: "true or false",
    int: "integer",
    float: "number",
    str: "text",
    Length: "length",
    datetime: "date and time",
    Count: "evidence, number per tile, or density",
    PixelSize: "number, or one per axis",
}


def documented_keys(model: type[Section], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield the dotted name and the declaration of every key below ``model``, sections left out.

    Parameters
    ----------
    model : class
        A section.
    prefix : str
        What stands before the names.

    Yields
    ------
    (str, FieldInfo)
        Dotted name, and declaration.
    """
    for name, field in model.model_fields.items():
        inner = section_type(field)
        if inner is None:
            yield prefix + name, field
        else:
            yield from documented_keys(inner, f"{prefix}{name}.")


def section_type(field: FieldInfo) -> type[Section] | None:
    """Return the section that a field holds, or None if it is a key.

    Parameters
    ----------
    field : FieldInfo
        Declaration of a key or section.

    Returns
    -------
    class or None
        The section.
    """
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def unit_of(field: FieldInfo) -> str:
    """Return a key's unit, "" for none.

    Parameters
    ----------
    field : FieldInfo
        Declaration of a key.

    Returns
    -------
    str
        Its unit.
    """
    extra = field.json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


def kind_of(kind: Any) -> str:
    """Describe a key's type in words, without the null of an optional key.

    Parameters
    ----------
    kind : type
        Annotation of a key.

    Returns
    -------
    str
        Words.

    Examples
    --------
    >>> kind_of(float | None), kind_of(tuple[float, ...])
    ('number', 'list of number')
    """
    choices = [k for k in get_args(kind) if k is not type(None)]
    if get_origin(kind) is Literal:
        return " or ".join(f"`{plain(c)}`" for c in choices)
    if get_origin(kind) is dict:
        return "keys of stages, each with its value"
    if get_origin(kind) in (tuple, list):
        return f"list of {kind_of(choices[0])}"
    if choices:
        return " or ".join(dict.fromkeys(kind_of(c) for c in choices))
    return KINDS.get(kind, getattr(kind, "__name__", str(kind)))


def bounds_of(field: FieldInfo) -> str:
    """Describe what a key may be: its type and bounds.

    Parameters
    ----------
    field : FieldInfo
        Declaration of a key.

    Returns
    -------
    str
        Words.
    """
    limits = []
    for rule in field.metadata:
        if type(rule) in BOUNDS:
            name, text = BOUNDS[type(rule)]
            limits.append(text.format(getattr(rule, name)))
    return ", ".join([kind_of(field.annotation), *limits])


def plain(value: Any) -> str:
    """Return a default as it is written in YAML, on one line.

    Parameters
    ----------
    value : object
        A default.

    Returns
    -------
    str
        YAML.

    Examples
    --------
    >>> plain((0.25, 0.5)), plain(None)
    ('[0.25, 0.5]', 'null')
    """
    text = yaml.safe_dump(to_jsonable_python(value), default_flow_style=True, width=10**6)
    return text.removesuffix("...\n").strip()


def config_yaml() -> str:
    """Return the text of ``config/config.yaml``: each key with its description and default."""
    lines = [HEADER.rstrip()]
    for name, field in Config.model_fields.items():
        section = section_type(field)
        assert section is not None, f"`{name}` stands outside of a section"
        lines += ["", *_comment(section.__doc__, ""), f"{name}:", *_yaml_section(section, "  ")]
    return "\n".join(lines) + "\n"


def _yaml_section(section: type[Section], indent: str) -> list[str]:
    lines = []
    for name, field in section.model_fields.items():
        inner = section_type(field)
        if inner is not None:
            lines += [*_comment(inner.__doc__, indent), f"{indent}{name}:", *_yaml_section(inner, indent + "  ")]
            continue
        unit = f" [{unit_of(field)}]" if unit_of(field) else ""
        lines += _comment(f"{field.description} ({bounds_of(field).replace('`', '')}){unit}", indent)
        lines += _default(name, field.default, indent)
    return lines or [indent + "{}"]


def _default(name: str, default: Any, indent: str) -> list[str]:
    if not isinstance(default, dict):
        return [f"{indent}{name}: {plain(default)}"]
    return [f"{indent}{name}:", *(f"{indent}  {key}: {plain(value)}" for key, value in default.items())]


def _comment(text: str | None, indent: str) -> list[str]:
    words = " ".join((text or "").split())
    return textwrap.wrap(words, WIDTH, initial_indent=indent + "# ", subsequent_indent=indent + "# ")


def schema_json() -> str:
    """Return the text of ``config/schema.json``, for editors that complete and check YAML."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def settings_page() -> str:
    """Return the text of ``docs/settings.md``."""
    pieces = [REFERENCE]
    for name, field in Config.model_fields.items():
        section = section_type(field)
        assert section is not None
        keys = [_row(key, found) for key, found in documented_keys(section)]
        about = " ".join((section.__doc__ or "").split()).replace("``", "`")
        table = ["| key | default | unit | allowed | meaning |", "|---|---|---|---|---|", *keys] if keys else []
        pieces.append("\n".join([f"## {name}", "", about, *([""] if table else []), *table]) + "\n")
    return "\n".join(pieces)


def _row(key: str, field: FieldInfo) -> str:
    default = plain(field.default).replace("null", "none")
    meaning = " ".join((field.description or "").split()).replace("|", "\\|")
    return f"| `{key}` | `{default}` | {unit_of(field)} | {bounds_of(field)} | {meaning} |"


GENERATED = {
    "config/config.yaml": config_yaml,
    "config/schema.json": schema_json,
    "docs/settings.md": settings_page,
    "docs/indicators.md": indicators_page,
    "docs/from-caiman.md": from_caiman_page,
}


def out_of_date(folder: Path) -> list[str]:
    """Return which generated files in ``folder`` differ from what the models say.

    Parameters
    ----------
    folder : path
        Root of the checkout.

    Returns
    -------
    list of str
        Names of files, relative to it.
    """
    stale = []
    for name, write in GENERATED.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != write():
            stale.append(name)
    return stale


def generate(folder: Path) -> None:
    """Write all generated files into ``folder``, the root of the checkout.

    Parameters
    ----------
    folder : path
        Root of the checkout.
    """
    for name, write in GENERATED.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(write(), encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Command line of the generator.

    Parameters
    ----------
    arguments : list of str, optional
        Words of the command line; else those of the process.

    Returns
    -------
    int
        Exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m caiman_pipeline.config.generate", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(), help="root of the checkout (default: here)")
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 if a file is out of date")
    args = parser.parse_args(arguments)
    if not args.check:
        generate(args.folder)
        return 0
    stale = out_of_date(args.folder)
    if stale:
        command = "python -m caiman_pipeline.config.generate"
        print(f"out of date: {', '.join(stale)}. Run `{command}` and commit the result.", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
