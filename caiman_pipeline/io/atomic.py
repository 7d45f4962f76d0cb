"""Outputs that are whole or absent: written under a temporary name in their own folder, flushed, renamed."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from caiman_pipeline.errors import PipelineError


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")


def _explain(error: OSError, path: Path) -> PipelineError:
    if error.errno in (28, 122):
        free = shutil.disk_usage(path.parent).free
        return PipelineError(
            f"{path}: no space left to write it ({free / 1e6:.0f} MB free there). "
            "Free some space or set `paths.results` to another disk, then run again."
        )
    return PipelineError(
        f"{path}: cannot be written ({error.strerror}). Check the folder's permissions, then run again."
    )


def flush_to_disk(path: Path) -> None:
    """Ask the operating system to put a closed file's bytes on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path to write to; on success it becomes ``path``, on failure it is removed.

    Raises
    ------
    PipelineError
        If the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = _temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        flush_to_disk(temporary)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _explain(error, path) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(path: Path | str) -> Iterator[Path]:
    """Yield a temporary folder to fill; on success it replaces ``path``, on failure it is removed.

    The caller flushes the files that it writes (large ones in the background, see ``store.PartWriter``).

    Raises
    ------
    PipelineError
        If the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = _temporary_name(path)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise _explain(error, path) from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def write_text(path: Path | str, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
