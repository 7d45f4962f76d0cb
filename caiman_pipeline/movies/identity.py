"""What a raw file is known by: size, time stamp, a digest of samples of its bytes, and the SHA-256 of all of them.

Samples are a few blocks over the file, so that looking at them takes no time however large it is. The SHA-256 is
computed while a file is read anyway, from bytes that the operating system still has in memory. A folder (Zarr) is taken
as its files one behind the other, in the order of their names.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import SourceFile

# Bytes of each sample.
SAMPLE_BYTES = 2**14
# Blocks over all files of a recording: a megabyte, some hundredths of a second.
SAMPLES = 64
# Bytes that are read at a time for the SHA-256.
READ_BYTES = 2**22
# Where Snakemake keeps what it fetched from an object store: each job's copy has a time stamp of its own.
FETCHED = ".snakemake/storage"


def identify(path: str, n_frames: int, *, n_files: int) -> SourceFile:
    """Describe a raw file of a recording of ``n_files``, without its SHA-256.

    Parameters
    ----------
    path : str
        A file, or a folder (Zarr).
    n_frames : int
        Frames that it holds.
    n_files : int
        Files of the recording: the more, the fewer samples of each.

    Returns
    -------
    SourceFile
        Size, bytes, time stamp, ns, and digest of samples.
    """
    members = _members(path)
    sample = _sample(members, max(1, SAMPLES // n_files))
    return SourceFile(path, n_frames, _size(members), max((m.modified_ns for m in members), default=0), sample=sample)


def difference(file: SourceFile, *, thorough: bool = False) -> str:
    """Return how a raw file differs from what it was when it was inspected, "" if it does not.

    A file with another time stamp is read as a whole, as all are if ``thorough``: a copy or a touched file is the same
    file still. Copies from an object store are always new ones; samples must do for them unless ``thorough``.

    Parameters
    ----------
    file : SourceFile
        What was known of it when it was inspected.
    thorough : bool
        Compare the SHA-256 of all bytes too, where one is known.

    Returns
    -------
    str
        What differs, to follow the file's name in a sentence.
    """
    members = _members(file.path)
    if _size(members) != file.size_bytes:
        return f"has {_size(members)} bytes where it had {file.size_bytes}"
    if file.sample and _sample(members, int(file.sample.split(":")[0])) != file.sample:
        return "holds other bytes than it did, at the same size"
    newer = max((m.modified_ns for m in members), default=0) != file.modified_ns and not is_fetched(file.path)
    if file.sha256 and (newer or thorough):
        return "" if checksum(file.path) == file.sha256 else "holds other bytes than it did: its SHA-256 is another"
    return "has another time stamp, and no SHA-256 is known to tell whether its bytes are the same" if newer else ""


def holds(path: str, *, size_bytes: int, sample: str) -> bool:
    """Tell whether a file has the size and the samples of one that was inspected, whatever its time stamp.

    Parameters
    ----------
    path : str
        A file, or a folder.
    size_bytes : int
        Size that it had.
    sample : str
        Digest of its samples; empty: the size alone counts.

    Returns
    -------
    bool
        Whether both are the same.
    """
    members = _members(path)
    return _size(members) == size_bytes and sample in ("", _sample(members, int(sample.partition(":")[0] or 1)))


def is_fetched(path: str) -> bool:
    """Tell whether a file is a copy that Snakemake fetched from an object store.

    Parameters
    ----------
    path : str
        A file.

    Returns
    -------
    bool
        Whether it lies where Snakemake keeps such copies.

    Examples
    --------
    >>> is_fetched("/data/.snakemake/storage/s3/raw/a.tif"), is_fetched("/data/raw/a.tif")
    (True, False)
    """
    return FETCHED in Path(path).as_posix()


def require_unchanged(files: Sequence[SourceFile]) -> None:
    """Check that raw files are those that were inspected.

    Parameters
    ----------
    files : sequence of SourceFile
        What was known of them when they were inspected.

    Raises
    ------
    PipelineError
        If one was rewritten since; one that is missing is left to those who open it.
    """
    for file in files:
        if os.path.exists(file.path) and (what := difference(file)):
            raise PipelineError(
                f"{file.path}: {what} when it was inspected. Run `inspect` again: `snakemake --forcerun inspect`, or "
                "put the file back as it was."
            )


def require_past(files: list[str]) -> None:
    """Check that no file is from the future: Snakemake would take what is made from it for older, and throw it away.

    Parameters
    ----------
    files : list of str
        Files; those that are missing are left to who opens them.

    Raises
    ------
    PipelineError
        If one is, as from an acquisition computer whose clock is wrong.
    """
    for file in files:
        if os.path.exists(file) and os.stat(file).st_mtime > time.time() + 1:
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(os.stat(file).st_mtime))
            raise PipelineError(f"{file}: its time stamp is in the future ({when}). Correct it with `touch`.")


@dataclass(frozen=True)
class _Member:
    """One of the files that make up a raw file: itself, or a file in the folder."""

    name: str
    path: Path
    size: int
    modified_ns: int


def _members(path: str) -> list[_Member]:
    """Return the files that make up a raw file, in order."""
    root = Path(path)
    found = sorted(Path(place, name) for place, _, names in os.walk(root) for name in names) or [root]
    named = [(member.relative_to(root).as_posix() if member != root else "", member) for member in found]
    stats = [member.stat() for _, member in named]
    return [_Member(*n, s.st_size, s.st_mtime_ns) for n, s in zip(named, stats, strict=True)]


def _size(members: list[_Member]) -> int:
    return sum(member.size for member in members)


def _sample(members: list[_Member], count: int) -> str:
    """Return ``count`` and the digest of so many blocks, evenly spaced, or of all where that is no more."""
    last = _size(members) - SAMPLE_BYTES
    wanted = [last // 2] if count == 1 else [last * i // (count - 1) for i in range(count)]
    whole = _size(members) <= count * SAMPLE_BYTES
    found, start = hashlib.sha256(), 0
    for member in members:
        found.update(f"{member.name} {member.size}\n".encode())
        inside = [w - start for w in wanted if start <= w < start + member.size]
        offsets = range(0, member.size, SAMPLE_BYTES) if whole else inside
        found.update(b"".join(_blocks(member.path, offsets)))
        start += member.size
    return f"{count}:{found.hexdigest()[:32]}"


def _blocks(path: Path, offsets: Sequence[int]) -> Iterator[bytes]:
    if offsets:
        with path.open("rb", buffering=0) as file:
            for offset in offsets:
                yield os.pread(file.fileno(), SAMPLE_BYTES, offset)


def checksum(path: str) -> str:
    """Return the SHA-256 of a file, of a folder that of the names, sizes and bytes of its files.

    Parameters
    ----------
    path : str
        A file, or a folder (Zarr).

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> from pathlib import Path
    >>> _ = Path("a.bin").write_bytes(b"abc")
    >>> checksum("a.bin")[:8]
    'ba7816bf'
    """
    hashing = _Hashing(path)
    hashing.upto(None)
    return hashing.hexdigest()


class _Hashing:
    """The SHA-256 of one raw file, as far as it has been read."""

    def __init__(self, path: str) -> None:
        self._members = _members(path)
        self._size = _size(self._members)
        self._digest, self._done = hashlib.sha256(), 0
        self._pieces = self._read()

    def _read(self) -> Iterator[bytes]:
        for member in self._members:
            if member.name:
                self._digest.update(f"{member.name} {member.size}\n".encode())
            with member.path.open("rb", buffering=0) as file:
                while piece := file.read(READ_BYTES):
                    yield piece

    def upto(self, share: float | None) -> None:
        """Go on until ``share`` of the bytes are in; None for all."""
        while share is None or self._done < share * self._size:
            piece = next(self._pieces, None)
            if piece is None:
                return
            self._digest.update(piece)
            self._done += len(piece)

    def hexdigest(self) -> str:
        """Return what all bytes so far make."""
        return self._digest.hexdigest()


class Checksums:
    """The SHA-256 of a recording's files, computed in a thread that follows whoever reads their frames."""

    def __init__(self, files: Sequence[SourceFile]) -> None:
        self._files = list(files)
        self._pool = ThreadPoolExecutor(1)
        self._hashing = [_Hashing(file.path) for file in files]
        self._waiting: Future[None] | None = None

    def follow(self, progress: Callable[[int, int], None]) -> Callable[[int, int], None]:
        """Return a function to call with the frames read so far and in all, which calls ``progress`` with them.

        Parameters
        ----------
        progress : callable
            Called with the frames read so far, and all of them.

        Returns
        -------
        callable
            Takes the same two numbers.
        """

        def report(done: int, total: int) -> None:
            if self._waiting is None or self._waiting.done():
                self._waiting = self._pool.submit(self._go_on, done)
            progress(done, total)

        return report

    def _go_on(self, frames: int) -> None:
        for file, hashing in zip(self._files, self._hashing, strict=True):
            if frames <= 0:
                return
            hashing.upto(min(frames / max(file.n_frames, 1), 1.0))
            frames -= file.n_frames

    def finished(self) -> tuple[SourceFile, ...]:
        """Return the files with their SHA-256, read to the end."""
        for part in (self._waiting, *(self._pool.submit(h.upto, None) for h in self._hashing)):
            if part is not None:
                part.result()
        return tuple(
            replace(file, sha256=hashing.hexdigest()) for file, hashing in zip(self._files, self._hashing, strict=True)
        )

    def __enter__(self) -> Checksums:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
