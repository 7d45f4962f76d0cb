"""Which machines the package runs on."""

from __future__ import annotations

NOT_ON_WINDOWS = (
    "it does not run on Windows itself. Install WSL (`wsl --install`), and install and run it in there, as on Linux."
)


def why_not_here(system: str) -> str:
    """Say why the package does not run on a system, named as ``sys.platform`` does; empty where it does."""
    return NOT_ON_WINDOWS if system in ("win32", "cygwin", "msys") else ""
