"""Run the unit tests with other versions of Python: ``python tests/pythons.py 3.12 3.13``.

Each version gets an environment of its own, ``.venv-<version>``, with the versions of ``constraints.txt``. The
interpreter is one that is installed (also by pyenv), or one that uv fetches.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def interpreters(version: str) -> Iterator[str]:
    """Yield programs that may be this version of Python, those that are installed first."""
    pyenv = sorted((Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python"))
    yield from (str(p) for p in reversed(pyenv))
    if found := shutil.which(f"python{version}"):
        yield found
    if uv := shutil.which("uv"):
        subprocess.run([uv, "python", "install", version], check=False)
        done = subprocess.run([uv, "python", "find", version], capture_output=True, text=True)
        yield from done.stdout.split()


def is_version(program: str, version: str) -> bool:
    """Tell whether a program runs and is this version of Python."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([program, "-c", code], capture_output=True, text=True)
    return done.returncode == 0 and done.stdout.strip() == version


def find_interpreter(version: str) -> str:
    """Return the program of this version; the run ends where there is none."""
    found = next((p for p in interpreters(version) if is_version(p, version)), None)
    if found is None:
        sys.exit(f"Python {version} is not here and cannot be fetched: install it, or uv (`pip install uv`).")
    return found


def run_tests_with(version: str, jobs: str, tests: list[str]) -> int:
    """Make the environment if needed, run the tests in it and return their exit status."""
    folder = ROOT / f".venv-{version}"
    python = folder / "bin/python"
    if not python.exists():
        subprocess.run([find_interpreter(version), "-m", "venv", folder], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", "constraints.txt"]
    subprocess.run([*install, "-e", ".[dev]"], cwd=ROOT, check=True)
    print(f"== Python {version}", flush=True)
    return subprocess.run([python, "-m", "pytest", "-n", jobs, *tests], cwd=ROOT).returncode


def main() -> int:
    """Test with each version that is asked for; the status is not 0 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("versions", nargs="+", help="like 3.12")
    parser.add_argument("--jobs", default="2", help="tests at once")
    parser.add_argument("--tests", nargs="+", default=["tests/unit", "tests/test_config_sync.py"])
    args = parser.parse_args()
    failed = [version for version in args.versions if run_tests_with(version, args.jobs, args.tests)]
    print(f"failed with Python {', '.join(failed)}" if failed else f"passed with Python {', '.join(args.versions)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
