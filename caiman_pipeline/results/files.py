"""Result files: HDF5 with a schema version, the package version, the settings and the input's identity inside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np
from scipy.sparse import csc_matrix, issparse

from caiman_pipeline import __version__
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.results.atomic import whole_file
from caiman_pipeline.results.provenance import describe, note_result
from caiman_pipeline.results.schema import made_anew, of_another_form, writer
from caiman_pipeline.results.stored_rows import StackedRows, StoredRows, row_blocks, stored_rows

# Form of result files; others are refused, with what to rerun.
SCHEMA = 1


class Arrays(dict[str, Any]):
    """Arrays of a result file by name; one that is not there was not known to the version that wrote the file."""

    def __init__(self, arrays: Mapping[str, Any], *, path: Path | str, version: str, stage: str) -> None:
        super().__init__(arrays)
        self._path, self._version, self._stage = path, version, stage

    def __missing__(self, name: str) -> NoReturn:
        raise self._other_version(f"lacks `{name}`")

    def exactly(self, names: Collection[str]) -> Arrays:
        """Return the arrays if they have these names and no others.

        Parameters
        ----------
        names : collection of str
            Names that the arrays must have.

        Returns
        -------
        Arrays
            The arrays themselves.

        Raises
        ------
        PipelineError
            If not: the file was written by a version whose results held something else.
        """
        for name in sorted(set(names) - set(self)):
            self[name]
        if unknown := sorted(set(self) - set(names)):
            raise self._other_version(f"holds `{unknown[0]}`, which this version does not know")
        return self

    def _other_version(self, what: str) -> PipelineError:
        return PipelineError(
            f"{self._path}: {what}: it was written by another version of caiman_pipeline ({self._version}). "
            f"{made_anew(self._stage)}"
        )


@dataclass(frozen=True)
class Result:
    """A stage's arrays (sparse matrices as csc) by name, with the settings and source that made them.

    ``stages`` says what it and all before it were made with, see ``provenance.note_settings``.
    """

    kind: str
    arrays: dict[str, Any]
    settings: dict[str, Any]
    source: dict[str, Any]
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.arrays[name]

    def exactly(self, record: Any) -> dict[str, Any]:
        """Return the arrays, which must be the fields of a record: no more and no fewer.

        Parameters
        ----------
        record : class
            A dataclass.

        Returns
        -------
        dict
            Arrays by the names of its fields.

        Raises
        ------
        PipelineError
            If not: the file was written by a version whose results held something else.
        """
        found = self.arrays
        arrays = found if isinstance(found, Arrays) else Arrays(found, path=self.kind, version="unknown", stage="")
        return arrays.exactly([field.name for field in fields(record)])

    def __contains__(self, name: str) -> bool:
        return name in self.arrays


def save_result(
    path: Path | str,
    *,
    kind: str,
    arrays: Mapping[str, Any],
    settings: Mapping[str, Any],
    source: Mapping[str, Any],
) -> None:
    """Write one result, whole or not at all.

    Parameters
    ----------
    path : path
        The file to make.
    kind : str
        The stage's noun, checked on loading.
    arrays : dict
        Arrays, tables that stay in files, csc matrices, tuples of text or numbers, by name.
    settings : dict
        The resolved settings of the stage.
    source : dict
        What the result was made from (recording, files, sizes).

    Raises
    ------
    PipelineError
        If the disk is full or the folder cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> save_result("images.h5", kind="images", arrays={"mean": np.ones((3, 4))}, settings={}, source={})
    >>> load_result("images.h5", "images")["mean"].shape
    (3, 4)
    """
    with result_file(path, kind=kind, settings=settings, source=source) as file:
        add_arrays(file, arrays)


@contextmanager
def result_file(
    path: Path | str, *, kind: str, settings: Mapping[str, Any], source: Mapping[str, Any]
) -> Iterator[h5py.File]:
    """Open a result to fill table by table (``create_dataset``, ``add_arrays``); it is written whole or not at all.

    Parameters
    ----------
    path : path
        The file to make.
    kind : str
        The stage's noun, checked on loading.
    settings : dict
        The resolved settings of the stage.
    source : dict
        What the result was made from.

    Yields
    ------
    h5py.File
        Open, under a temporary name.

    Raises
    ------
    PipelineError
        If the disk is full or the folder cannot be written.
    """
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["schema"] = SCHEMA
        file.attrs["kind"] = kind
        file.attrs["version"] = __version__
        file.attrs["settings"] = json.dumps(settings, sort_keys=True)
        file.attrs["source"] = json.dumps(source, sort_keys=True)
        yield file
        file.attrs["provenance"] = json.dumps(describe(Path(path)), sort_keys=True)
        file.attrs["digest"] = content_digest(file)


def add_arrays(file: h5py.File, arrays: Mapping[str, Any]) -> None:
    """Write the arrays that are not in the result file yet.

    Parameters
    ----------
    file : h5py.File
        Open to be written.
    arrays : dict
        Arrays by name; those that are datasets of the file are left as they are.
    """
    for name, value in arrays.items():
        if not isinstance(value, h5py.Dataset):
            _write(file, name, value)


def content_digest(file: h5py.File) -> str:
    """Return the digest of a result's content: names, types, shapes and bytes of its arrays, and its settings.

    Parameters
    ----------
    file : h5py.File
        A result, open.

    Returns
    -------
    str
        32 hexadecimal digits; where and when it was written does not count.
    """
    found = hashlib.sha256(f"{file.attrs['kind']} {file.attrs['settings']}".encode())

    def add(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Group):
            found.update(f"{name} {tuple(item.attrs['shape'])}".encode())
            return
        found.update(f"{name} {item.dtype.str} {item.shape}".encode())
        if h5py.check_string_dtype(item.dtype):
            found.update(repr(_read(item)).encode())
        elif item.shape:
            for rows in row_blocks(item):
                found.update(np.ascontiguousarray(item[rows]).data)
        else:
            found.update(item[()].tobytes())

    file.visititems(add)
    return found.hexdigest()[:32]


def _write(file: h5py.File, name: str, value: Any) -> None:
    if issparse(value):
        group = file.create_group(name)
        group.attrs["shape"] = value.shape
        matrix = value.tocsc()
        for part in ("data", "indices", "indptr"):
            group.create_dataset(part, data=getattr(matrix, part))
    elif isinstance(value, StoredRows | StackedRows):
        table = file.create_dataset(name, value.shape, value.dtype)
        for rows in row_blocks(value):
            table[rows] = value[rows]
    elif isinstance(value, str):
        file.create_dataset(name, data=value, dtype=h5py.string_dtype())
    elif isinstance(value, tuple) and all(isinstance(v, str) for v in value):
        file.create_dataset(name, data=np.array(value, dtype=object), dtype=h5py.string_dtype())
    else:
        file.create_dataset(name, data=np.asarray(value))


def _read(item: h5py.Group | h5py.Dataset) -> Any:
    if isinstance(item, h5py.Group):
        parts = (item["data"][()], item["indices"][()], item["indptr"][()])
        return csc_matrix(parts, shape=tuple(item.attrs["shape"]))
    if h5py.check_string_dtype(item.dtype):
        return tuple(item.asstr()[()]) if item.shape else item.asstr()[()]
    return item[()]


def is_result(path: Path | str) -> bool:
    """Tell whether a file was written by ``save_result``; of one that is damaged that is not known.

    Parameters
    ----------
    path : path
        Any file.

    Returns
    -------
    bool
        Whether it says so.
    """
    if Path(path).suffix.lower() not in (".h5", ".hdf5") or not h5py.is_hdf5(path):
        return False
    try:
        with h5py.File(path, "r") as file:
            return {"schema", "kind", "settings", "source"} <= set(file.attrs)
    except OSError:
        # Results are written whole or not at all: it is another file, and whoever reads it says what is the matter.
        return False


def _check_kind(path: Path | str, file: h5py.File, kind: str, provenance: Mapping[str, Any]) -> None:
    """Refuse a file that holds something else, or in another form."""
    found, schema, stage = file.attrs.get("kind"), file.attrs.get("schema"), provenance.get("stage", "")
    if schema is None or found != kind:
        what = "a file that is no result" if schema is None else f"a {found!r} result"
        raise PipelineError(f"{path}: expected a {kind!r} result, found {what}. {made_anew(stage)}")
    if int(schema) != SCHEMA:
        version = writer(provenance, str(file.attrs.get("version", "")))
        raise of_another_form(path, found=int(schema), reads=SCHEMA, version=version, stage=stage)


def load_result(path: Path | str, kind: str, *, skip: Collection[str] = (), stored: Collection[str] = ()) -> Result:
    """Read a result of the given kind, without the arrays named by ``skip``; those in ``stored`` stay in the file.

    Parameters
    ----------
    path : path
        A result file.
    kind : str
        The stage's noun that it must have.
    skip : collection of str
        Names of arrays to leave out.
    stored : collection of str
        Names of tables to leave in the file, see ``StoredRows``.

    Returns
    -------
    Result
        Arrays by name, with the settings and source that made them.

    Raises
    ------
    PipelineError
        If the file is missing, damaged, of another kind or of another schema.
    """
    try:
        with h5py.File(path, "r") as file:
            provenance = json.loads(file.attrs.get("provenance", "{}"))
            written_by = writer(provenance, str(file.attrs.get("version", "")))
            _check_kind(path, file, kind, provenance)
            found_arrays = {
                name: stored_rows(path, item) if name in stored else _read(item)
                for name, item in file.items()
                if name not in skip
            }
            note_result(Path(path), file.attrs.get("digest", ""), provenance)
            settings, source = json.loads(file.attrs["settings"]), json.loads(file.attrs["source"])
            arrays = Arrays(found_arrays, path=path, version=written_by, stage=provenance.get("stage", ""))
            return Result(kind, arrays, settings, source, provenance.get("stages", {}))
    except OSError as error:
        raise PipelineError(f"{path}: not a readable result file ({error}). Delete it and run again.") from error
