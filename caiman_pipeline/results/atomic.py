"""Outputs that are whole or absent: written under a temporary name in their own folder, flushed, renamed."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.results.processes import process_start

# Errors by which systems say that a disk or a quota is full.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
# Bytes of a file name that file systems take.
LONGEST_NAME = 255


def _temporary_name(path: Path) -> Path:
    """Return a name beside ``path`` that no other process takes, and that says whose it is."""
    ending = f".{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}.part"
    head = os.fsencode(path.name)[: LONGEST_NAME - 1 - len(os.fsencode(ending))]
    return path.with_name(f".{os.fsdecode(head)}{ending}")


def _remove_abandoned(path: Path) -> None:
    """Delete what killed processes of this machine left of earlier attempts at ``path``."""
    head = _temporary_name(path).name.rsplit(".", 3)[0] + "."
    for other in path.parent.iterdir():
        owner = other.name.removeprefix(head).split(".")
        if other.name.startswith(head) and len(owner) == 3 and owner[2] == "part" and _is_gone(owner[0]):
            _discard(other)


def _discard(path: Path) -> None:
    """Remove a file or folder if it can be removed; the error that brought us here is the one to tell."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _is_gone(process: str) -> bool:
    return process.isdigit() and not process_start(int(process))


def _explain(error: OSError, path: Path, written: int) -> PipelineError:
    # numpy's words, without a number, for a write that was cut short and for a file that could not be reserved
    cut_short = error.errno is None and any(words in str(error) for words in ("requested and", "Not enough free space"))
    if error.errno in NO_SPACE or cut_short:
        folder = next(p for p in (path.parent, *path.absolute().parents) if p.exists())
        free = shutil.disk_usage(folder).free
        return PipelineError(
            f"{path}: no space left to write it ({written / 1e6:.1f} MB were written, {free / 1e6:.0f} MB are free "
            "now). Free some space or set `paths.results` to another disk, then run again."
        )
    return PipelineError(
        f"{path}: cannot be written ({error.strerror or error}). Check the folder's permissions, then run again."
    )


def require_space(path: Path, n_bytes: int) -> None:
    """Check that the disk has room for an output before the work for it starts.

    Parameters
    ----------
    path : path
        Where the output goes; its folder need not be there yet.
    n_bytes : int
        Bytes that it takes.

    Raises
    ------
    PipelineError
        If it has not, with the bytes needed and free.
    """
    folder = next(p for p in path.absolute().parents if p.exists())
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise PipelineError(
            f"{path}: needs {n_bytes / 1e6:.1f} MB, but only {free / 1e6:.1f} MB are free there. "
            "Free some space or write to another disk."
        )


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(f.stat().st_size for f in files if f.is_file())


def _is_foreign(error: OSError, temporary: Path) -> bool:
    """Tell whether an error is about a file that has nothing to do with the one being written."""
    if error.filename is None or isinstance(error.filename, int):
        return False
    named, folder = Path(os.fsdecode(error.filename)).absolute(), temporary.parent.absolute()
    return not (named.is_relative_to(folder) or folder.is_relative_to(named))


def flush_to_disk(path: Path) -> None:
    """Ask the operating system to put a closed file's bytes on disk.

    Parameters
    ----------
    path : path
        A file that was written and closed.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path to write to; on success it becomes ``path``, on failure it is removed.

    Parameters
    ----------
    path : path
        The file to make; folders above it are made too.

    Yields
    ------
    path
        A name beside it to write to.

    Raises
    ------
    PipelineError
        If the disk is full or the folder cannot be written.

    Examples
    --------
    >>> with whole_file("a.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> Path("a.txt").read_text()
    'whole'
    """
    path = Path(path)
    temporary = _temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        yield temporary
        flush_to_disk(temporary)
        os.replace(temporary, path)
    except OSError as error:
        written = _size(temporary)
        _discard(temporary)
        if _is_foreign(error, temporary):
            raise
        raise _explain(error, path, written) from error
    except BaseException:
        _discard(temporary)
        raise


@contextmanager
def whole_folder(path: Path | str) -> Iterator[Path]:
    """Yield a temporary folder to fill; on success it replaces ``path``, on failure it is removed.

    The caller flushes the files that it writes (large ones in the background, see ``writing.PartWriter``).

    Parameters
    ----------
    path : path
        The folder to make; folders above it are made too.

    Yields
    ------
    path
        A folder beside it to fill.

    Raises
    ------
    PipelineError
        If the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = _temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        temporary.mkdir()
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    except OSError as error:
        written = _size(temporary)
        _discard(temporary)
        if _is_foreign(error, temporary):
            raise
        raise _explain(error, path, written) from error
    except BaseException:
        _discard(temporary)
        raise


def write_text(path: Path | str, text: str) -> None:
    """Write a text file whole or not at all.

    Parameters
    ----------
    path : path
        The file to make.
    text : str
        What it holds, as UTF-8.

    Raises
    ------
    PipelineError
        If the disk is full or the folder cannot be written.
    """
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def renew_text(path: Path, text: str) -> None:
    """Replace a small text that is rewritten every few seconds, whole; no wait for the disk, no look at other files.

    Parameters
    ----------
    path : path
        The file to replace.
    text : str
        What it holds, as UTF-8.

    Raises
    ------
    OSError
        If it cannot be written; what was there stays.
    """
    temporary = _temporary_name(path)
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError:
        _discard(temporary)
        raise
