"""Settings of stages that run on arrays: as in config.yaml, with the facts about the recording."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caiman_pipeline.config.root import Config, load_config
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.lazy import Movie
from caiman_pipeline.numerics.threads import available_cores

Settings = Mapping[str, Any] | Path | str | None


def make_config(settings: Settings, facts: Mapping[str, Any]) -> Config:
    """Return a config of sections that differ from their defaults, or of a config file, and facts of the recording.

    Parameters
    ----------
    settings : sections as in config.yaml, or the path of such a file; None: everything has its default
    facts : keys of ``recording``; those that are None say nothing

    Raises
    ------
    PipelineError
        If a file cannot be read, or a key is unknown, of the wrong type or out of bounds.
    """
    values = load_config(settings).model_dump(mode="json") if isinstance(settings, Path | str) else dict(settings or {})
    known = {name: value for name, value in facts.items() if value is not None}
    return load_config({**values, "recording": {**values.get("recording", {}), **known}})


def config_of(movie: Movie, settings: Settings, facts: Mapping[str, Any]) -> tuple[Config, float]:
    """Return the config of a movie, and its frame rate, Hz: the one given, else the settings', else the movie's own.

    Parameters
    ----------
    facts : what must be known of the recording, None where it is not given here

    Raises
    ------
    PipelineError
        As ``make_config``, or if a fact is not known.
    """
    config = make_config(settings, facts)
    if config.recording.frame_rate_hz is None:
        config = make_config(settings, {**facts, "frame_rate_hz": movie.frame_rate_hz})
    rate = config.recording.frame_rate_hz
    missing = [name for name in ("frame_rate_hz", *facts) if getattr(config.recording, name) is None]
    if rate is None or missing:
        named = ", ".join(f"`{name}`" for name in dict.fromkeys(missing))
        raise PipelineError(f"{named} must be given: neither the movie nor the settings state it.")
    return config, rate


def threads_of(wanted: int) -> int:
    """Return the threads to use: so many, or all cores that were granted where 0 is said."""
    return wanted if wanted > 0 else available_cores()


def unreported(done: int, total: int) -> None:
    """Take a report of progress, and do nothing."""
