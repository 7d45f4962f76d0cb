"""Bytes and requests between this process and object stores, counted where they pass."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Traffic:
    """What was moved so far."""

    read_bytes: int = 0
    written_bytes: int = 0
    requests: int = 0

    def add(self, *, read: int = 0, written: int = 0) -> None:
        """Count one request.

        Parameters
        ----------
        read : int
            Bytes that came in.
        written : int
            Bytes that went out.
        """
        self.read_bytes += read
        self.written_bytes += written
        self.requests += 1

    def __str__(self) -> str:
        read, written = self.read_bytes / 1e6, self.written_bytes / 1e6
        return f"object store: {read:.3f} MB read, {written:.3f} MB written, {self.requests} requests"


TRAFFIC = Traffic()
