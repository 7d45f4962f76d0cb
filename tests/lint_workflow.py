"""`snakemake --lint`, but for one of its wishes: a conda environment or container for each rule.

Snakefile and rules import the package that the rules' commands come from, so it is installed where Snakemake runs. An
environment or image of its own for each rule would have to hold the same package once more.
"""

from __future__ import annotations

import re
import subprocess
import sys

NOT_WANTED = "Specify a conda environment or container for each rule."


def complaints(report: str) -> list[str]:
    """Return what the linter complains of, each with the rule or file that it is said of."""
    found, about = [], ""
    for line in report.splitlines():
        if line.startswith("Lints for "):
            about = line.removeprefix("Lints for ").rstrip(":")
        elif (lint := re.match(r"    \* (?P<title>.+?):?$", line)) and NOT_WANTED not in line:
            found.append(f"{about}: {lint['title']}")
    return found


def main() -> int:
    """Lint the workflow of this folder."""
    sheet = "paths={recordings: config/examples/recordings.tsv}"
    done = subprocess.run(["snakemake", "--lint", "--config", sheet], capture_output=True, text=True)
    report = done.stdout + done.stderr
    found = complaints(report)
    if found or (done.returncode and NOT_WANTED not in report):
        print("\n".join(found) or report, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
