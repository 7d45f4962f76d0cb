"""How a run was made, as it goes into the NWB file: raw files, settings of every stage, software."""

from __future__ import annotations

from typing import Any

from caiman_pipeline.config.portable import portable, short_names
from caiman_pipeline.outcome import Outcome
from caiman_pipeline.results.provenance import commit, environment

# Form of the record; others are refused, with what to rerun.
SCHEMA = 1


def run_record(outcome: Outcome) -> dict[str, Any]:
    """Return what is needed to make the results again, without a folder or a name of the machine.

    Parameters
    ----------
    outcome : Outcome
        Of a recording.

    Returns
    -------
    dict
        Plain values, to be written as JSON.

    Notes
    -----
    Settings are those that each stage was handed: lengths in pixels, ways that were not chosen left out, and the facts
    on the recording that the stage needed in `recording`.
    """
    files = outcome.info.files
    names = short_names([file.path for file in files])
    raw = [
        {"file": name, "frames": f.n_frames, "bytes": f.size_bytes, "sha256": f.sha256, "sample": f.sample}
        for name, f in zip(names, files, strict=True)
    ]
    made_by = {
        stage: {name: entry[name] for name in ("section", "version", "commit")}
        for stage, entry in outcome.stages.items()
    }
    settings = {section: portable(section, values) for section, values in outcome.settings.items()}
    return {
        "schema": SCHEMA,
        "recording": outcome.info.recording,
        "raw_files": raw,
        "settings": settings,
        "made_by": made_by,
        "environment": environment(),
    }


def software(outcome: Outcome) -> list[list[str]]:
    """Return names and versions of what computed: the pipeline with its commit, Python and packages.

    Parameters
    ----------
    outcome : Outcome
        Of a recording.

    Returns
    -------
    list of (str, str)
        Name and version of each.
    """
    versions = {f"{e['version']} {e['commit']}".strip() for e in outcome.stages.values()} or {_own_version()}
    packages = {name: version for name, version in environment().items() if name != "machine"}
    return [["caiman_pipeline", ", ".join(sorted(versions))], *([name, text] for name, text in packages.items())]


def _own_version() -> str:
    from caiman_pipeline import __version__

    return f"{__version__} {commit()}".strip()
